//! Stored type name and schema version on the one side, domain event on the other. A name or a version that was ever written is
//! never given another meaning.

mod kinds;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use domain::{Aggregate, Event};
use schemars::Schema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::upcast;

/// An event as it is stored. Its payload is never printed: a token of a means of payment may be in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The stored type name.
    pub kind: Arc<str>,
    /// The version of that type's schema.
    pub schema_version: u32,
    /// The payload: compact JSON.
    pub data: Bytes,
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.v{} of {} bytes", self.kind, self.schema_version, self.data.len())
    }
}

/// Why an event cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such type is known here.
    #[error("events of the type {kind} (version {version}) are not known here")]
    UnknownKind {
        /// The stored type name.
        kind: String,
        /// The stored schema version.
        version: u32,
    },
    /// The type is known, and not in this version: a newer Daybook wrote it.
    #[error("version {version} of the event type {kind} is not known here; the newest known is {newest}")]
    UnknownVersion {
        /// The stored type name.
        kind: String,
        /// The stored schema version.
        version: u32,
        /// The newest version that is known.
        newest: u32,
    },
    /// The bytes do not match the type's schema.
    #[error("the data of an event of type {kind}, version {version}, is not well-formed")]
    Malformed {
        /// The stored type name.
        kind: &'static str,
        /// The stored schema version.
        version: u32,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// The event has no JSON form.
    #[error("an event of type {kind} cannot be written as JSON")]
    Unwritable {
        /// The stored type name.
        kind: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

/// The events of one aggregate or process, with their stored form.
pub trait StoredEvent: Sized + Send + Sync + 'static {
    /// The stored names of its types.
    const KINDS: &'static [&'static str];

    /// The stored name of this event's type.
    fn kind(&self) -> &'static str;

    /// The stored form, in the newest schema version.
    ///
    /// # Errors
    /// If the event has no JSON form, which no event of the domain lacks.
    fn encode(&self) -> Result<Encoded, Error>;

    /// Reads the stored form, of any version.
    ///
    /// # Errors
    /// If the type, its version or the bytes are not known here.
    fn decode(kind: &str, schema_version: u32, data: &[u8]) -> Result<Self, Error>;

    /// The event, if it is one of these.
    fn of(event: &Event) -> Option<&Self>;

    /// The same among the events of all aggregates.
    fn event(&self) -> Event;

    /// The correlation of an event, if it differs from its command's: received stock goes to the orders that wait for
    /// it, and each allocation belongs to its order.
    fn correlation(&self) -> Option<Uuid> {
        None
    }
}

/// An aggregate whose events have a stored form.
pub trait Stored: Aggregate<Event: StoredEvent> {}

impl<A: Aggregate<Event: StoredEvent>> Stored for A {}

/// The codec of a stored type.
struct Kind {
    decode: fn(u32, &[u8]) -> Result<Event, Error>,
    schema: fn() -> Schema,
}

static KINDS: LazyLock<HashMap<&'static str, Kind>> = LazyLock::new(|| kinds::all().into_iter().collect());

/// The stored names of all types, in no order.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.keys().copied()
}

/// The schema version in which events of a type are written now, `None` if there is no such type.
#[must_use]
pub fn newest_version(kind: &str) -> Option<u32> {
    KINDS.contains_key(kind).then(|| upcast::newest(kind))
}

/// The JSON Schema of a type in its newest version, `None` if there is no such type.
#[must_use]
pub fn schema(kind: &str) -> Option<Schema> {
    let mut schema = (KINDS.get(kind)?.schema)();
    schema.insert("title".into(), kind.into());
    Some(schema)
}

/// Reads a stored event of any type and version.
///
/// # Errors
/// If the type, its version or the bytes are not known here.
pub fn decode(kind: &str, schema_version: u32, data: &[u8]) -> Result<Event, Error> {
    match KINDS.get(kind) {
        Some(known) => (known.decode)(schema_version, data),
        None => Err(unknown(kind, schema_version)),
    }
}

/// The stored form of an event of any type, in the newest schema version.
///
/// # Errors
/// If the event has no JSON form, which no event of the domain lacks.
pub fn encode(event: &Event) -> Result<Encoded, Error> {
    match event {
        Event::Order(event) => event.encode(),
        Event::Payment(event) => event.encode(),
        Event::Stock(event) => event.encode(),
        Event::Reservation(event) => event.encode(),
        Event::Reference(event) => event.encode(),
        Event::Outcome(event) => event.encode(),
        Event::Import(event) => event.encode(),
        Event::Saga(event) => event.encode(),
        Event::Record(event) => event.encode(),
    }
}

fn unknown(kind: &str, version: u32) -> Error {
    Error::UnknownKind { kind: kind.to_owned(), version }
}

fn write<T: Serialize>(kind: &'static str, name: &Arc<str>, payload: &T) -> Result<Encoded, Error> {
    let data = serde_json::to_vec(payload).map_err(|source| Error::Unwritable { kind, source })?;
    // Every appended event must stay readable. The types ensure that; every test that writes an event checks it again.
    debug_assert!(
        decode(kind, upcast::newest(kind), &data).is_ok(),
        "an event of type {kind} cannot be read again: {}",
        String::from_utf8_lossy(&data)
    );
    Ok(Encoded { kind: Arc::clone(name), schema_version: upcast::newest(kind), data: data.into() })
}

fn read<T: DeserializeOwned>(kind: &'static str, version: u32, data: &[u8]) -> Result<T, Error> {
    let newest = upcast::newest(kind);
    if version == 0 || version > newest {
        return Err(Error::UnknownVersion { kind: kind.to_owned(), version, newest });
    }
    let read = if version == newest {
        serde_json::from_slice(data)
    } else {
        serde_json::from_slice(data).and_then(|old| serde_json::from_value(upcast::bring(kind, version, old)))
    };
    read.map_err(|source| Error::Malformed { kind, version, source })
}

#[cfg(test)]
mod tests {
    use domain::order;

    use super::*;

    #[test]
    fn an_unknown_type_and_a_newer_version_are_named() {
        let unknown = decode("OrderDreamt", 3, b"{}").expect_err("no such type");
        assert_eq!(unknown.to_string(), "events of the type OrderDreamt (version 3) are not known here");
        let newer = decode("OrderCompleted", 2, b"{}").expect_err("no such version");
        assert_eq!(
            newer.to_string(),
            "version 2 of the event type OrderCompleted is not known here; the newest known is 1"
        );
        assert!(matches!(decode("OrderCompleted", 0, b"{}"), Err(Error::UnknownVersion { version: 0, .. })));
        assert!(matches!(decode("OrderCancelled", 1, b"{}"), Err(Error::Malformed { .. })));
    }

    #[test]
    fn an_aggregate_reads_its_own_events_only() {
        let done = order::Event::Completed(order::event::Completed {});
        let stored = done.encode().expect("has a form");
        assert_eq!((&*stored.kind, stored.schema_version), ("OrderCompleted", 1));
        assert_eq!(stored.data, "{}");
        let read = order::Event::decode(&stored.kind, stored.schema_version, &stored.data);
        assert_eq!(read.expect("its own"), done);
        assert!(domain::stock::Event::decode(&stored.kind, 1, &stored.data).is_err());
    }

    #[test]
    fn no_name_is_used_twice() {
        assert_eq!(kinds::all().len(), KINDS.len());
    }
}
