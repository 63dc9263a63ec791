//! The hash chain: what a leaf covers and how hashes are linked. The golden vectors below hold for every backend and
//! must never change, because they prove every log ever written.
//!
//! leaf = SHA-256 over one byte 0x00, then tenant, category, id, version (u64 BE), event id (16 bytes), type, schema version (u32 BE),
//! command id (16 bytes), fingerprint, metadata, data, each preceded by its length in bytes (u32 BE). The fingerprint is that of the
//! request on the first record of its batch, and empty on the others: so the leaves say where batches begin. The 0x00 keeps leaves
//! apart from the nodes of a tree over them, which begin with 0x01;
//! hash = SHA-256(hash of the record before ‖ position u64 BE ‖ recorded_at i64 BE ‖ leaf), all zero before the first record.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::append::{Batch, Expectation, NewEvent};
use crate::record::{Micros, Position, Record, StreamId, Version};
use crate::store::Error;

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
    /// The command whose batch wrote it.
    pub command_id: Uuid,
    /// The fingerprint of the request, on the first record of its batch.
    pub fingerprint: Option<&'a [u8; 32]>,
    /// The metadata's exact bytes.
    pub metadata: &'a [u8],
    /// The payload's exact bytes.
    pub data: &'a [u8],
}

impl<'a> Leaf<'a> {
    /// What the leaf of a record covers.
    pub fn of(record: &'a Record) -> Self {
        Self {
            stream: &record.stream,
            version: record.version,
            event_id: record.event_id,
            kind: &record.kind,
            schema_version: record.schema_version,
            command_id: record.command_id,
            fingerprint: record.fingerprint.as_ref(),
            metadata: &record.metadata,
            data: &record.data,
        }
    }

    /// What the leaf of an event covers that a command writes to a stream.
    pub(crate) fn new(
        stream: &'a StreamId,
        version: Version,
        event: &'a NewEvent,
        command_id: Uuid,
        fingerprint: Option<&'a [u8; 32]>,
    ) -> Self {
        let NewEvent { event_id, kind, schema_version, data, metadata } = event;
        Self {
            stream,
            version,
            event_id: *event_id,
            kind,
            schema_version: *schema_version,
            command_id,
            fingerprint,
            metadata,
            data,
        }
    }
}

/// The hash of a record's content, without its position in the log.
pub fn leaf(leaf: &Leaf<'_>) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    part(&mut hasher, leaf.stream.tenant.as_bytes());
    part(&mut hasher, leaf.stream.category.as_bytes());
    part(&mut hasher, leaf.stream.id.as_bytes());
    part(&mut hasher, &leaf.version.to_be_bytes());
    part(&mut hasher, leaf.event_id.as_bytes());
    part(&mut hasher, leaf.kind.as_bytes());
    part(&mut hasher, &leaf.schema_version.to_be_bytes());
    part(&mut hasher, leaf.command_id.as_bytes());
    part(&mut hasher, leaf.fingerprint.map_or(&[][..], |fingerprint| &fingerprint[..]));
    part(&mut hasher, leaf.metadata);
    part(&mut hasher, leaf.data);
    hasher.finalize().into()
}

/// The leaves of a batch's `events` events, as far as the expectations on their streams determine the versions.
pub(crate) fn leaves(batch: &Batch, events: usize) -> Vec<Hash> {
    let mut leaves = Vec::with_capacity(events);
    let mut fingerprint = Some(&batch.fingerprint);
    for write in &batch.writes {
        let before = match write.expected {
            Expectation::Any => None,
            Expectation::NoStream => Some(0),
            Expectation::At { version, .. } => Some(version),
        };
        for (event, offset) in write.events.iter().zip(1..) {
            let fingerprint = fingerprint.take();
            // A version that no stream can have is refused when it is compared.
            let Some(version) = before.map(|before| Version::wrapping_add(before, offset)) else {
                continue;
            };
            leaves.push(leaf(&Leaf::new(&write.stream, version, event, batch.command_id, fingerprint)));
        }
    }
    leaves
}

/// The leaf of a record in the log.
pub fn leaf_of(record: &Record) -> Hash {
    leaf(&Leaf::of(record))
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

/// Checks that the record at `position` is as it was written: its hash must follow from its bytes and the hash of the
/// record before.
///
/// # Errors
/// [`Error::Damaged`] at that position.
pub fn check(record: &Record, position: Position, previous: &Hash) -> Result<(), Error> {
    if record.position != position {
        return Err(Error::hole(position));
    }
    if record.hash != chain(previous, position, record.recorded_at, &leaf_of(record)) {
        let what = "the hash does not match the record and its predecessor".to_owned();
        return Err(Error::Damaged { position, what });
    }
    Ok(())
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
            command_id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_00c1),
            fingerprint: Some(&[0xf1; 32]),
            metadata: b"{}",
            data: br#"{"qty":5}"#,
        });
        let second = leaf(&Leaf {
            stream: &stream,
            version: 2,
            event_id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0002),
            kind: "StockReserved",
            schema_version: 3,
            command_id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_00c1),
            fingerprint: None,
            metadata: b"",
            data: b"",
        });
        assert_eq!(hex(first), "10666b6b55a61efde7f6f81af93cf81c4fb67bb22ed9b92f38aeaa9569c43642");
        assert_eq!(hex(second), "3f7beb2d10af1062a036ab1ec01a334c805bc1f9345a78245081dc401be85db4");
        let one = chain(&START, 1, 1_700_000_000_000_000, &first);
        let two = chain(&one, 2, 1_700_000_000_000_001, &second);
        assert_eq!(hex(one), "d730963c52199bb27abe5fcf33c67ec24d16e818af87d58b5bb6c0aeb591d064");
        assert_eq!(hex(two), "d1a61f1c413ac80b28b7135bd5816c2ecebc8cd549008edcbf9323b2cbcfd395");
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
                command_id: Uuid::nil(),
                fingerprint: None,
                metadata: b"",
                data: b"",
            })
        };
        assert_ne!(of("ab", "c"), of("a", "bc"));
    }
}
