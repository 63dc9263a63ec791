//! The access that a proof needs beyond a store's contract: the data that the store derives from the log and keeps
//! beside it, to be compared with the log.

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

/// A store whose caches can be compared with its log.
#[async_trait]
pub trait Audit: EventStore {
    /// About `limit` snapshots after a place (none: from the first on), and the place after them; none at the end.
    async fn snapshots(&self, after: Option<Bytes>, limit: usize) -> Result<(Vec<Kept>, Option<Bytes>), Error>;

    /// The current index of the log, if the store keeps a separate one.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn index(&self) -> Result<Option<IndexAudit>, Error>;
}

/// One state of a store's index, to be compared with the log.
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
