//! Streams that a read model holds, because one of their records cannot be read, or this model cannot apply it. The
//! rows show the state before that record; a read of the stream is answered that it is held, and every other stream
//! continues. The list of held streams is stored beside the rows and changes with them, in one transaction.

use std::collections::BTreeMap;

use event_store::record::{Position, Record, StreamId, Version};
use streams::Unreadable;
use uuid::Uuid;

use crate::value::{Row, Value};

/// The most streams that a worker holds for a model: more are not single faults. The whole model then stops, until the
/// program can read its log.
pub(crate) const MOST: usize = 10_000;

/// A stream that a read model holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The stream.
    pub stream: StreamId,
    /// The first version that the rows do not show.
    pub version: Version,
    /// The position of the record that cannot be read or applied.
    pub position: Position,
    /// Its stored type name.
    pub kind: String,
    /// Why it cannot.
    pub reason: String,
    /// The correlation of its work; nil if that is unknown.
    pub correlation: Uuid,
}

/// The streams that a model holds.
pub(crate) type All = BTreeMap<StreamId, Held>;

/// What changes about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldChange {
    /// It is held from now on, or otherwise.
    Hold(Held),
    /// It is shown again.
    Release(StreamId),
}

impl Held {
    /// That a stream is not shown from a record on.
    pub(crate) fn at(record: &Record, reason: &str) -> Self {
        let stream = &record.stream;
        Self {
            stream: stream.clone(),
            version: record.version,
            position: record.position,
            kind: record.kind.to_string(),
            reason: reason.to_owned(),
            correlation: schemas::metadata::correlation(&stream.category, &stream.id, &record.metadata),
        }
    }

    /// The same, where an earlier record of the stream is what cannot be read.
    pub(crate) fn because_of(record: &Record, unreadable: &Unreadable) -> Self {
        let Unreadable { position, kind, reason, .. } = unreadable;
        Self { position: *position, kind: kind.to_string(), reason: reason.clone(), ..Self::at(record, "") }
    }

    /// Whether a record is at or after the first one that is not shown.
    pub(crate) fn covers(&self, record: &Record) -> bool {
        record.version >= self.version
    }

    /// As a row: tenant, category, stream, version, position, kind, reason, correlation.
    pub(crate) fn row(&self) -> [Value; 8] {
        [
            (&*self.stream.tenant).into(),
            (&*self.stream.category).into(),
            (&*self.stream.id).into(),
            self.version.into(),
            self.position.into(),
            self.kind.as_str().into(),
            self.reason.as_str().into(),
            self.correlation.to_string().into(),
        ]
    }

    /// From such a row.
    pub(crate) fn of_row(row: &Row) -> Result<Self, crate::store::Error> {
        Ok(Self {
            stream: StreamId::new(row.text(0)?, row.text(1)?, row.text(2)?),
            version: row.count(3)?,
            position: row.count(4)?,
            kind: row.text(5)?.to_owned(),
            reason: row.text(6)?.to_owned(),
            correlation: row.parsed(7)?,
        })
    }
}

/// Applies a change of the held streams.
pub(crate) fn change(all: &mut All, change: &HeldChange) {
    match change {
        HeldChange::Hold(held) => drop(all.insert(held.stream.clone(), held.clone())),
        HeldChange::Release(stream) => drop(all.remove(stream)),
    }
}

/// The streams that the live rows of a model hold, in order.
pub(crate) const OF_MODEL: &str = "
SELECT tenant, category, stream, version, position, kind, reason, correlation FROM held
WHERE name = $1 AND slot = $2 ORDER BY tenant, category, stream";

/// How many they are.
pub(crate) const COUNT: &str = "SELECT COUNT(*) FROM held WHERE name = $1 AND slot = 'live'";

/// Of each model, how many.
pub(crate) const COUNTS: &str = "SELECT name, COUNT(*) FROM held WHERE slot = 'live' GROUP BY name";

/// One of them.
pub(crate) const ONE: &str = "
SELECT tenant, category, stream, version, position, kind, reason, correlation FROM held
WHERE name = $1 AND slot = 'live' AND tenant = $2 AND category = $3 AND stream = $4";
