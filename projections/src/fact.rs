//! A record of the log, decoded once for all read models. Decoding never guesses: unknown content is an error.

use domain::Event;
use event_store::record::Record;
use schemas::Metadata;
use streams::{Read, Unreadable};

/// A record, its event and who caused it.
#[derive(Clone, Debug)]
pub struct Fact {
    /// The record.
    pub record: Record,
    /// What happened.
    pub event: Event,
    /// The actor, the party acted for, and the cause.
    pub metadata: Metadata,
}

/// One step of a stream's subject.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Something happened.
    Happened(Box<Fact>),
    /// A record that was set aside.
    Passed(Box<Record>),
}

impl Step {
    pub(crate) fn record(&self) -> &Record {
        match self {
            Self::Happened(fact) => &fact.record,
            Self::Passed(record) => record,
        }
    }
}

impl Fact {
    /// Decodes a record; gives it back with the reason if it cannot be read.
    ///
    /// # Errors
    /// If its type, its version, its bytes or its metadata are not known here.
    pub fn decode(record: Record) -> Result<Self, Box<(Record, Unreadable)>> {
        match streams::decode(&record) {
            Ok(Read { event, metadata }) => Ok(Self { record, event, metadata }),
            Err(unreadable) => Err(Box::new((record, *unreadable))),
        }
    }

    /// When it happened in the business's own time.
    #[must_use]
    pub fn occurred_at(&self) -> i64 {
        self.metadata.occurred_at.map_or(self.record.recorded_at, domain::time::Timestamp::micros)
    }
}
