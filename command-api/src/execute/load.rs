//! A stream's fold, read from the store: the newest snapshot that fits and the events after it. A snapshot is a cache and never believed
//! where the log says otherwise.

use event_store::record::{Position, Record, StreamId, Version};
use event_store::{Direction, EventStore};
use uuid::Uuid;

use super::error::Error;
use super::fold::{Fold, Type};

/// How many records are read at a time: a long stream is not held in memory as a whole.
const PAGE: usize = 512;

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

    fn apply(&mut self, stream: &StreamId, record: &Record) -> Result<(), Error> {
        self.fold.apply(&record.kind, record.schema_version, &record.data).map_err(|error| Error::Unreadable {
            stream: stream.to_string(),
            version: record.version,
            reason: chain(&error),
        })?;
        self.version = record.version;
        self.last = Some(record.event_id);
        Ok(())
    }
}

/// An error and what led to it, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

/// How far to fold.
#[derive(Clone, Copy)]
pub(super) enum Until {
    /// To the end.
    End,
    /// To this version.
    Version(Version),
    /// To the last event before this position.
    Before(Position),
}

impl Until {
    fn includes(self, record: &Record) -> bool {
        match self {
            Self::End => true,
            Self::Version(version) => record.version <= version,
            Self::Before(position) => record.position < position,
        }
    }
}

/// Folds a stream.
pub(super) async fn fold(store: &dyn EventStore, stream: &StreamId, of: Type, until: Until) -> Result<Held, Error> {
    let mut held = match from_snapshot(store, stream, of, until).await? {
        Some(held) => held,
        None => Held::empty(of),
    };
    loop {
        let records = store.read_stream(stream, held.version + 1, Direction::Forwards, PAGE).await?;
        for record in &records {
            if !until.includes(record) {
                return Ok(held);
            }
            held.apply(stream, record)?;
        }
        if records.len() < PAGE {
            return Ok(held);
        }
    }
}

async fn from_snapshot(
    store: &dyn EventStore,
    stream: &StreamId,
    of: Type,
    until: Until,
) -> Result<Option<Held>, Error> {
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
            tracing::warn!(stream = %stream, stream.version = snapshot.version, %error, "a snapshot cannot be read and is passed over");
            Ok(None)
        }
    }
}
