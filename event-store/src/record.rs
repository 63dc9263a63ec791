//! One record of the log and its identifiers. The payload is opaque here and is returned byte for byte.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

/// A position in the log: 1 for the first record, without gaps; 0 means "before the first".
pub type Position = u64;

/// A version in a stream: 1 for its first event, without gaps; 0 means "no event yet".
pub type Version = u64;

/// Microseconds since the Unix epoch, by the store's clock.
pub type Micros = i64;

/// The name of a stream. The parts may hold anything; nothing here splits or joins them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Whose stream it is.
    pub tenant: Arc<str>,
    /// The category of the stream: `order`, `payment`, `stock` …
    pub category: Arc<str>,
    /// Which one of that kind.
    pub id: Arc<str>,
}

impl StreamId {
    /// Names a stream.
    pub fn new(tenant: impl Into<Arc<str>>, category: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self { tenant: tenant.into(), category: category.into(), id: id.into() }
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}-{}", self.tenant, self.category, self.id)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.category, self.id)
    }
}

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log.
    pub position: Position,
    /// The stream that it belongs to.
    pub stream: StreamId,
    /// Its place in that stream.
    pub version: Version,
    /// Unique over the whole log, permanently.
    pub event_id: Uuid,
    /// The stored type name, `OrderPlaced` say.
    pub kind: Arc<str>,
    /// The version of that type's schema.
    pub schema_version: u32,
    /// The payload's exact bytes.
    pub data: Bytes,
    /// The metadata's exact bytes.
    pub metadata: Bytes,
    /// The command whose batch wrote it. The records of one batch are consecutive.
    pub command_id: Uuid,
    /// The fingerprint of that command's request, on the first record of its batch: so a reader of the log alone can prove it, and sees
    /// where batches begin.
    pub fingerprint: Option<[u8; 32]>,
    /// When it was committed, by the store's clock; strictly grows from one group commit to the next.
    pub recorded_at: Micros,
    /// SHA-256(hash of the record before ‖ position ‖ recorded_at ‖ leaf), see [`crate::hash`].
    pub hash: [u8; 32],
}
