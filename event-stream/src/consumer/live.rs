//! One door's subscription to a generation of the event stream: short-lived, from our own position on, nothing acknowledged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::pull::{self, MessagesErrorKind};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::message::Message;
use event_store::partition::Door;
use event_store::record::{Position, Record};
use futures_util::StreamExt;
use uuid::Uuid;

use crate::connection::Connection;
use crate::envelope::Envelope;
use crate::frame;
use crate::names;
use crate::progress::Progress;

/// Messages asked for at a time.
const BATCH: usize = 512;
/// A request for messages is renewed this often.
const EXPIRES: Duration = Duration::from_secs(20);
/// The server's heartbeat interval.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The server deletes an unused subscription after this time.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// A subscription.
pub(super) struct Live {
    pub(super) generation: u64,
    base: Position,
    messages: pull::Stream,
    /// When a message was last compared with the store.
    pub(super) checked: Option<Instant>,
}

/// What a message turned out to be.
pub(super) enum Came {
    /// The next record of the door, and whether it is the last of its command there.
    Next(Box<Record>, bool),
    /// It was seen before.
    Seen,
    /// Something before it was not.
    Hole(Position),
    /// It is not this store's.
    Foreign(String),
}

impl Live {
    /// Subscribes to what a door has after a position, which is not before the generation's base.
    pub(super) async fn open(
        connection: Connection,
        door: Door,
        progress: Arc<Progress>,
        after: Position,
    ) -> Result<Self, String> {
        let generation = progress.generation;
        let stream = connection
            .jetstream()
            .get_stream_no_info(names::stream(generation))
            .await
            .map_err(|error| error.to_string())?;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after - progress.base + 1 },
            ack_policy: AckPolicy::None,
            filter_subject: names::through(generation, &door),
            inactive_threshold: FORGOTTEN,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(|error| error.to_string())?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(BATCH)
            .expires(EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(|error| error.to_string())?;
        Ok(Self { generation, base: progress.base, messages, checked: None })
    }

    /// The next message; an error is the end of the subscription. Dropping the future loses nothing.
    pub(super) async fn message(&mut self) -> Result<Message, String> {
        match self.messages.next().await {
            Some(Ok(message)) => Ok(message),
            Some(Err(error)) if error.kind() == MessagesErrorKind::MissingHeartbeat => {
                Err("the server is silent".into())
            }
            Some(Err(error)) => Err(error.to_string()),
            None => Err("the subscription has ended".into()),
        }
    }

    /// Judges a message against what the door has seen.
    pub(super) fn judge(&self, message: Message, door: &Door, incarnation: Uuid, seen: Position) -> Came {
        let Some(envelope) = message.headers.as_ref().and_then(Envelope::read) else {
            return Came::Foreign("a message is not a record".into());
        };
        if envelope.incarnation != incarnation {
            return Came::Foreign("a message is from another store".into());
        }
        let sequence = message.info().map(|info| info.stream_sequence);
        if sequence.ok() != envelope.position.checked_sub(self.base) {
            return Came::Foreign(format!("the record at {} has the wrong sequence", envelope.position));
        }
        if envelope.position <= seen {
            return Came::Seen;
        }
        if envelope.previous(door) > seen {
            return Came::Hole(envelope.position);
        }
        let body = message.message.payload;
        match frame::decode(body, envelope.position, envelope.hash) {
            Ok(record) if door.admits(&record) => Came::Next(Box::new(record), envelope.ends(door)),
            Ok(_) => Came::Foreign("a record came through the wrong partition".into()),
            Err(error) => Came::Foreign(error.to_string()),
        }
    }
}
