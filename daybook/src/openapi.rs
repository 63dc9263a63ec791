//! The API description, generated from the routes of the write side, the read side and the service itself. It cannot
//! contain anything that is not a route.

use std::sync::Arc;
use std::time::Duration;

use command_api::execute::Executor;
use domain::ids::{Channel, LocationId};
use event_store::EventStore;
use event_store::sqlite::{Options, Store};
use projections::Projections;
use schemas::http::Defaults;
use schemas::http::place::Places;
use tokio_util::task::TaskTracker;
use utoipa::openapi::{Info, License, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use crate::service::{self, Service};
use crate::telemetry;

/// The routes of a process, with their description: those of the sides that it has.
pub fn routes(write: Option<command_api::http::Api>, read: Option<query_api::http::Api>) -> OpenApiRouter {
    let mut router = OpenApiRouter::with_openapi(OpenApi::new(info(), utoipa::openapi::Paths::new()));
    if let Some(write) = write {
        router = router.merge(command_api::http::router(write));
    }
    if let Some(read) = read {
        router = router.merge(query_api::http::router(read));
    }
    router
}

fn info() -> Info {
    let mut info = Info::new("Daybook", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "An event-sourced order platform. Commands answer with the version and position that they wrote; queries \
         say which position they show. Errors are problem details (RFC 9457) with a stable code."
            .to_owned(),
    );
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    info.license = Some(license);
    info
}

/// The description of all routes. Routes need their dependencies, so a temporary store is created for them.
///
/// # Errors
/// If that store cannot be created.
pub async fn document() -> anyhow::Result<OpenApi> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(Options::new(folder.path()).role("openapi"))?;
    let log: Arc<dyn EventStore> = Arc::clone(&store) as Arc<dyn EventStore>;
    let models = Projections::open(projections::Options::new(folder.path()), Arc::clone(&log)).await?;
    let executor = Executor::new(Arc::clone(&log), TaskTracker::new(), command_api::execute::Options::default());
    let (verdicts, _follower) = command_api::verdict::Options::default().build(Arc::clone(&log));
    let settings = command_api::http::Settings {
        defaults: Defaults {
            location: LocationId::try_new("main")?,
            channel: Channel::try_new("web")?,
            reserve_for_s: 900,
        },
        bodies: command_api::http::Bodies::default(),
    };
    let write = command_api::http::Api::new(executor, verdicts, settings);
    let read = query_api::http::Api::new(log, Arc::clone(&models), Duration::ZERO);
    let service = Service { metrics: telemetry::metrics()?, health: Arc::default(), places: Places::new(1, 1) };
    let (_, document) = routes(Some(write), Some(read)).merge(service::router().with_state(service)).split_for_parts();
    models.close().await?;
    store.close().await?;
    Ok(document)
}
