//! Decodes one record: it counts as read only if its type, schema version, bytes and metadata are known here, and its
//! event belongs in its stream.

use std::fmt::Write as _;
use std::sync::Arc;

use domain::{Event, stream};
use event_store::record::{Position, Record, StreamId, Version};
use schemas::{Metadata, registry};
use uuid::Uuid;

/// The longest reason that is kept of why a record cannot be read, in characters.
const LONGEST_REASON: usize = 500;

/// What a record says.
#[derive(Clone, Debug)]
pub struct Read {
    /// What happened.
    pub event: Event,
    /// The actor, the party acted for, and the cause.
    pub metadata: Metadata,
}

/// A record that cannot be read here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record at position {position} ({stream}, version {version}, {kind}) cannot be read: {reason}")]
pub struct Unreadable {
    /// Its stream.
    pub stream: StreamId,
    /// Its place in the log.
    pub position: Position,
    /// Its place in its stream.
    pub version: Version,
    /// Its stored type name.
    pub kind: Arc<str>,
    /// Why it cannot be read, at most 500 characters.
    pub reason: String,
}

impl Unreadable {
    /// That a record cannot be read, and why.
    #[must_use]
    pub fn new(record: &Record, reason: &str) -> Self {
        Self {
            stream: record.stream.clone(),
            position: record.position,
            version: record.version,
            kind: Arc::clone(&record.kind),
            reason: reason.chars().take(LONGEST_REASON).collect(),
        }
    }
}

/// Reads a record.
///
/// # Errors
/// If its type, its schema version, its bytes or its metadata are not known here, or its stream is not one for such an event.
pub fn decode(record: &Record) -> Result<Read, Box<Unreadable>> {
    let event = event(record)?;
    let metadata = Metadata::decode(&record.metadata).map_err(|error| unreadable(record, &chain(&error)))?;
    Ok(Read { event, metadata })
}

/// The same for callers that do not need the metadata; malformed metadata is still refused.
///
/// # Errors
/// As [`decode`], except for the metadata.
pub fn event(record: &Record) -> Result<Event, Box<Unreadable>> {
    let event = registry::decode(&record.kind, record.schema_version, &record.data)
        .map_err(|error| unreadable(record, &chain(&error)))?;
    match misplaced(&record.stream, &event) {
        None => Ok(event),
        Some(reason) => Err(unreadable(record, reason)),
    }
}

fn unreadable(record: &Record, reason: &str) -> Box<Unreadable> {
    Box::new(Unreadable::new(record, reason))
}

/// Why an event cannot be part of a stream, if it cannot.
fn misplaced(stream: &StreamId, event: &Event) -> Option<&'static str> {
    let category = match event {
        Event::Order(_) => stream::ORDER,
        Event::Payment(_) => stream::PAYMENT,
        Event::Stock(_) => stream::STOCK,
        Event::Reservation(_) => stream::RESERVATION,
        Event::Reference(_) => stream::REFERENCE,
        Event::Outcome(_) => stream::OUTCOME,
        Event::Import(_) => stream::IMPORT,
        Event::Saga(_) => stream::SAGA,
        // A record of any category can be set aside.
        Event::Record(_) => return None,
    };
    if *stream.category != *category {
        return Some("an event of its type does not belong in a stream of that category");
    }
    let named = match category {
        stream::ORDER | stream::PAYMENT | stream::RESERVATION => stream.id.parse::<Uuid>().is_ok(),
        // Read models could not show a stock whose SKU and location are unknown.
        stream::STOCK => stream::parse_stock(&stream.id).is_some(),
        _ => true,
    };
    (!named).then_some("its stream's id names nothing of its category")
}

/// An error and what led to it, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let _ = write!(text, ": {source}");
        next = source.source();
    }
    text
}
