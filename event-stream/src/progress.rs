//! The relay's progress message: it lets a partition without new records move on, and names the generation to read.

use event_store::partition::{CORRELATIONS, Door, STREAMS};
use event_store::record::Position;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Sent after batches and when idle; never stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The stream to read.
    pub(crate) generation: u64,
    /// The position before the stream's first message.
    pub(crate) base: Position,
    /// Which store is published.
    pub(crate) incarnation: Uuid,
    /// The relay's: the word of an older one does not count.
    pub(crate) epoch: u64,
    /// The last position published, and its hash in hex.
    pub(crate) position: Position,
    pub(crate) hash: String,
    /// Where this relay began: `streams` and `correlations` are valid after it. Before it there may be unlisted
    /// records.
    pub(crate) since: Position,
    /// The last position in each stream partition.
    pub(crate) streams: Vec<Position>,
    /// The last position in each correlation partition.
    pub(crate) correlations: Vec<Position>,
}

impl Progress {
    /// The last position that may have a record for a door, and `None` if this is not a whole message.
    pub(crate) fn last(&self, door: &Door) -> Option<Position> {
        match door {
            Door::All => Some(self.position),
            Door::Streams(partition) => self.streams.get(*partition as usize).copied(),
            Door::Correlations(partition, _) => self.correlations.get(*partition as usize).copied(),
        }
    }

    /// Whether the counts are those of this program.
    pub(crate) fn fits(&self) -> bool {
        self.streams.len() == STREAMS as usize && self.correlations.len() == CORRELATIONS as usize
    }
}
