//! The HTTP servers: the routes of the write side, the read side and the service, behind the common layers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Extension, Router};
use command_api::http::{Api, Bodies, Settings, problem};
use command_api::import::service::Service;
use domain::ids::{Channel, LocationId};
use schemas::Actor;
use schemas::http::Defaults;
use schemas::http::place::Places;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use utoipa_swagger_ui::SwaggerUi;

use super::Running;
use crate::config::Config;
use crate::config::http::Http;
use crate::config::roles::Role;
use crate::import;
use crate::openapi;
use crate::service;
use crate::service::listen::{self, Routes};
use crate::service::{files, layers};
use crate::telemetry;

/// The channel of orders whose request names none.
const CHANNEL: &str = "web";
/// How long stock stays reserved where a request does not say.
const RESERVE_FOR_S: u32 = 15 * 60;
/// Connections to the log's database, at most: its readers, its writer and its listener.
const DATABASE: usize = 12;

/// The server of this process.
pub(super) struct Server {
    pub(super) url: String,
    stop: CancellationToken,
    task: JoinHandle<bool>,
    admin: Option<Admin>,
}

impl Server {
    /// Accepts no more connections, and waits for running requests, within bounds.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        match self.task.await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(
                "running requests were cut off at the stop; their commands continue, and clients can repeat them, \
                 nothing to do"
            ),
            Err(error) => tracing::error!(
                error = %error,
                "the task of the HTTP server failed at the stop; every acknowledged write is in the log, nothing to do"
            ),
        }
        if let Some(admin) = self.admin {
            admin.stop().await;
        }
    }
}

pub(super) async fn listen(running: &Running) -> anyhow::Result<Server> {
    let http = running.config.http.clone();
    let (metrics, health) = (telemetry::metrics()?, running.health.clone());
    let service = service::Service { metrics, health, places: Places::new(http.requests, http.waiting) };
    let admin = match http.admin.0 {
        Some(address) => Some(Admin::start(address, &http, service.clone()).await?),
        None => None,
    };
    let listener = bind(http.listen).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let routes = Routes { all: router(running, service.clone())?, spare: spare(service) };
    let limits = http.limits(files::connections(http.handles(), http.admin_handles() + handles(&running.config)));
    let stop = CancellationToken::new();
    let task = tokio::spawn(listen::serve(listener, routes, limits, stop.clone()));
    Ok(Server { url, stop, task, admin })
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// How many handles the stores and the broker may still open: connections are made when they are needed first.
fn handles(config: &Config) -> usize {
    let broker = config.nats.nodes().len();
    if config.store.url.is_set() {
        DATABASE + config.projections.connections as usize + broker
    } else {
        files::handles_of_readers() + broker
    }
}

fn router(running: &Running, service: service::Service) -> anyhow::Result<Router> {
    let has = |role| running.roles.has(role);
    let write = has(Role::CommandApi).then(|| api(running)).transpose()?;
    let read = has(Role::QueryApi).then(|| queries(running));
    let (routes, described) = openapi::routes(write, read).split_for_parts();
    let places = Arc::clone(&service.places);
    let (own, own_described) = service::router().with_state(service).split_for_parts();
    let document = described.merge_from(own_described);
    let tenant = &running.tenant;
    let http = &running.config.http;
    let actor = Actor { id: running.config.tenant.actor.clone(), via: "http".into(), on_behalf_of: None };
    let mut routes = routes
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        .layer(Extension(query_api::http::Caller { tenant: tenant.clone() }))
        .layer(Extension(command_api::http::Caller { tenant: tenant.clone(), actor }));
    if http.key_required {
        routes = routes.layer(from_fn(layers::require_key));
    }
    // The health routes are outside the bound on requests.
    Ok(routes
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document))
        .layer(from_fn_with_state(places, layers::bound))
        .merge(own)
        .layer(from_fn(layers::measure))
        .layer(from_fn(layers::identify)))
}

/// The health routes, for connections beyond the limit.
fn spare(service: service::Service) -> Router {
    probes(service).fallback(layers::crowded).layer(from_fn(layers::measure)).layer(from_fn(layers::identify))
}

/// How the process is.
fn probes(service: service::Service) -> Router {
    let (routes, _) = service::probes().with_state(service).split_for_parts();
    routes
}

/// The admin listener. It has a thread of its own, so it answers even when all other threads are busy.
struct Admin {
    stop: CancellationToken,
    ended: oneshot::Receiver<bool>,
}

impl Admin {
    async fn start(address: SocketAddr, http: &Http, service: service::Service) -> anyhow::Result<Self> {
        let context = || format!("http.admin: cannot listen on {address}");
        let listener = std::net::TcpListener::bind(address).with_context(context)?;
        listener.set_nonblocking(true)?;
        tracing::info!(http.admin = %listener.local_addr()?, "the admin listener is open");
        let routes = probes(service).fallback(problem::no_route).layer(from_fn(layers::measure));
        let routes = Routes { all: routes.clone(), spare: routes };
        let (limits, stop) = (http.admin_limits(), CancellationToken::new());
        let ((begin, begun), (tell, ended)) = (oneshot::channel(), oneshot::channel());
        let token = stop.clone();
        std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(begin.send(Err(error))),
            };
            runtime.block_on(async move {
                let listener = match TcpListener::from_std(listener) {
                    Ok(listener) => listener,
                    Err(error) => return drop(begin.send(Err(error))),
                };
                drop(begin.send(Ok(())));
                // The receiver is gone if the process ends without an orderly stop.
                let _ = tell.send(listen::serve(listener, routes, limits, token).await);
            });
        })?;
        begun.await?.with_context(context)?;
        Ok(Self { stop, ended })
    }

    async fn stop(self) {
        self.stop.cancel();
        if self.ended.await.is_err() {
            tracing::error!("the admin listener failed; the next start opens it again, nothing to do");
        }
    }
}

fn api(running: &Running) -> anyhow::Result<Api> {
    let api = Api::new(running.executor.clone(), running.verdicts.clone(), settings(&running.config)?);
    Ok(api.with_imports(imports(running)?).with_test_clock(running.store.test_clock()))
}

/// Accepts imports: they continue after their answers, until the process stops.
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
        bodies: Bodies {
            patience: Duration::from_millis(config.http.body_timeout_ms),
            slowest_bytes_per_s: config.http.slowest_bytes_per_s,
            upload: Duration::from_millis(config.imports.upload_timeout_ms),
        },
    })
}
