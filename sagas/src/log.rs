//! Converts records to the events that commands wrote, and back. Streams are folded only by `streams`, so that no saga
//! decides on a record that another reader cannot read.

use std::sync::Arc;

use domain::ids::Tenant;
use domain::saga::{Batch, PaymentSeen, Recorded};
use domain::time::Timestamp;
use domain::{Aggregate, Event, stream};
use event_store::partition::Correlate;
use event_store::record::{Position, Record, StreamId, Version};
use event_store::{Error, EventStore, Filter};
use schemas::{Stored, StoredEvent as _};
use streams::{Entry, Unreadable, Until};
use uuid::Uuid;

/// The records of one command, which are consecutive in the log; in a partition, those of them that belong to it.
pub(crate) struct Group<'a> {
    pub(crate) records: &'a [Record],
    pub(crate) command_id: Uuid,
    pub(crate) recorded_at: Timestamp,
}

/// Cuts a page into commands.
pub(crate) fn groups(records: &[Record]) -> impl Iterator<Item = Group<'_>> {
    records.chunk_by(|a, b| a.command_id == b.command_id).filter_map(|records| {
        let first = records.first()?;
        Some(Group { records, command_id: first.command_id, recorded_at: Timestamp::from_micros(first.recorded_at) })
    })
}

/// The event of a record; `None` if it cannot be read, which the caller must have handled before.
pub(crate) fn decode(record: &Record) -> Option<Recorded> {
    let read = streams::decode(record).ok()?;
    Some(Recorded { stream: record.stream.id.clone(), version: record.version, event: read.event })
}

/// Counts and logs an unreadable record, and what is not done because of it.
pub(crate) fn unreadable(unreadable: &Unreadable, reader: &'static str) {
    crate::meters::undecodable(reader);
    let Unreadable { stream, position, version, kind, reason } = unreadable;
    tracing::error!(
        %stream,
        position,
        version,
        %kind,
        reason,
        reader,
        "a record cannot be read, and nothing reacts to its stream; see docs/operations.md, 'A record cannot be read'"
    );
}

/// Whether sagas observe the events of a record's stream, whatever their cause.
pub(crate) fn listened_to(record: &Record) -> bool {
    matches!(&*record.stream.category, stream::ORDER | stream::RESERVATION | stream::PAYMENT)
}

/// What a record's work belongs to, for the doors of the log: as the runners have it.
#[must_use]
pub fn correlate() -> Correlate {
    Arc::new(correlation)
}

pub(crate) fn correlation(record: &Record) -> Uuid {
    let stream = &record.stream;
    schemas::metadata::correlation(&stream.category, &stream.id, &record.metadata)
}

/// The event that a record was written because of; nil if it does not say.
pub(crate) fn causation(record: &Record) -> Uuid {
    schemas::Metadata::decode(&record.metadata).ok().and_then(|metadata| metadata.causation).unwrap_or_default()
}

/// The durable end of the log as the store itself has it now; the watch on it may lag behind in another process.
pub(crate) async fn durable_head(store: &dyn EventStore) -> Result<Position, Error> {
    let known = store.head().borrow().position;
    let page = store.read_log(known, &Filter::default(), 1).await?;
    Ok(page.head.max(known))
}

/// The hash at a position; `None` if the log ends before it.
pub(crate) async fn hash_at(store: &dyn EventStore, position: Position) -> Result<Option<[u8; 32]>, Error> {
    let Some(before) = position.checked_sub(1) else {
        return Ok(Some([0; 32]));
    };
    let page = store.read_log(before, &Filter::default(), 1).await?;
    let found = page.records.iter().find(|it| it.position == position);
    Ok(found.map(|record| record.hash))
}

/// The domain's tenant of a record.
pub(crate) fn tenant(record: &Record) -> Option<Tenant> {
    Tenant::stored(&*record.stream.tenant).ok()
}

/// The store's name of a domain stream.
pub(crate) fn stream_id(tenant: &Tenant, name: &stream::StreamName) -> StreamId {
    StreamId::new(tenant.as_str(), name.category, name.id.as_str())
}

/// Folds an aggregate's stream up to a version.
///
/// # Errors
/// If the store fails, or a record cannot be read and none sets it aside: nothing is decided on a state that never was.
pub(crate) async fn fold<A: Stored>(
    store: &dyn EventStore,
    stream: &StreamId,
    to: Version,
) -> Result<A, streams::Error> {
    streams::fold(store, stream, Until::Version(to), None, A::default, |state: &mut A, _, event| {
        if let Some(event) = event.and_then(<A as Aggregate>::Event::of) {
            state.evolve(event);
        }
    })
    .await
}

/// A whole stream as evidence, with its payment.
///
/// # Errors
/// As [`fold`].
pub(crate) async fn evidence(
    store: &dyn EventStore,
    tenant: &Tenant,
    name: &stream::StreamName,
) -> Result<Batch, streams::Error> {
    let entries = streams::entries(store, &stream_id(tenant, name), Until::End).await?;
    let version = entries.last().map_or(0, |last| last.record.version);
    let mut payment = domain::payment::Payment::default();
    let mut events = Vec::with_capacity(entries.len());
    for Entry { record, event } in entries {
        let Some(event) = event else { continue };
        if let Event::Payment(event) = &event {
            payment.evolve(event);
        }
        events.push(Recorded { stream: record.stream.id.clone(), version: record.version, event });
    }
    let seen = name.id.parse().ok().filter(|_| name.category == stream::PAYMENT);
    Ok(Batch {
        partial: false,
        command_id: Uuid::nil(),
        events,
        payment: seen.map(|payment_id| PaymentSeen { payment_id, version, payment: Arc::new(payment) }),
    })
}
