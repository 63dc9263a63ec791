//! The connection to NATS. An unreachable server is retried in the background, without end; a server that lacks a
//! required feature is refused with a clear reason.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream;
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use tokio_util::sync::CancellationToken;

use crate::names;

/// An event of one megabyte, its names and its headers fit into this.
pub const MIN_PAYLOAD: usize = 2 * 1024 * 1024;
/// The oldest server with atomic batches.
const OLDEST: (i64, i64, i64) = (2, 12, 0);
/// How long one request waits: longer than an election in a cluster usually takes.
const REQUEST: Duration = Duration::from_secs(5);
/// Between two attempts to reach a server that is away.
const RETRY_MOST: Duration = Duration::from_secs(2);

/// How to connect.
#[derive(Clone, Debug)]
pub struct Options {
    /// The servers, `nats://host:port` or `tls://host:port`, with `user:password@` in one of them at least where the
    /// servers ask for it: it goes for all of them.
    pub urls: Vec<String>,
    /// What this process is called in the server's list of connections.
    pub name: String,
    /// How long [`Connection::connect`] waits for a server before it leaves that to the background.
    pub patience: Duration,
    /// Certificates to trust beside those of the machine, as a PEM file.
    pub root_certificates: Option<PathBuf>,
}

impl Options {
    /// The usual, for these servers.
    pub fn new(urls: Vec<String>, name: impl Into<String>) -> Self {
        Self { urls, name: name.into(), patience: Duration::from_secs(3), root_certificates: None }
    }
}

/// Why there is no use in NATS now, or at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An address is not well-formed, or a certificate cannot be read.
    #[error("the connection to NATS cannot be set up: {0}")]
    Setup(String),
    /// No server answers. The connection is retried without end.
    #[error("NATS cannot be reached: {0}")]
    Away(String),
    /// The server lacks a required feature.
    #[error("this NATS server cannot be used: {0}")]
    Unfit(String),
}

/// A connection, shared by everything in the process; clones are cheap.
#[derive(Clone, Debug)]
pub struct Connection {
    client: Client,
    jetstream: jetstream::Context,
}

impl Connection {
    /// Connects. Fails if a server answers that is not fit, or the options are not well-formed; a server that is away is no failure.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let mut connecting = ConnectOptions::new()
            .name(&options.name)
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(|attempt| {
                let attempt = u32::try_from(attempt).unwrap_or(u32::MAX);
                Duration::from_millis(50).saturating_mul(attempt).min(RETRY_MOST)
            })
            .request_timeout(Some(REQUEST))
            .event_callback(|event| async move { told(&event) });
        if let Some(user) = User::of(&options.urls)? {
            // The client leaves what an address says of the user to its caller. With inboxes of its own, a user may be
            // kept from hearing the answers to others.
            connecting = connecting
                .custom_inbox_prefix(format!("_INBOX.{}", names::token(&user.name)))
                .user_and_password(user.name, user.password);
        }
        if let Some(path) = options.root_certificates {
            connecting = connecting.add_root_certificates(path);
        }
        let client = connecting.connect(&options.urls[..]).await.map_err(|error| Error::Setup(error.to_string()))?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(REQUEST);
        let connection = Self { client, jetstream };
        match tokio::time::timeout(options.patience, connection.first()).await {
            Ok(Ok(())) => {}
            Ok(Err(error @ (Error::Unfit(_) | Error::Setup(_)))) => return Err(error),
            Ok(Err(Error::Away(_))) | Err(_) => {
                tracing::warn!(
                    nats.urls = ?addresses(&options.urls),
                    "NATS cannot be reached; the log is read until it answers, see docs/operations.md, 'NATS is away'"
                );
            }
        }
        Ok(connection)
    }

    async fn first(&self) -> Result<(), Error> {
        while self.client.connection_state() != State::Connected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        loop {
            match self.check().await {
                Err(Error::Away(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
                decided => return decided,
            }
        }
    }

    /// Checks that a server answers and has every required feature.
    pub async fn check(&self) -> Result<(), Error> {
        if self.client.connection_state() != State::Connected {
            return Err(Error::Away("not connected".into()));
        }
        // Nothing is known of a server before its first word, even if it is connected already.
        let info = self.client.try_server_info();
        let Some(info) = info.filter(|info| !info.version.is_empty()) else {
            return Err(Error::Away("it has not sent its server information".into()));
        };
        let (major, minor, patch) = OLDEST;
        if !self.client.is_server_compatible(major, minor, patch) {
            return Err(Error::Unfit(format!(
                "it is version {}, but atomic batches need {major}.{minor}.{patch} or newer",
                info.version
            )));
        }
        if info.max_payload < MIN_PAYLOAD {
            return Err(Error::Unfit(format!(
                "its max_payload is {} bytes; set it to {MIN_PAYLOAD} (2MB) or more",
                info.max_payload
            )));
        }
        if !info.jetstream {
            return Err(Error::Unfit("JetStream is not enabled; add a jetstream block with a store_dir".into()));
        }
        match self.jetstream.query_account().await {
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                jetstream::context::AccountErrorKind::JetStreamUnavailable
                | jetstream::context::AccountErrorKind::TimedOut => {
                    Err(Error::Away("JetStream does not answer yet".into()))
                }
                _ => Err(Error::Away(error.to_string())),
            },
        }
    }

    /// Waits until a suitable server answers; `false` if it is cancelled before.
    pub(crate) async fn wait(&self, cancel: &CancellationToken) -> bool {
        let mut said = None;
        loop {
            let checked = tokio::select! {
                () = cancel.cancelled() => return false,
                checked = self.check() => checked,
            };
            match checked {
                Ok(()) => return true,
                Err(error) => {
                    if said.as_ref() != Some(&error) {
                        tracing::warn!(
                            error = %error,
                            "NATS does not answer, or does not have what Daybook needs; it is retried, see \
                             docs/operations.md, 'NATS is away'"
                        );
                        said = Some(error);
                    }
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return false,
                () = tokio::time::sleep(Duration::from_millis(250)) => {}
            }
        }
    }

    /// Whether a server is connected at this moment.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn jetstream(&self) -> &jetstream::Context {
        &self.jetstream
    }
}

