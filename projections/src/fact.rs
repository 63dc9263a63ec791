//! A record of the log, decoded once for every read model that looks at it. Decoding never guesses: what is not known is an error.

use std::sync::Arc;

use domain::Event;
use event_store::record::Record;
use schemas::Metadata;

/// A record, its event and who caused it.
#[derive(Clone, Debug)]
pub struct Fact {
    /// The record.
    pub record: Record,
    /// What happened.
    pub event: Event,
    /// Who, on whose behalf, because of what.
    pub metadata: Metadata,
}

/// Why a record cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// The category of its stream: whoever wants that category stops.
    pub category: Arc<str>,
    /// What is wrong with it.
    pub reason: String,
}

impl Fact {
    /// Decodes a record.
    ///
    /// # Errors
    /// If its type, its version or its bytes are not known here.
    pub fn decode(record: Record) -> Result<Self, Poison> {
        let poison = |reason: String| Poison {
            category: Arc::clone(&record.stream.category),
            reason: format!("{} {} at position {}: {reason}", record.stream, record.kind, record.position),
        };
        let event = schemas::registry::decode(&record.kind, record.schema_version, &record.data)
            .map_err(|error| poison(chain(&error)))?;
        let metadata = Metadata::decode(&record.metadata).map_err(|error| poison(chain(&error)))?;
        Ok(Self { record, event, metadata })
    }

    /// When it happened in the business's own time.
    #[must_use]
    pub fn occurred_at(&self) -> i64 {
        self.metadata.occurred_at.map_or(self.record.recorded_at, domain::time::Timestamp::micros)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
