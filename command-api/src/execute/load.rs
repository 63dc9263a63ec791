//! A stream's fold, read from the store: the newest snapshot that fits and the events after it. A snapshot is a cache and never believed
//! where the log says otherwise.

use domain::Event;
use event_store::record::{Record, StreamId, Version};
use event_store::{Direction, EventStore};
use streams::{Start, Until};
use uuid::Uuid;

use super::error::Error;
use super::fold::{Fold, NO_SNAPSHOTS, Type};

/// A stream as it was at a version.
pub(super) struct Held {
    pub(super) fold: Box<dyn Fold>,
    pub(super) version: Version,
    pub(super) last: Option<Uuid>,
}

impl Held {
    pub(super) fn empty(of: Type) -> Self {
        Self { fold: (of.fresh)(), version: 0, last: None }
    }

    /// Whether the log has gone on without this fold: another process writes the stream too.
    pub(super) fn is_behind(&self, head: Option<(Version, Uuid)>) -> bool {
        head.is_some_and(|(version, event_id)| {
            version > self.version || (version == self.version && self.last != Some(event_id))
        })
    }

    fn step(&mut self, record: &Record, event: Option<&Event>) {
        if let Some(event) = event {
            self.fold.apply(event);
        }
        self.version = record.version;
        self.last = Some(record.event_id);
    }
}

/// Folds a stream.
pub(super) async fn fold(store: &dyn EventStore, stream: &StreamId, of: Type, until: Until) -> Result<Held, Error> {
    let held = from_snapshot(store, stream, of, until).await?;
    let start = held.map(|held| Start { version: held.version, state: held });
    let fresh = || Held::empty(of);
    Ok(streams::fold(store, stream, until, start, fresh, |held, record, event| held.step(record, event)).await?)
}

async fn from_snapshot(
    store: &dyn EventStore,
    stream: &StreamId,
    of: Type,
    until: Until,
) -> Result<Option<Held>, Error> {
    if of.fold == NO_SNAPSHOTS {
        return Ok(None);
    }
    let Some(snapshot) = store.snapshot(stream, of.fold).await? else {
        return Ok(None);
    };
    let there = store.read_stream(stream, snapshot.version, Direction::Forwards, 1).await?;
    let fits = there.first().is_some_and(|record| {
        record.version == snapshot.version && record.event_id == snapshot.event_id && until.includes(record)
    });
    if !fits {
        return Ok(None);
    }
    match (of.read)(&snapshot.state) {
        Ok(fold) => Ok(Some(Held { fold, version: snapshot.version, last: Some(snapshot.event_id) })),
        Err(error) => {
            tracing::warn!(
                stream = %stream,
                stream.version = snapshot.version,
                %error,
                "a snapshot cannot be read and is passed over; the stream is folded from its events, nothing to do"
            );
            Ok(None)
        }
    }
}