fn told(event: &Event) {
    match event {
        Event::Connected => {
            metrics::gauge!("daybook_nats_connected").set(1.0);
            tracing::info!("NATS is connected");
        }
        Event::Disconnected => {
            metrics::gauge!("daybook_nats_connected").set(0.0);
            tracing::warn!("the connection to NATS is lost; it is retried, see docs/operations.md, 'NATS is away'");
        }
        Event::SlowConsumer(_) => {
            metrics::counter!("daybook_nats_slow_consumers_total").increment(1);
        }
        // The server ends a connection whose user it does not know, and says what a user may not do.
        Event::ServerError(error) => {
            tracing::warn!(error = %error, "NATS refuses; check the user of nats.urls and its permissions in deploy/nats.conf")
        }
        Event::ClientError(error) => tracing::debug!(error = %error, "the connection to NATS is retried"),
        other => tracing::warn!(event = %other, "NATS reported an event; check the server's log if this repeats"),
    }
}

/// As whom the servers know this process.
#[derive(Debug, PartialEq, Eq)]
struct User {
    name: String,
    password: String,
}

impl User {
    /// The user that the first address with one names.
    fn of(urls: &[String]) -> Result<Option<Self>, Error> {
        for url in urls {
            // Not the address itself: it may hold a password.
            let parsed: ServerAddr =
                url.parse().map_err(|error: std::io::Error| Error::Setup(format!("an address is not one: {error}")))?;
            if let Some(name) = parsed.username() {
                let read = |text: &str| {
                    decoded(text).ok_or_else(|| Error::Setup("the user or password in an address is not text".into()))
                };
                return Ok(Some(Self { name: read(name)?, password: read(parsed.password().unwrap_or_default())? }));
            }
        }
        Ok(None)
    }
}

/// A text whose `%` and two hex digits are the bytes that they stand for; `None` if they come to no text.
fn decoded(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

/// Addresses without what may be a secret in them.
fn addresses(urls: &[String]) -> Vec<&str> {
    urls.iter().map(|url| url.rsplit_once('@').map_or(url.as_str(), |(_, host)| host)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_logged() {
        let urls = ["nats://me:secret@one:4222".into(), "nats://two:4222".into()];
        assert_eq!(addresses(&urls), ["one:4222", "nats://two:4222"]);
    }

    #[test]
    fn the_user_of_one_address_is_that_of_all() {
        let of = |urls: &[&str]| User::of(&urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>());
        let relay = User { name: "relay".into(), password: "p@ss,%".into() };
        assert_eq!(of(&["nats://one:4222", "nats://relay:p%40ss%2C%25@two:4222"]), Ok(Some(relay)));
        assert_eq!(of(&["nats://one:4222", "two:4222"]), Ok(None));
        let refused = of(&["nats://relay:s3cret@one:no-port"]).map_err(|error| error.to_string());
        assert!(refused.as_ref().is_err_and(|error| !error.contains("s3cret")), "{refused:?}");
    }
}
