//! The hash chain: what a leaf covers and how the chain goes on. The golden vectors below hold for every backend, and what
//! they say must never change: every log ever written is proved by them.
//!
//! leaf = SHA-256 over tenant, category, id, version (u64 BE), event id (16 bytes), type, schema version (u32 BE), metadata,
//! data, each preceded by its length in bytes (u32 BE);
//! hash = SHA-256(hash of the record before ‖ position u64 BE ‖ recorded_at i64 BE ‖ leaf), all zero before the first record.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::append::{Batch, Expectation};
use crate::record::{Micros, Position, Record, StreamId, Version};

/// A SHA-256.
pub type Hash = [u8; 32];

/// The hash before the first record.
pub const START: Hash = [0; 32];

/// What a leaf covers.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'a> {
    /// The stream.
    pub stream: &'a StreamId,
    /// The place in the stream.
    pub version: Version,
    /// The event's id.
    pub event_id: Uuid,
    /// The stored type name.
    pub kind: &'a str,
    /// The version of that type's schema.
    pub schema_version: u32,
    /// The metadata's exact bytes.
    pub metadata: &'a [u8],
    /// The payload's exact bytes.
    pub data: &'a [u8],
}

/// The hash of what a record says, without its place in the log.
pub fn leaf(leaf: &Leaf<'_>) -> Hash {
    let mut hasher = Sha256::new();
    part(&mut hasher, leaf.stream.tenant.as_bytes());
    part(&mut hasher, leaf.stream.category.as_bytes());
    part(&mut hasher, leaf.stream.id.as_bytes());
    part(&mut hasher, &leaf.version.to_be_bytes());
    part(&mut hasher, leaf.event_id.as_bytes());
    part(&mut hasher, leaf.kind.as_bytes());
    part(&mut hasher, &leaf.schema_version.to_be_bytes());
    part(&mut hasher, leaf.metadata);
    part(&mut hasher, leaf.data);
    hasher.finalize().into()
}

/// The leaves of a batch's `events` events, as far as their versions are told by what is expected of their streams.
pub(crate) fn leaves(batch: &Batch, events: usize) -> Vec<Hash> {
    let mut leaves = Vec::with_capacity(events);
    for write in &batch.writes {
        let before = match write.expected {
            Expectation::Any => continue,
            Expectation::NoStream => 0,
            Expectation::At { version, .. } => version,
        };
        for (event, offset) in write.events.iter().zip(1..) {
            leaves.push(leaf(&Leaf {
                stream: &write.stream,
                // A version that no stream can have is refused when it is compared.
                version: before.wrapping_add(offset),
                event_id: event.event_id,
                kind: &event.kind,
                schema_version: event.schema_version,
                metadata: &event.metadata,
                data: &event.data,
            }));
        }
    }
    leaves
}

/// The leaf of a record as it stands in the log.
pub fn leaf_of(record: &Record) -> Hash {
    leaf(&Leaf {
        stream: &record.stream,
        version: record.version,
        event_id: record.event_id,
        kind: &record.kind,
        schema_version: record.schema_version,
        metadata: &record.metadata,
        data: &record.data,
    })
}

/// The hash of the record at `position`, whose predecessor has the hash `previous`.
pub fn chain(previous: &Hash, position: Position, recorded_at: Micros, leaf: &Hash) -> Hash {
    let mut bytes = [0; 80];
    bytes[..32].copy_from_slice(previous);
    bytes[32..40].copy_from_slice(&position.to_be_bytes());
    bytes[40..48].copy_from_slice(&recorded_at.to_be_bytes());
    bytes[48..].copy_from_slice(leaf);
    Sha256::digest(bytes).into()
}

fn part(hasher: &mut Sha256, bytes: &[u8]) {
    // Sizes are bounded far below 4 GiB before anything is hashed.
    hasher.update((bytes.len() as u32).to_be_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(hash: Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_golden_vectors_hold() {
        let stream = StreamId::new("acme", "stock", "main/caf\u{e9}\0");
        let first = leaf(&Leaf {
            stream: &stream,
            version: 1,
            event_id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001),
            kind: "StockReceived",
            schema_version: 1,
            metadata: b"{}",
            data: br#"{"qty":5}"#,
        });
        let second = leaf(&Leaf {
            stream: &stream,
            version: 2,
            event_id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0002),
            kind: "StockReserved",
            schema_version: 3,
            metadata: b"",
            data: b"",
        });
        assert_eq!(hex(first), "fe222376a678c7615ee5c9a9bd9ba0ea895a7f4e622c65c4ef71152e7988feb5");
        assert_eq!(hex(second), "305ae4818941c4301408d3947dc1048176fbe9ccf22b701004595514e7566732");
        let one = chain(&START, 1, 1_700_000_000_000_000, &first);
        let two = chain(&one, 2, 1_700_000_000_000_001, &second);
        assert_eq!(hex(one), "7b263576783eac3fdc2ce4848a2b1a5520182ca7d7afad6d55fe25cedc236f2d");
        assert_eq!(hex(two), "fb84de921427e6df811c96884eeac4befe4918833abeb7254d18c4ace58787a5");
    }

    #[test]
    fn moving_a_byte_between_two_parts_changes_the_leaf() {
        let of = |tenant: &str, category: &str| {
            leaf(&Leaf {
                stream: &StreamId::new(tenant, category, "x"),
                version: 1,
                event_id: Uuid::nil(),
                kind: "K",
                schema_version: 1,
                metadata: b"",
                data: b"",
            })
        };
        assert_ne!(of("ab", "c"), of("a", "bc"));
    }
}
