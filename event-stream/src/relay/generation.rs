//! Generations: whether the stream that is there can be gone on with, and how a new one begins.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RawMessageErrorKind, RetentionPolicy, StorageType};
use event_store::hash::{Hash, START};
use event_store::partition::{self, CORRELATIONS, STREAMS};
use event_store::record::Position;
use event_store::{Error, EventStore, Filter, Head};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::Options;
use super::batch::Tail;
use crate::connection::Connection;
use crate::envelope::{Envelope, hex, unhex};
use crate::names;

/// How long the store may take to return a position. Without an answer by then, nothing is known about that position.
const ANSWER: Duration = Duration::from_secs(15);
/// How long a position that the store does not have may still be on its way to it: several polling intervals.
const ARRIVES: Duration = Duration::from_secs(1);

/// How many generations stay: the one that is published, and the one before it for readers that are still on their way.
const KEPT: u64 = 2;

/// A generation, as the relay's row keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Generation {
    pub(super) number: u64,
    /// The position before its first message, and the hash there.
    pub(super) base: Position,
    hash: String,
}

/// The state of a generation's stream.
#[derive(Debug)]
pub(super) enum Found {
    /// The stream, and where it ends.
    Tail(Box<Tail>),
    /// A relay of a newer epoch has published.
    Newer(u64),
    /// Nothing that can be gone on with.
    Unusable(String),
}

/// The generation at the store's head.
pub(super) fn at_head(number: u64, head: Head) -> Generation {
    Generation { number, base: head.position, hash: hex(&head.hash) }
}

/// The number after all that have been used: by the row, and by the streams that are there (a row from an old backup is behind).
pub(super) async fn next_number(connection: &Connection, row: u64) -> Result<u64, String> {
    let mut names = connection.jetstream().stream_names();
    let mut most = row;
    while let Some(name) = names.try_next().await.map_err(|error| error.to_string())? {
        most = most.max(names::generation(&name).unwrap_or(0));
    }
    Ok(most + 1)
}

impl Generation {
    fn metadata(&self, store: &dyn EventStore) -> HashMap<String, String> {
        HashMap::from([
            ("daybook.incarnation".into(), store.incarnation().to_string()),
            ("daybook.generation".into(), self.number.to_string()),
            ("daybook.base".into(), self.base.to_string()),
            ("daybook.partitions.streams".into(), STREAMS.to_string()),
            ("daybook.partitions.correlations".into(), CORRELATIONS.to_string()),
            ("daybook.partitions.hash".into(), partition::HASH.to_string()),
        ])
    }

    /// Makes the stream.
    pub(super) async fn create(
        &self,
        connection: &Connection,
        store: &dyn EventStore,
        options: &Options,
    ) -> Result<(), String> {
        let config = Config {
            name: names::stream(self.number),
            subjects: vec![names::all(self.number)],
            storage: StorageType::File,
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            num_replicas: options.replicas,
            max_age: options.max_age,
            max_bytes: i64::try_from(options.max_bytes).unwrap_or(i64::MAX),
            deny_delete: true,
            deny_purge: true,
            allow_atomic_publish: true,
            metadata: self.metadata(store),
            ..Config::default()
        };
        let made = connection.jetstream().create_stream(config).await;
        made.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Looks at the stream and compares it with the store. `reached` is a position that the stream is known to have had.
    pub(super) async fn inspect(
        &self,
        connection: &Connection,
        store: &dyn EventStore,
        epoch: u64,
        reached: Position,
    ) -> Result<Found, String> {
        let name = names::stream(self.number);
        let stream = match connection.jetstream().get_stream(&name).await {
            Ok(stream) => stream,
            Err(error) => {
                return match error.kind() {
                    GetStreamErrorKind::JetStream(reason) if reason.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                        unusable("it does not exist")
                    }
                    _ => Err(error.to_string()),
                };
            }
        };
        let info = stream.cached_info();
        if let Some(reason) = self.differs(info, store) {
            return unusable(reason);
        }
        let last = info.state.last_sequence;
        if self.base + last < reached {
            return unusable("it is shorter than it was");
        }
        let (position, hash) = if last == 0 {
            (self.base, unhex(&self.hash).unwrap_or(START))
        } else if info.state.messages == 0 {
            // Nothing is left whose hash could be compared.
            return unusable("all its messages have aged out");
        } else {
            let message = match stream.get_raw_message(last).await {
                Ok(message) => message,
                Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => {
                    return unusable("its last message is missing");
                }
                Err(error) => return Err(error.to_string()),
            };
            let Some(envelope) = Envelope::read(&message.headers) else {
                return unusable("its last message is not a record");
            };
            if envelope.incarnation != store.incarnation() {
                return unusable("its last message is from another store");
            }
            if envelope.position != self.base + last {
                return unusable("its last message has the wrong sequence");
            }
            if envelope.epoch > epoch {
                return Ok(Found::Newer(envelope.epoch));
            }
            (envelope.position, envelope.hash)
        };
        match hash_at(store, position).await.map_err(|e| e.to_string())? {
            None => unusable("it is ahead of the store"),
            Some(stored) if stored != hash => unusable("its last record differs from the store's"),
            Some(_) => Ok(Found::Tail(Box::new(Tail::at(position, hash)))),
        }
    }

