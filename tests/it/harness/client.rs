//! A client over real HTTP. It judges nothing: it hands back what came. It reads its own writes: what it reads is at least as new as the
//! newest answer of its session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

/// How long read models may take to show what was answered, on a machine that has other work.
const BEHIND: Duration = Duration::from_secs(120);

/// What clients that belong together have seen: the newest position of their answers. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Session(Arc<AtomicU64>);

/// A client of one server. Its clones share its session.
#[derive(Clone)]
pub(crate) struct Client {
    base: String,
    http: reqwest::Client,
    session: Session,
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) position: Option<u64>,
    pub(crate) replayed: bool,
    /// Whether it tells what became of the command later: it waited, or would have.
    pub(crate) waited: bool,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.body))
    }

    /// A text field of the body.
    pub(crate) fn text(&self, pointer: &str) -> String {
        let body = self.json();
        body.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no text at {pointer} in {body}"))
            .to_owned()
    }

    /// A number of the body.
    pub(crate) fn number(&self, pointer: &str) -> i64 {
        let body = self.json();
        body.pointer(pointer).and_then(Value::as_i64).unwrap_or_else(|| panic!("no number at {pointer} in {body}"))
    }

    /// Panics with the whole answer if the status is another.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }
}

impl Session {
    fn saw(&self, position: Option<u64>) {
        self.0.fetch_max(position.unwrap_or(0), Ordering::Relaxed);
    }

    /// The path, asked for as of what was seen or later, where its route can be asked so and does not say itself.
    fn at_least(&self, path: &str) -> String {
        let seen = self.0.load(Ordering::Relaxed);
        let (route, query) = path.split_once('?').unwrap_or((path, ""));
        let says = query.split('&').any(|pair| pair.starts_with("min_position="));
        if seen == 0 || says || !takes_min_position(route) {
            return path.to_owned();
        }
        let separator = if query.is_empty() { "?" } else { "&" };
        format!("{}{separator}min_position={seen}", path.trim_end_matches('?'))
    }
}

/// Whether a route waits for a position that is asked for.
fn takes_min_position(route: &str) -> bool {
    let parts: Vec<&str> = route.trim_matches('/').split('/').collect();
    matches!(
        parts.as_slice(),
        ["v1", "orders" | "stock" | "events" | "records"]
            | ["v1", "orders" | "payments" | "reservations" | "stock", _]
            | ["v1", "orders", _, "events" | "timeline"]
            | ["v1", "stock", _, "ledger"]
    )
}

impl Client {
    pub(crate) fn new(base: &str) -> Self {
        Self::with_timeout(base, Duration::from_secs(90))
    }

    /// A client that takes an answer for lost after a while.
    pub(crate) fn with_timeout(base: &str, timeout: Duration) -> Self {
        let http = reqwest::Client::builder().timeout(timeout).build().unwrap();
        Self { base: base.to_owned(), http, session: Session::default() }
    }

    /// The same in a session that other clients have as well: what one of them wrote is what the others read.
    pub(crate) fn within(self, session: &Session) -> Self {
        Self { session: session.clone(), ..self }
    }

    /// What is read next is at least as new as this position.
    pub(crate) fn saw(&self, position: u64) {
        self.session.saw(Some(position));
    }

    /// A request with headers and a body of any kind; `None` if no answer came.
    pub(crate) async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Option<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.ok()?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let position = header("daybook-position").and_then(|value| value.parse().ok());
        self.session.saw(position);
        Some(Answer {
            status: response.status().as_u16(),
            etag: header("etag"),
            location: header("location"),
            position,
            replayed: header("idempotent-replayed").is_some_and(|value| value == "true"),
            waited: header("preference-applied").is_some(),
            content_type: header("content-type").unwrap_or_default(),
            body: response.text().await.ok()?,
        })
    }

    /// A request with a JSON body.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let mut headers = headers.to_vec();
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        self.try_send(method, path, &headers, body.map(|body| body.to_string().into_bytes())).await.expect("an answer")
    }

    /// Reads what is at least as new as all that this session has seen. A server that is not that far yet is asked again, as it says in its
    /// answer; one that does not get there answers its refusal in the end.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let asked = self.session.at_least(path);
        let end = Instant::now() + BEHIND;
        loop {
            let answer = self.send(Method::GET, &asked, &[], None).await;
            let behind = answer.status == 503 && answer.body.contains("\"not-caught-up\"");
            if !behind || asked == path || Instant::now() > end {
                return answer;
            }
        }
    }

    /// Asks for a path as it stands, whatever was seen before; `None` if no answer came.
    pub(crate) async fn try_get(&self, path: &str) -> Option<Answer> {
        self.try_send(Method::GET, path, &[], None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    /// A POST under an idempotency key.
    pub(crate) async fn post_once(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, &[("idempotency-key", key)], Some(body)).await
    }

    /// A POST that waits for the saga's verdict.
    pub(crate) async fn post_and_wait(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, &[("prefer", "wait=30")], Some(body)).await
    }
}

#[test]
fn a_session_reads_what_it_wrote_where_a_route_can_be_asked_so() {
    let session = Session::default();
    assert_eq!(session.at_least("/v1/orders"), "/v1/orders");
    session.saw(Some(7));
    session.saw(Some(3));
    session.saw(None);
    for (path, asked) in [
        ("/v1/orders", "/v1/orders?min_position=7"),
        ("/v1/orders?limit=2", "/v1/orders?limit=2&min_position=7"),
        ("/v1/orders?min_position=9", "/v1/orders?min_position=9"),
        ("/v1/stock/RED/ledger", "/v1/stock/RED/ledger?min_position=7"),
        ("/v1/orders/x/timeline?limit=2", "/v1/orders/x/timeline?limit=2&min_position=7"),
        ("/v1/orders/x/diff?from=v1&to=v2", "/v1/orders/x/diff?from=v1&to=v2"),
        ("/v1/projections", "/v1/projections"),
        ("/metrics", "/metrics"),
    ] {
        assert_eq!(session.at_least(path), asked);
    }
}

#[test]
fn the_routes_that_take_a_position_are_those_of_the_document() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/openapi.json")).unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(parameters) = item.get("get").map(|get| get["parameters"].as_array().cloned().unwrap_or_default())
        else {
            continue;
        };
        let takes = parameters.iter().any(|parameter| parameter["name"] == "min_position");
        assert_eq!(takes_min_position(path), takes, "{path}");
    }
}
