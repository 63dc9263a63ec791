//! Records as commands wrote them, and events as records. A record that cannot be read is counted and told, and never stops its
//! neighbours.

use std::sync::Arc;

use domain::ids::Tenant;
use domain::saga::{Batch, PaymentSeen, Recorded};
use domain::time::Timestamp;
use domain::{Aggregate, Event, stream};
use event_store::partition::Correlate;
use event_store::record::{Position, Record, StreamId, Version};
use event_store::{Direction, Error, EventStore, Filter};
use uuid::Uuid;

/// How many records of a stream are read at once.
const STREAM_PAGE: usize = 512;

/// The records of one command, which stand side by side in the log; through a door, those of them that come through it.
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

/// The event of a record; `None` if it cannot be read here.
pub(crate) fn decode(record: &Record) -> Option<Recorded> {
    match schemas::registry::decode(&record.kind, record.schema_version, &record.data) {
        Ok(event) => Some(Recorded { stream: record.stream.id.clone(), version: record.version, event }),
        Err(error) => {
            crate::meters::undecodable();
            tracing::error!(
                position = record.position,
                kind = %record.kind,
                error = &error as &dyn std::error::Error,
                "a record cannot be read and is passed over"
            );
            None
        }
    }
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

/// The hash at a position; `None` if the log does not go so far.
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

/// Reads a stream from its beginning, up to a version.
pub(crate) async fn read_stream(store: &dyn EventStore, stream: &StreamId, to: Version) -> Result<Vec<Record>, Error> {
    let mut records: Vec<Record> = Vec::new();
    loop {
        let from = records.last().map_or(1, |last| last.version + 1);
        let wanted = to.saturating_sub(from - 1);
        if wanted == 0 {
            return Ok(records);
        }
        let limit = usize::try_from(wanted).map_or(STREAM_PAGE, |wanted| wanted.min(STREAM_PAGE));
        let page = store.read_stream(stream, from, Direction::Forwards, limit).await?;
        let full = page.len() >= limit;
        records.extend(page.into_iter().filter(|record| record.version <= to));
        if !full {
            return Ok(records);
        }
    }
}

/// Folds an aggregate's stream up to a version.
pub(crate) async fn fold<A: Aggregate>(
    store: &dyn EventStore,
    stream: &StreamId,
    to: Version,
    pick: fn(Event) -> Option<A::Event>,
) -> Result<A, Error> {
    let mut state = A::default();
    for record in read_stream(store, stream, to).await? {
        let event = decode(&record).and_then(|recorded| pick(recorded.event));
        if let Some(event) = event {
            state.evolve(&event);
        }
    }
    Ok(state)
}

/// All of a stream as evidence, with the payment that it tells of.
pub(crate) async fn evidence(
    store: &dyn EventStore,
    tenant: &Tenant,
    name: &stream::StreamName,
) -> Result<Batch, Error> {
    let records = read_stream(store, &stream_id(tenant, name), Version::MAX).await?;
    let version = records.last().map_or(0, |last| last.version);
    let events: Vec<_> = records.iter().filter_map(decode).collect();
    let mut payment = domain::payment::Payment::default();
    for recorded in &events {
        if let Event::Payment(event) = &recorded.event {
            payment.evolve(event);
        }
    }
    let seen = name.id.parse().ok().filter(|_| name.category == stream::PAYMENT);
    Ok(Batch {
        command_id: Uuid::nil(),
        events,
        payment: seen.map(|payment_id| PaymentSeen { payment_id, version, payment: Arc::new(payment) }),
    })
}
