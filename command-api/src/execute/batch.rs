//! The batch of a decision. It contains every stream that the decision read, with the last event read: a decision on a
//! state that differs from the log's is never written.

use bytes::Bytes;
use domain::outcome::{self, RestsOn};
use domain::stream::{self, StreamName};
use event_store::append::{Batch, Expectation, NewEvent, StreamWrite};
use event_store::record::StreamId;
use schemas::{Encoded, Metadata, StoredEvent};
use streams::Unreadable;
use uuid::Uuid;

use super::Request;
use super::done::Verdict;
use super::error::Error;
use super::load::Held;

/// How many of the streams that a command was decided on are named in its outcome: an event has its bounds.
const MOST_NAMED: usize = 500;

/// The metadata of a batch's events.
struct Envelope<'a> {
    metadata: &'a Metadata,
    bytes: Bytes,
}

impl Envelope<'_> {
    fn event(&self, encoded: Encoded, correlation: Option<Uuid>) -> NewEvent {
        let metadata = match correlation {
            Some(correlation) if correlation != self.metadata.correlation => {
                Metadata { correlation, ..self.metadata.clone() }.encode()
            }
            _ => self.bytes.clone(),
        };
        event(encoded, metadata)
    }
}

/// An event to be written, with an id of its own.
pub(super) fn event(encoded: Encoded, metadata: Bytes) -> NewEvent {
    NewEvent {
        event_id: Uuid::now_v7(),
        kind: encoded.kind,
        schema_version: encoded.schema_version,
        data: encoded.data,
        metadata,
    }
}

/// The expectation on a stream that was read.
pub(super) fn expected(held: &Held) -> Expectation {
    match held.last {
        Some(event_id) => Expectation::At { version: held.version, event_id },
        None => Expectation::NoStream,
    }
}

/// One stream of a decision: its last version, and its new events.
pub(super) struct Decided<'a> {
    pub(super) stream: &'a StreamId,
    pub(super) held: &'a Held,
    pub(super) events: Vec<(Encoded, Option<Uuid>)>,
}

/// The batch of a command that takes effect.
pub(super) fn applied(request: &Request, decided: Vec<Decided<'_>>) -> Batch {
    let envelope = Envelope { metadata: &request.metadata, bytes: request.metadata.encode() };
    let writes = decided
        .into_iter()
        .map(|part| StreamWrite {
            stream: part.stream.clone(),
            expected: expected(part.held),
            events: part
                .events
                .into_iter()
                .map(|(encoded, correlation)| envelope.event(encoded, correlation))
                .collect(),
        })
        .collect();
    batch(request, writes)
}

/// The batch of a command that changes nothing: its outcome alone, checked against all that it was decided on.
pub(super) fn settled(
    request: &Request,
    verdict: outcome::Verdict,
    looked_at: &[(&StreamName, &StreamId, &Held)],
) -> Result<(Batch, outcome::Event), Error> {
    let event = outcome::Event::Settled(outcome::Settled {
        verdict,
        // In order of category, so that only stock is left out.
        rests_on: looked_at
            .iter()
            .take(MOST_NAMED)
            .map(|(name, _, held)| RestsOn {
                category: name.category.to_owned(),
                id: name.id.clone(),
                version: held.version,
            })
            .collect(),
    });
    let encoded = event.encode().map_err(|error| Error::Plan(error.to_string()))?;
    let envelope = Envelope { metadata: &request.metadata, bytes: request.metadata.encode() };
    let mut writes: Vec<StreamWrite> = looked_at
        .iter()
        .map(|(_, stream, held)| StreamWrite {
            stream: (*stream).clone(),
            expected: expected(held),
            events: Vec::new(),
        })
        .collect();
    writes.push(StreamWrite {
        stream: request.stream_id(&stream::outcome(request.command_id)),
        expected: Expectation::NoStream,
        events: vec![envelope.event(encoded, None)],
    });
    Ok((batch(request, writes), event))
}

fn batch(request: &Request, writes: Vec<StreamWrite>) -> Batch {
    Batch { command_id: request.command_id, fingerprint: request.fingerprint, writes }
}

/// The contents of a receipt's outcome stream, with the streams that it depends on.
pub(super) fn read_settled(entry: &streams::Entry) -> Result<(Verdict, Vec<(StreamName, u64)>), Error> {
    let Some(event) = &entry.event else {
        return Err(Error::OutcomeSetAside { position: entry.record.position });
    };
    let unreadable = |reason: &str| Error::from(Box::new(Unreadable::new(&entry.record, reason)));
    let Some(outcome::Event::Settled(settled)) = outcome::Event::of(event) else {
        return Err(unreadable("it is no outcome of a command"));
    };
    let streams = settled
        .rests_on
        .iter()
        .map(|on| {
            let name = schemas::stream::name(&on.category, &on.id)
                .ok_or_else(|| unreadable("it rests on a stream of a category that is not known here"))?;
            Ok((name, on.version))
        })
        .collect::<Result<_, Error>>()?;
    Ok((settled.verdict.clone().into(), streams))
}
