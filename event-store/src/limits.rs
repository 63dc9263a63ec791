//! The limits of a batch. The caller's task checks them before the queue, so an oversized batch never reaches the
//! writer.

use std::collections::HashSet;

use crate::append::{Batch, StreamWrite};
use crate::record::StreamId;
use crate::store::Error;

/// The largest event: payload and metadata together.
pub const MAX_EVENT_BYTES: usize = 1024 * 1024;
/// The largest batch.
pub const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;
/// The most events in a batch, and the most streams.
pub const MAX_BATCH_EVENTS: usize = 8_192;

const MAX_TENANT: usize = 255;
const MAX_CATEGORY: usize = 255;
const MAX_STREAM_ID: usize = 2_048;
const MAX_KIND: usize = 255;

/// How much a batch weighs on the queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weight {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

impl std::ops::Add for Weight {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { events: self.events + other.events, bytes: self.bytes + other.bytes }
    }
}

impl Weight {
    /// Whether it is more than a bound, in any respect.
    pub(super) fn exceeds(self, bound: Self) -> bool {
        self.events > bound.events || self.bytes > bound.bytes
    }
}

/// The weight of a batch, if the log accepts it.
pub(super) fn weigh(batch: &Batch) -> Result<Weight, Error> {
    if batch.writes.len() > MAX_BATCH_EVENTS {
        return never(format!("the batch has {} streams, at most {MAX_BATCH_EVENTS} are allowed", batch.writes.len()));
    }
    let mut weight = Weight::default();
    for write in &batch.writes {
        name(&write.stream)?;
        weigh_events(write, &mut weight)?;
    }
    if weight.events == 0 {
        return never("a batch must write at least one event");
    }
    if weight.events > MAX_BATCH_EVENTS {
        return never(format!("the batch has {} events, at most {MAX_BATCH_EVENTS} are allowed", weight.events));
    }
    if weight.bytes > MAX_BATCH_BYTES {
        return never(format!("the batch has {} bytes, at most {MAX_BATCH_BYTES} are allowed", weight.bytes));
    }
    distinct(batch)?;
    Ok(weight)
}

/// Whether the log accepts a name.
fn name(stream: &StreamId) -> Result<(), Error> {
    for (what, part, most) in [
        ("tenant", &stream.tenant, MAX_TENANT),
        ("category", &stream.category, MAX_CATEGORY),
        ("stream id", &stream.id, MAX_STREAM_ID),
    ] {
        if part.is_empty() {
            return never(format!("the {what} of a stream is empty"));
        }
        if part.len() > most {
            return never(format!("the {what} has {} bytes, at most {most} are allowed", part.len()));
        }
    }
    Ok(())
}

fn weigh_events(write: &StreamWrite, weight: &mut Weight) -> Result<(), Error> {
    for event in &write.events {
        let bytes = event.data.len() + event.metadata.len();
        if bytes > MAX_EVENT_BYTES {
            return never(format!("an event has {bytes} bytes, at most {MAX_EVENT_BYTES} are allowed"));
        }
        if event.kind.is_empty() || event.kind.len() > MAX_KIND {
            return never(format!("an event type has {} bytes, 1 to {MAX_KIND} are allowed", event.kind.len()));
        }
        weight.events += 1;
        weight.bytes += bytes + write.stream.id.len() + 160;
    }
    Ok(())
}

fn distinct(batch: &Batch) -> Result<(), Error> {
    if batch.writes.len() > 1 {
        let mut seen = HashSet::with_capacity(batch.writes.len());
        if let Some(twice) = batch.writes.iter().find(|write| !seen.insert(&write.stream)) {
            return never(format!("stream {:?} occurs twice in one batch", twice.stream));
        }
    }
    let mut seen = HashSet::new();
    let mut events = batch.writes.iter().flat_map(|write| &write.events);
    if batch.writes.len() == 1 && batch.writes[0].events.len() == 1 {
        return Ok(());
    }
    match events.find(|event| !seen.insert(event.event_id)) {
        Some(twice) => never(format!("event id {} occurs twice in one batch", twice.event_id)),
        None => Ok(()),
    }
}

fn never<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::Never(text.into()))
}
