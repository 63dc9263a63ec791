//! Sending commands, and the streams that hold them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, StorageType};
use bytes::Bytes;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::deliveries::Deliveries;
use crate::connection::{Connection, MIN_PAYLOAD};
use crate::names::{self, header};

/// The largest body: the rest of a message is its subject and headers.
pub const MAX_BODY: usize = MIN_PAYLOAD - 64 * 1024;
/// The server drops a repeated id within this time: it covers a sender's own retries, and must be shorter than the 30
/// seconds after which a saga repeats an unanswered command, or the repetition would be dropped.
const DUPLICATES: Duration = Duration::from_secs(20);
/// A reason is cut to this, in bytes.
const REASON: usize = 1_024;

/// How the queue is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// On how many servers: 1 or 3.
    pub replicas: usize,
    /// How large it may become, in bytes, before senders are refused. The server sets as much aside.
    pub max_bytes: u64,
    /// How long a sender waits for the server's word.
    pub patience: Duration,
    /// How long dead letters are kept for operators, and how many bytes of them.
    pub dead_max_age: Duration,
    /// See above, in bytes.
    pub dead_max_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            replicas: 1,
            max_bytes: 256 * 1024 * 1024,
            patience: Duration::from_secs(5),
            dead_max_age: Duration::from_secs(30 * 24 * 60 * 60),
            dead_max_bytes: 64 * 1024 * 1024,
        }
    }
}

/// How a service receives.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveOptions {
    /// How long a command may take before it is delivered again; a slower command extends it, see
    /// [`super::Delivery::in_progress`].
    pub ack_wait: Duration,
    /// How many commands may be under way at once.
    pub max_pending: u16,
}

impl Default for ReceiveOptions {
    fn default() -> Self {
        Self { ack_wait: Duration::from_secs(60), max_pending: 256 }
    }
}

/// Why a command is not known to be on the queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It may or may not be there. Sending it again with the same id is safe.
    #[error("the queue did not answer: {0}")]
    Unavailable(String),
    /// The queue holds as much as it may; nothing was added.
    #[error("the queue is full")]
    Full,
    /// It will never be taken.
    #[error("a command of {0} bytes is too large for the queue; at most {MAX_BODY} are allowed")]
    TooLarge(usize),
}

/// A dead letter: a command that its service could not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutAside {
    /// Why.
    pub reason: String,
    /// How long ago.
    pub ago: Duration,
}

/// The queue; clones are cheap.
#[derive(Clone, Debug)]
pub struct Queue {
    pub(super) connection: Connection,
    options: Options,
    /// Whether the streams have been made; forgotten when one is missed.
    made: Arc<Mutex<bool>>,
}

impl Queue {
    /// The queue on this connection. Its streams are made when they are first used, and again when they are lost.
    pub fn new(connection: Connection, options: Options) -> Self {
        Self { connection, options, made: Arc::default() }
    }

    /// Puts a command on a service's queue and waits, a bounded time, until the server has it. `id` is the command's own: sent again
    /// with the same id it is the same command.
    pub async fn send(&self, service: &str, id: Uuid, body: Bytes) -> Result<(), SendError> {
        if body.len() > MAX_BODY {
            return Err(SendError::TooLarge(body.len()));
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::COMMAND_ID, id.to_string());
        headers.insert(NATS_MESSAGE_ID, format!("{}/{id}", names::token(service)));
        let sending = self.put(names::commands(service), headers, body);
        let sent = match tokio::time::timeout(self.options.patience, sending).await {
            Ok(sent) => sent,
            Err(_) => Err(SendError::Unavailable("no answer in time".into())),
        };
        match &sent {
            Ok(()) => metrics::counter!("daybook_commands_sent_total").increment(1),
            Err(_) => metrics::counter!("daybook_commands_send_failures_total").increment(1),
        }
        sent
    }

    /// The commands for a service, for the one process that executes them. Two that receive at once share them.
    #[must_use]
    pub fn receive(&self, service: &str, options: ReceiveOptions) -> Deliveries {
        Deliveries::new(self.clone(), service.to_owned(), options)
    }

