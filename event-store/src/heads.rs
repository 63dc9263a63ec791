//! A cache of stream heads for a store's writer. A missing head is looked up elsewhere; a cached head is always right.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use uuid::Uuid;

use crate::record::{StreamId, Version};

/// The key of a stream: the first half of a SHA-256 over its name. A collision is as likely as guessing a command id; a
/// reader that finds a record through a key still compares the record's stream name.
pub(super) fn key_of(stream: &StreamId) -> u128 {
    use sha2::{Digest, Sha256};
    let mut hasher = Sha256::new();
    for part in [&stream.tenant, &stream.category, &stream.id] {
        hasher.update((part.len() as u32).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let hash: [u8; 32] = hasher.finalize().into();
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    u128::from_be_bytes(half)
}

/// The last event of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamHead {
    pub(super) version: Version,
    pub(super) event_id: Uuid,
}

/// What the cache knows about a stream.
pub(super) enum Known {
    Head(StreamHead),
    Absent,
    Unknown,
}

/// Keys are cut from a SHA-256, so any 64 bits of them are a hash.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

/// Ids may be chosen by clients, so their hash has a secret of the process in it.
#[derive(Clone)]
pub(super) struct IdHashes(u64, u64);

impl Default for IdHashes {
    fn default() -> Self {
        let secrets = RandomState::new();
        Self(secrets.hash_one(1), secrets.hash_one(2))
    }
}

impl BuildHasher for IdHashes {
    type Hasher = IdHasher;
    fn build_hasher(&self) -> IdHasher {
        IdHasher { secrets: self.clone(), hash: 0 }
    }
}

pub(super) struct IdHasher {
    secrets: IdHashes,
    hash: u64,
}

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.hash
    }
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            let folded = u128::from(u64::from_le_bytes(word) ^ self.secrets.0 ^ self.hash.rotate_left(29))
                * u128::from(self.secrets.1 | 1);
            self.hash = (folded >> 64) as u64 ^ folded as u64;
        }
    }
    fn write_usize(&mut self, _length: usize) {}
}

pub(super) type IdMap<V> = HashMap<Uuid, V, IdHashes>;

pub(super) type KeyMap<V> = HashMap<u128, V, BuildHasherDefault<KeyHasher>>;

/// Two generations: when the young one is full it becomes the old one, and entries of the previous old one that were
/// not used since are dropped.
pub(super) struct Heads {
    young: KeyMap<StreamHead>,
    old: KeyMap<StreamHead>,
    generation: usize,
    /// Every stream of the log is here, so one that is not here has no event.
    complete: bool,
    /// The heads that the current group changed, with their earlier values.
    undo: Vec<(u128, Option<StreamHead>)>,
}

impl Heads {
    pub(super) fn new(capacity: usize, complete: bool) -> Self {
        Self {
            young: KeyMap::default(),
            old: KeyMap::default(),
            generation: (capacity / 2).max(1),
            complete,
            undo: Vec::new(),
        }
    }

    pub(super) fn get(&mut self, key: u128) -> Known {
        if let Some(head) = self.young.get(&key) {
            return Known::Head(*head);
        }
        if let Some(head) = self.old.get(&key).copied() {
            self.young.insert(key, head);
            return Known::Head(head);
        }
        if self.complete { Known::Absent } else { Known::Unknown }
    }

    /// Keeps a head that was looked up or read at start.
    pub(super) fn keep(&mut self, key: u128, head: StreamHead) {
        self.young.insert(key, head);
    }

    /// Moves a head for a batch of the current group.
    pub(super) fn advance(&mut self, key: u128, head: StreamHead) {
        let before = self.young.insert(key, head);
        self.undo.push((key, before));
    }

    /// The group is durable: none of its changes can be undone, and old entries may be dropped.
    pub(super) fn commit(&mut self) {
        self.undo.clear();
        self.turn();
    }

    /// The group failed: every head is again what it was.
    pub(super) fn roll_back(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(head) => drop(self.young.insert(key, head)),
                None => drop(self.young.remove(&key)),
            }
        }
    }

    fn turn(&mut self) {
        if self.young.len() < self.generation {
            return;
        }
        self.complete &= self.old.is_empty();
        self.old = std::mem::take(&mut self.young);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: Version) -> StreamHead {
        StreamHead { version, event_id: Uuid::from_u128(u128::from(version)) }
    }

    #[test]
    fn a_group_that_fails_leaves_nothing() {
        let mut heads = Heads::new(8, true);
        heads.keep(1, head(3));
        heads.advance(1, head(4));
        heads.advance(2, head(1));
        heads.advance(1, head(5));
        heads.roll_back();
        assert!(matches!(heads.get(1), Known::Head(found) if found == head(3)));
        assert!(matches!(heads.get(2), Known::Absent));
    }

    #[test]
    fn a_forgotten_head_is_unknown_and_not_absent() {
        let mut heads = Heads::new(4, true);
        for key in 0..6 {
            heads.advance(key, head(1));
            heads.commit();
        }
        assert!(matches!(heads.get(0), Known::Unknown));
        assert!(matches!(heads.get(5), Known::Head(_)));
        assert!(matches!(heads.get(99), Known::Unknown));
    }
}