    fn differs(&self, info: &Info, store: &dyn EventStore) -> Option<&'static str> {
        let metadata = &info.config.metadata;
        let same = self.metadata(store).iter().all(|(key, value)| metadata.get(key) == Some(value));
        if !same {
            return Some("it belongs to another store or was created with other settings");
        }
        (!info.config.allow_atomic_publish).then_some("it takes no atomic batches")
    }
}

/// Deletes this store's unused generations. Those of another store stay: a relay cannot tell an abandoned store from
/// one that is served beside this one. So the log reports them, and an operator deletes them.
pub(super) async fn forget_old(connection: &Connection, store: &dyn EventStore, current: u64) -> Result<(), String> {
    let mut streams = connection.jetstream().streams();
    let mut others = 0;
    while let Some(info) = streams.try_next().await.map_err(|e| e.to_string())? {
        let old = names::generation(&info.config.name).is_some_and(|generation| generation + KEPT <= current);
        let incarnation = info.config.metadata.get("daybook.incarnation");
        let ours = incarnation == Some(&store.incarnation().to_string());
        if names::generation(&info.config.name).is_some() && !ours {
            others += 1;
            tracing::warn!(
                stream = %info.config.name,
                bytes = info.state.bytes,
                "the broker holds the events of another store; if that store is gone, run `nats stream rm`"
            );
        }
        if old && ours {
            tracing::info!(stream = %info.config.name, "an old generation was deleted");
            let deleted = connection.jetstream().delete_stream(&info.config.name).await;
            deleted.map_err(|error| error.to_string())?;
        }
    }
    metrics::gauge!("daybook_relay_foreign_streams").set(f64::from(others));
    Ok(())
}

/// The hash of the record at a position; `None` if the store answered that it has no record there. A missing or late
/// answer is an error, from which nothing may be concluded.
pub(crate) async fn hash_at(store: &dyn EventStore, position: Position) -> Result<Option<Hash>, Error> {
    let Some(before) = position.checked_sub(1) else {
        return Ok(Some(START));
    };
    let mut arriving = false;
    loop {
        let asked = timeout(ANSWER, store.read_log(before, &Filter::default(), 1)).await;
        let page = asked
            .unwrap_or_else(|_| Err(Error::Read(format!("the store did not return position {position} in time"))))?;
        if let Some(record) = page.records.first().filter(|record| record.position == position) {
            return Ok(Some(record.hash));
        }
        if page.head >= position {
            return Err(Error::Damaged { position, what: "there is no record".into() });
        }
        if arriving {
            return Ok(None);
        }
        // Another process's commit may be known here before a store that does not poll its head reports it.
        let mut head = store.head();
        drop(timeout(ARRIVES, head.wait_for(|head| head.position >= position)).await);
        arriving = true;
    }
}

fn unusable(reason: impl Into<String>) -> Result<Found, String> {
    Ok(Found::Unusable(reason.into()))
}
