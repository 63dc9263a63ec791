//! A running server as the commands `import` and `rebuild` use it in place of the store's lock. It trusts nothing but documented answers.

use std::time::Duration;

use anyhow::{Context as _, bail};
use command_api::http::IDEMPOTENCY_KEY;
use reqwest::{Client, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A server.
#[derive(Clone, Debug)]
pub struct Remote {
    base: String,
    client: Client,
}

impl Remote {
    /// The server at an address.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn try_new(url: &str) -> anyhow::Result<Self> {
        let client =
            Client::builder().connect_timeout(Duration::from_secs(5)).timeout(Duration::from_secs(600)).build()?;
        Ok(Self { base: url.trim_end_matches('/').to_owned(), client })
    }

    /// Sends a GET request.
    ///
    /// # Errors
    /// If the server does not answer, or answers with an error.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let answer = self.client.get(self.url(path)).send().await.with_context(|| self.silent())?;
        Ok(expect(answer).await?.json().await?)
    }

    /// Whether the server is ready, and its parts; an unready server answers with another status, which is not an error
    /// here.
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn readiness(&self) -> anyhow::Result<Value> {
        let answer = self.client.get(self.url("/readyz")).send().await;
        Ok(answer.with_context(|| self.silent())?.json().await?)
    }

    /// Sends a POST request.
    ///
    /// # Errors
    /// If the server does not answer, or refuses.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        content_type: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<T> {
        let pairs: Vec<String> = query.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        let url = if pairs.is_empty() { self.url(path) } else { format!("{}?{}", self.url(path), pairs.join("&")) };
        let key = uuid::Uuid::now_v7().to_string();
        let request =
            self.client.post(url).header("content-type", content_type).header(IDEMPOTENCY_KEY, key).body(body);
        let answer = request.send().await.with_context(|| self.silent())?;
        Ok(expect(answer).await?.json().await?)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn silent(&self) -> String {
        format!("the server at {} does not answer", self.base)
    }
}

async fn expect(answer: Response) -> anyhow::Result<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let body = answer.text().await.unwrap_or_default();
    let said = serde_json::from_str::<Value>(&body).ok();
    let field = |name: &str| said.as_ref().and_then(|said| said.get(name)).and_then(Value::as_str).map(str::to_owned);
    let title = field("detail").or_else(|| field("title")).unwrap_or(body);
    if status == StatusCode::NOT_FOUND {
        bail!("the server does not have it: {title}");
    }
    bail!("the server answered {status}: {title}");
}

/// A value as part of a query.
fn encoded(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[test]
fn a_query_value_is_encoded() {
    assert_eq!(encoded("a b/ü.csv"), "a%20b%2F%C3%BC.csv");
}
