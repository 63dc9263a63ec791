//! What a proof needs of a store beyond its contract: what the store keeps beside the log, which follows from it and has to be held
//! against it.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;

use crate::record::StreamId;
use crate::snapshot::Snapshot;
use crate::sqlite::IndexView;
use crate::store::{Error, EventStore};
use crate::verify::{Begun, Entry, Finding};

/// A snapshot that a store keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The stream that it is of, as far as the log names it.
    pub stream: Option<StreamId>,
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Whether its proof holds: whether the store would answer it.
    pub holds: bool,
}

/// A store whose caches can be held against its log.
#[async_trait]
pub trait Audit: EventStore {
    /// About `limit` snapshots after a place (none: from the first on), and the place after them; none at the end.
    async fn snapshots(&self, after: Option<Bytes>, limit: usize) -> Result<(Vec<Kept>, Option<Bytes>), Error>;

    /// The index of the log as it is now, if the store keeps one that is not part of it.
    ///
    /// # Errors
    /// If it cannot be looked at.
    async fn index(&self) -> Result<Option<IndexAudit>, Error>;
}

/// One state of a store's index, to be held against what the log has.
#[derive(Debug)]
pub struct IndexAudit(pub(crate) IndexView);

impl IndexAudit {
    /// Compares it with the log's entries in order of key and version, and with its commands in order of their ids;
    /// both must be complete up to `end`. Only the entries that the index covers are compared.
    pub(crate) fn compare(
        self,
        entries: &mut dyn Iterator<Item = io::Result<Entry>>,
        commands: &mut dyn Iterator<Item = io::Result<Begun>>,
        end: crate::record::Position,
    ) -> io::Result<Finding> {
        self.0.compare(entries, commands, end)
    }
}
