//! Letting clients in: the routes of the write side, the read side and the service, behind what every request goes through.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Extension, Router};
use command_api::http::{Api, Settings};
use command_api::import::service::Service;
use domain::ids::{Channel, LocationId};
use schemas::Actor;
use schemas::http::Defaults;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use utoipa_swagger_ui::SwaggerUi;

use super::Running;
use crate::config::Config;
use crate::config::roles::Role;
use crate::import;
use crate::openapi;
use crate::service;
use crate::service::layers::{self, Bound};
use crate::service::listen;
use crate::telemetry;

/// The channel of orders whose request names none.
const CHANNEL: &str = "web";
/// How long stock stays reserved where a request does not say.
const RESERVE_FOR_S: u32 = 15 * 60;

/// The server of this process.
pub(super) struct Server {
    pub(super) url: String,
    stop: CancellationToken,
    task: JoinHandle<bool>,
}

impl Server {
    /// Accepts no more, and waits for the requests that are being answered, within bounds.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        match self.task.await {
            Ok(true) => {}
            Ok(false) => tracing::warn!("requests are cut off; what they asked for goes on"),
            Err(error) => tracing::error!(error = %error, "the server ended badly"),
        }
    }
}

pub(super) async fn listen(running: &Running) -> anyhow::Result<Server> {
    let http = running.config.http.clone();
    let listener =
        TcpListener::bind(http.listen).await.with_context(|| format!("{} cannot be listened on", http.listen))?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = router(running)?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    let task = tokio::spawn(async move { listen::serve(listener, router, &http, token).await });
    Ok(Server { url, stop, task })
}

fn router(running: &Running) -> anyhow::Result<Router> {
    let service = service::Service { metrics: telemetry::metrics()?, health: running.health.clone() };
    let has = |role| running.roles.has(role);
    let write = has(Role::CommandApi).then(|| api(running)).transpose()?;
    let read = has(Role::QueryApi).then(|| queries(running));
    let (routes, document) = openapi::routes(write, read, service).split_for_parts();
    let tenant = &running.tenant;
    let actor = Actor { id: running.config.tenant.actor.clone(), via: "http".into(), on_behalf_of: None };
    Ok(routes
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document))
        .layer(Extension(query_api::http::Caller { tenant: tenant.clone() }))
        .layer(Extension(command_api::http::Caller { tenant: tenant.clone(), actor }))
        .layer(from_fn_with_state(Bound::new(running.config.http.requests), layers::bound))
        .layer(from_fn(layers::measure))
        .layer(from_fn(layers::identify)))
}

fn api(running: &Running) -> anyhow::Result<Api> {
    let api = Api::new(running.executor.clone(), running.verdicts.clone(), settings(&running.config)?);
    Ok(api.with_imports(imports(running)?))
}

/// Takes imports in: they go on behind their answers, until the process stops.
fn imports(running: &Running) -> anyhow::Result<Service> {
    let stage = &running.imports;
    let importer = import::importer(running, Arc::new(|_| ()), stage.token.clone());
    Ok(Service::new(
        importer,
        stage.tasks.clone(),
        Channel::try_new(running.config.imports.channel.as_str())?,
        LocationId::try_new(running.config.tenant.location.as_str())?,
    ))
}

fn queries(running: &Running) -> query_api::http::Api {
    let longest_wait = Duration::from_millis(running.config.projections.longest_wait_ms);
    query_api::http::Api::new(Arc::clone(&running.log), Arc::clone(&running.models), longest_wait)
}

fn settings(config: &Config) -> anyhow::Result<Settings> {
    Ok(Settings {
        defaults: Defaults {
            location: LocationId::try_new(config.tenant.location.as_str())?,
            channel: Channel::try_new(CHANNEL)?,
            reserve_for_s: RESERVE_FOR_S,
        },
        key_required: false,
        most_requests: config.http.requests,
    })
}
