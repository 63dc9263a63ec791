//! Snapshots of folds: a cache. Deleting all of them changes only speed. A proof ties each snapshot to its state and
//! its record: a snapshot that was changed, or that belongs to another history, is never returned.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::hash::Hash;
use crate::record::{StreamId, Version};

/// The largest state that is kept.
pub const MAX_STATE: usize = 4 * 1024 * 1024;

/// A fold of a stream's first `version` events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The version of the fold's code: a snapshot of another fold is never found.
    pub fold: u32,
    /// The stream version of the state.
    pub version: Version,
    /// The id of the event that has that version.
    pub event_id: Uuid,
    /// The folded state, opaque.
    pub state: Bytes,
}

impl Snapshot {
    /// The SHA-256 over the snapshot, its stream and the hash of its record.
    pub(crate) fn proof(&self, stream: &StreamId, record: &Hash) -> Hash {
        let mut hasher = Sha256::new();
        for part in [&stream.tenant, &stream.category, &stream.id] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.update(self.fold.to_be_bytes());
        hasher.update(self.version.to_be_bytes());
        hasher.update(self.event_id.as_bytes());
        hasher.update(record);
        hasher.update(&self.state);
        hasher.finalize().into()
    }

    /// Whether it is small enough to be kept; a larger one is counted and logged, because its stream is folded from the
    /// start each time.
    pub(crate) fn fits(&self, stream: &StreamId) -> bool {
        if self.state.len() <= MAX_STATE {
            return true;
        }
        metrics::counter!("daybook_store_snapshots_dropped_total", "reason" => "too_large").increment(1);
        tracing::warn!(
            %stream,
            stream.version = self.version,
            bytes = self.state.len(),
            "a snapshot is too large to be kept; loads fold the stream from an older one or from its start, nothing to \
             do"
        );
        false
    }
}

/// A stored snapshot failed its check: it is counted, logged and not returned.
pub(crate) fn refused(stream: &StreamId, version: Version) {
    metrics::counter!("daybook_store_snapshots_refused_total").increment(1);
    tracing::error!(
        %stream,
        stream.version = version,
        "a damaged snapshot was removed; the stream is folded from its events, check the disk"
    );
}
