//! Consumer rows: the owner of a partition's lease, the end of the lease, and the checkpoint. Every change is a
//! compare-and-set.

use bytes::Bytes;

use crate::record::{Micros, Position};

/// Which row: a consumer's name and one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConsumerKey {
    /// The consumer's name, `sagas` say.
    pub name: String,
    /// The partition, 0 where there is only one.
    pub partition: u32,
}

/// The right to move a consumer's checkpoint, until `lease_until`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The row.
    pub key: ConsumerKey,
    /// The process that holds it.
    pub owner: String,
    /// Grows by one with each change of hands; a save with an older epoch is refused.
    pub epoch: u64,
    /// When it ends, by the store's clock for leases.
    pub lease_until: Micros,
}

/// How far a consumer got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last position that the consumer has processed.
    pub position: Position,
    /// The hash of the record there, all zero at position 0.
    pub hash: [u8; 32],
    /// What the consumer wants to find again; opaque and small (at most 4 MiB).
    pub state: Bytes,
}

/// A row as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRow {
    /// The newest lease, which may have ended.
    pub lease: Lease,
    /// The checkpoint.
    pub checkpoint: Checkpoint,
}
