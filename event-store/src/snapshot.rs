//! Snapshots of folds: a cache. Deleting all of them changes nothing but speed.

use bytes::Bytes;
use uuid::Uuid;

use crate::record::Version;

/// A fold of a stream's first `version` events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The version of the fold's code: a snapshot of another fold is never found.
    pub fold: u32,
    /// The stream version that it stands at.
    pub version: Version,
    /// The id of the event that has that version.
    pub event_id: Uuid,
    /// The folded state, opaque.
    pub state: Bytes,
}