    /// The reason and the age of a command's last dead letter, if there is one; the age uses the clocks of the server
    /// and of this machine.
    ///
    /// # Errors
    /// If the queue cannot be queried now.
    pub async fn put_aside(&self, service: &str, id: Uuid) -> Result<Option<PutAside>, SendError> {
        let unavailable = |error: &dyn std::error::Error| SendError::Unavailable(error.to_string());
        if !self.connection.is_connected() {
            return Err(SendError::Unavailable("NATS cannot be reached".into()));
        }
        let asking = async {
            self.ready().await.map_err(SendError::Unavailable)?;
            let stream = self.connection.jetstream();
            let stream = stream.get_stream_no_info(names::DEAD_COMMANDS).await;
            let stream = stream.map_err(|error| unavailable(&error))?;
            let subject = names::dead_command(service, id);
            let message = match stream.get_last_raw_message_by_subject(&subject).await {
                Ok(message) => message,
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                    return Ok(None);
                }
                Err(error) => {
                    self.missed().await;
                    return Err(unavailable(&error));
                }
            };
            let reason = message.headers.get(header::REASON);
            let at = SystemTime::from(message.time);
            Ok(Some(PutAside {
                reason: reason.map(ToString::to_string).unwrap_or_default(),
                ago: at.elapsed().unwrap_or_default(),
            }))
        };
        match tokio::time::timeout(self.options.patience, asking).await {
            Ok(found) => found,
            Err(_) => Err(SendError::Unavailable("no answer in time".into())),
        }
    }

    /// Stores a dead letter with its reason; a repeated dead letter replaces the earlier one.
    pub(super) async fn bury(
        &self,
        service: &str,
        id: Option<Uuid>,
        body: Bytes,
        reason: &str,
    ) -> Result<(), SendError> {
        let mut headers = HeaderMap::new();
        if let Some(id) = id {
            headers.insert(header::COMMAND_ID, id.to_string());
        }
        // Messages without an id are kept apart.
        let id = id.unwrap_or_else(Uuid::now_v7);
        let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON).collect();
        headers.insert(header::REASON, reason);
        self.put(names::dead_command(service, id), headers, body).await
    }

    async fn put(&self, subject: String, headers: HeaderMap, body: Bytes) -> Result<(), SendError> {
        if !self.connection.is_connected() {
            return Err(SendError::Unavailable("NATS cannot be reached".into()));
        }
        // A second attempt after lost streams were created again.
        for _ in 0..2 {
            self.ready().await.map_err(SendError::Unavailable)?;
            let client = self.connection.client();
            let asked = client.request_with_headers(subject.clone(), headers.clone(), body.clone()).await;
            let answer = match asked {
                Ok(answer) => answer,
                Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
                    self.missed().await;
                    continue;
                }
                Err(error) => return Err(SendError::Unavailable(error.to_string())),
            };
            return match serde_json::from_slice::<Response<PublishAck>>(&answer.payload) {
                Ok(Response::Ok(_)) => Ok(()),
                Ok(Response::Err { error }) if error.error_code() == ErrorCode::STREAM_STORE_FAILED => {
                    Err(SendError::Full)
                }
                Ok(Response::Err { error }) => Err(SendError::Unavailable(error.to_string())),
                Err(error) => Err(SendError::Unavailable(error.to_string())),
            };
        }
        Err(SendError::Unavailable("no stream takes it".into()))
    }

    /// Sees to it that the streams are there.
    pub(super) async fn ready(&self) -> Result<(), String> {
        let mut made = self.made.lock().await;
        if *made {
            return Ok(());
        }
        let options = &self.options;
        let common = |name: &str, subject: &str, max_bytes: u64| Config {
            name: name.into(),
            subjects: vec![subject.into()],
            storage: StorageType::File,
            num_replicas: options.replicas,
            max_bytes: i64::try_from(max_bytes).unwrap_or(i64::MAX),
            duplicate_window: DUPLICATES,
            ..Config::default()
        };
        let commands = Config {
            retention: RetentionPolicy::WorkQueue,
            // A full queue refuses new commands; it never drops an accepted one.
            discard: DiscardPolicy::New,
            ..common(names::COMMANDS, "daybook.commands.*", options.max_bytes)
        };
        let dead = Config {
            discard: DiscardPolicy::Old,
            max_messages_per_subject: 1,
            max_age: options.dead_max_age,
            ..common(names::DEAD_COMMANDS, "daybook.dead.>", options.dead_max_bytes)
        };
        for config in [commands, dead] {
            let jetstream = self.connection.jetstream();
            let ensured = jetstream.create_or_update_stream(config).await;
            ensured.map_err(|error| error.to_string())?;
        }
        *made = true;
        Ok(())
    }

    /// A stream was not where it should be.
    pub(super) async fn missed(&self) {
        *self.made.lock().await = false;
    }
}
