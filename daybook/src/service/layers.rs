//! The layers of every request: an id, a span with that id and the correlation, a count and a duration; and for all but
//! the health routes a bound on running requests. The layers do not know the content of requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use command_api::http::IDEMPOTENCY_KEY;
use command_api::http::problem::Failure;
use schemas::http::place::Places;
use tracing::Instrument as _;
use uuid::Uuid;

/// The request's id: the client's if it is short and plain, otherwise generated here; always sent back.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The correlation of the work, if the client supplies one.
pub const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// Gives the request an id and runs it in a span that carries it.
pub async fn identify(mut request: Request, next: Next) -> Response {
    let id = plain(request.headers(), &REQUEST_ID).unwrap_or_else(|| Uuid::now_v7().to_string());
    let correlation = plain(request.headers(), &CORRELATION_ID).unwrap_or_else(|| id.clone());
    let span = tracing::info_span!(
        "request",
        request.id = %id,
        correlation.id = %correlation,
        http.method = %request.method(),
        http.path = %request.uri().path(),
    );
    let value = HeaderValue::from_str(&id).ok();
    if let Some(value) = &value {
        request.headers_mut().insert(REQUEST_ID, value.clone());
    }
    let mut response = next.run(request).instrument(span).await;
    if let Some(value) = value {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn plain(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    let fits = (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte));
    fits.then(|| text.to_owned())
}

/// Counts a request and measures its duration, by route, even if the client disconnects before the answer.
pub async fn measure(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", |path| path.as_str()).to_owned();
    let method = known(request.method());
    let mut measured = Measured { route, method, status: None, begun: Instant::now() };
    metrics::gauge!("daybook_http_requests_in_flight").increment(1.0);
    let response = next.run(request).await;
    measured.status = Some(response.status());
    tracing::debug!(http.status = response.status().as_u16(), "answered");
    response
}

/// A method's label in metrics: a client can invent any number of methods, and each would be a series for the life of
/// the process.
fn known(method: &Method) -> &'static str {
    const KNOWN: [Method; 7] =
        [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS];
    const NAMES: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    KNOWN.iter().position(|known| known == method).map_or("other", |at| NAMES[at])
}

struct Measured {
    route: String,
    method: &'static str,
    status: Option<StatusCode>,
    begun: Instant,
}

impl Drop for Measured {
    fn drop(&mut self) {
        let status = self.status.map_or("client_left".to_owned(), |status| status.as_u16().to_string());
        let labels = [("route", self.route.clone()), ("method", self.method.to_owned()), ("status", status)];
        metrics::gauge!("daybook_http_requests_in_flight").decrement(1.0);
        metrics::counter!("daybook_http_requests_total", &labels).increment(1);
        metrics::histogram!("daybook_http_request_duration_seconds", &labels[..2])
            .record(self.begun.elapsed().as_secs_f64());
    }
}

/// How long a client that is turned away is asked to stay away.
const COME_BACK: Duration = Duration::from_secs(1);

/// Answers 503 at once if too many requests are running: waiting would only delay all of them. An admitted request
/// finds its place among its extensions, and returns it while it waits.
pub async fn bound(State(places): State<Arc<Places>>, mut request: Request, next: Next) -> Response {
    let Some(place) = places.take() else {
        metrics::counter!("daybook_http_requests_shed_total").increment(1);
        return overloaded().into_response();
    };
    request.extensions_mut().insert(Arc::clone(&place));
    let response = next.run(request).await;
    drop(place);
    response
}

fn overloaded() -> Failure {
    Failure::new("overloaded", "nothing was done: repeat the request").retry_after(COME_BACK)
}

/// The answer on a connection beyond the limit, to everything but the health routes.
pub async fn crowded(request: Request) -> Response {
    metrics::counter!("daybook_http_requests_shed_total").increment(1);
    let mut response = overloaded().into_response();
    if request.version() < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Refuses a request that may change something and bears no `Idempotency-Key`.
pub async fn require_key(request: Request, next: Next) -> Response {
    let changes = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
    if changes && !request.headers().contains_key(IDEMPOTENCY_KEY) {
        return Failure::at("idempotency-key-required", IDEMPOTENCY_KEY, "is required").into_response();
    }
    next.run(request).await
}
