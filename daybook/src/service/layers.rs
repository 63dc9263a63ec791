//! What every request goes through: an id, a span with that id and the correlation, a count and a duration, a bound on how many run
//! at once. Nothing here knows what a request is about.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument as _;
use uuid::Uuid;

/// The request's id: taken over from the client if it is short and plain, made here otherwise, and always sent back.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What the work belongs to, if the client says so.
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

/// Counts a request and takes its time, by route, also if the client leaves before the answer.
pub async fn measure(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", |path| path.as_str()).to_owned();
    let mut measured = Measured { route, method: request.method().to_string(), status: None, begun: Instant::now() };
    metrics::gauge!("daybook_http_requests_in_flight").increment(1.0);
    let response = next.run(request).await;
    measured.status = Some(response.status());
    tracing::debug!(http.status = response.status().as_u16(), "answered");
    response
}

struct Measured {
    route: String,
    method: String,
    status: Option<StatusCode>,
    begun: Instant,
}

impl Drop for Measured {
    fn drop(&mut self) {
        let status = self.status.map_or("client_left".to_owned(), |status| status.as_u16().to_string());
        let labels = [("route", self.route.clone()), ("method", self.method.clone()), ("status", status)];
        metrics::gauge!("daybook_http_requests_in_flight").decrement(1.0);
        metrics::counter!("daybook_http_requests_total", &labels).increment(1);
        metrics::histogram!("daybook_http_request_duration_seconds", &labels[..2])
            .record(self.begun.elapsed().as_secs_f64());
    }
}

/// How many requests run at once, and how many may.
#[derive(Clone)]
pub struct Bound {
    running: Arc<AtomicUsize>,
    most: usize,
}

impl Bound {
    /// At most `most` at once.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { running: Arc::new(AtomicUsize::new(0)), most }
    }
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Answers 503 at once where too many requests run already: waiting would only make all of them late.
pub async fn bound(State(bound): State<Bound>, request: Request, next: Next) -> Response {
    let before = bound.running.fetch_add(1, Ordering::AcqRel);
    let running = Running(bound.running);
    if before >= bound.most {
        drop(running);
        metrics::counter!("daybook_http_requests_shed_total").increment(1);
        return overloaded();
    }
    let response = next.run(request).await;
    drop(running);
    response
}

fn overloaded() -> Response {
    let body =
        r#"{"type":"about:blank","title":"the server has more to do than it can","status":503,"code":"overloaded"}"#;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json")),
        (header::RETRY_AFTER, HeaderValue::from_static("1")),
    ];
    (StatusCode::SERVICE_UNAVAILABLE, headers, body).into_response()
}
