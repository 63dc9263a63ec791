//! One connection that is kept open, and one request on it at a time. The same light client asks every side, so that what it costs is
//! the same on all of them.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A connection to one server.
pub(crate) struct Client {
    address: String,
    requests: SendRequest<Full<Bytes>>,
    connection: JoinHandle<()>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| self.text())
    }

    /// Status and body as a person reads them.
    pub(crate) fn text(&self) -> String {
        format!("{}: {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Client {
    /// Connects to `HOST:PORT`.
    pub(crate) async fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("{address} cannot be reached"))?;
        stream.set_nodelay(true)?;
        let (requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(async move {
            // A broken connection is an error of the request on it.
            connection.await.ok();
        });
        Ok(Self { address: address.to_owned(), requests, connection })
    }

    /// Asks with a JSON body and further headers; whatever the answer is.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.address);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.requests.ready().await.with_context(|| format!("{} closed the connection", self.address))?;
        let answer = self.requests.send_request(request.body(Full::new(body))?).await;
        let answer = answer.with_context(|| format!("{}{path} does not answer", self.address))?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok(Answer { status, body })
    }

    /// Reads something that must be there.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        let answer = self.ask(Method::GET, path, &[], Bytes::new()).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        bail!("GET {}{path}: {}", self.address, answer.text())
    }

    /// Sends a command that must be done.
    pub(crate) async fn post(&mut self, path: &str, headers: &[(&str, &str)], body: Bytes) -> anyhow::Result<Answer> {
        let answer = self.ask(Method::POST, path, headers, body).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        bail!("POST {}{path}: {}", self.address, answer.text())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
