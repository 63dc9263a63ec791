//! A client over real HTTP. It judges nothing: it hands back what came.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

/// A client of one server.
#[derive(Clone)]
pub(crate) struct Client {
    base: String,
    http: reqwest::Client,
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

impl Client {
    pub(crate) fn new(base: &str) -> Self {
        Self::with_timeout(base, Duration::from_secs(90))
    }

    /// A client that takes an answer for lost after a while.
    pub(crate) fn with_timeout(base: &str, timeout: Duration) -> Self {
        let http = reqwest::Client::builder().timeout(timeout).build().unwrap();
        Self { base: base.to_owned(), http }
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
        Some(Answer {
            status: response.status().as_u16(),
            etag: header("etag"),
            location: header("location"),
            position: header("daybook-position").and_then(|value| value.parse().ok()),
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

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

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
