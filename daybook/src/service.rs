//! The server's own routes: liveness, readiness, metrics and an index. They report on the process, never on an order.

pub mod files;
pub mod health;
pub mod layers;
pub mod listen;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::PrometheusHandle;
use schemas::http::place::Places;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use health::{Health, Readiness};

/// What the service's own routes need.
#[derive(Clone)]
pub struct Service {
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// The parts of this process, and their states.
    pub health: Arc<Health>,
    /// How many requests there are.
    pub places: Arc<Places>,
}

/// The service's own routes.
pub fn router() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(index)).merge(probes())
}

/// The health routes: they are answered under any load.
pub fn probes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready)).routes(routes!(render))
}

/// The index of the server's routes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Index {
    /// The program.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The links, by name.
    pub links: std::collections::BTreeMap<&'static str, &'static str>,
}

/// The index of the server's routes.
#[utoipa::path(get, path = "/", tag = "service", responses((status = 200, body = Index)))]
async fn index() -> Json<Index> {
    Json(Index {
        name: "Daybook",
        version: env!("CARGO_PKG_VERSION"),
        links: [
            ("docs", "/docs"),
            ("openapi", "/openapi.json"),
            ("orders", "/v1/orders"),
            ("stock", "/v1/stock"),
            ("live", "/livez"),
            ("ready", "/readyz"),
            ("metrics", "/metrics"),
        ]
        .into(),
    })
}

/// Whether the process lives.
#[utoipa::path(get, path = "/livez", tag = "service", responses((status = 200, description = "The process answers", body = String)))]
async fn live() -> &'static str {
    "live\n"
}

/// Whether the process can do its work, part by part.
#[utoipa::path(get, path = "/readyz", tag = "service", responses(
    (status = 200, description = "The process is ready", body = Readiness),
    (status = 503, description = "A part does no work, or the process is stopping", body = Readiness),
))]
async fn ready(State(service): State<Service>) -> Response {
    let readiness = service.health.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

/// What the process measures, as Prometheus reads it.
#[utoipa::path(get, path = "/metrics", tag = "service", responses((status = 200, body = String)))]
async fn render(State(service): State<Service>) -> Response {
    metrics::gauge!("daybook_http_requests_running").set(service.places.running() as f64);
    metrics::gauge!("daybook_http_requests_waiting").set(service.places.waiting() as f64);
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, content_type)], service.metrics.render()).into_response()
}
