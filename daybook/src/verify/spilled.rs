//! A map of folds that need not fit into memory: those in use stay there, the others wait in a file. Its memory does
//! not depend on the number of folds.

use std::collections::HashMap;
use std::hash::Hash;
use std::path::Path;

use anyhow::Context as _;
use event_store::scratch::Scratch;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most memory of one generation of a map's folds, by the bytes of their events. There are two, and the older one
/// is written out.
const BYTES: usize = 16 * 1024 * 1024;
/// Folds that are read at once at the end.
const PAGE: u32 = 256;
/// The size of a fold before its first event.
const FRESH: usize = 256;

/// Folds by key.
pub(super) struct Spilled<K, V> {
    /// Those that were used of late.
    young: HashMap<K, Kept<V>>,
    /// Those that were used before, and go to the file next.
    old: HashMap<K, Kept<V>>,
    /// The size of the young ones.
    size: usize,
    most: usize,
    file: Scratch,
}

struct Kept<V> {
    value: V,
    size: usize,
}

/// The bounds of a key that can be stored as JSON.
pub(super) trait Key: Eq + Hash + Clone + Serialize + DeserializeOwned {}

impl<K: Eq + Hash + Clone + Serialize + DeserializeOwned> Key for K {}

impl<K: Key, V: Default + Serialize + DeserializeOwned> Spilled<K, V> {
    /// A map whose file is `name` in a folder that is thrown away later.
    pub(super) fn new(folder: &Path, name: &str) -> anyhow::Result<Self> {
        Self::within(folder, name, BYTES)
    }

    fn within(folder: &Path, name: &str, most: usize) -> anyhow::Result<Self> {
        let file = Scratch::create(&folder.join(name))?;
        Ok(Self { young: HashMap::new(), old: HashMap::new(), size: 0, most, file })
    }

    /// The fold of a key, if there is one.
    pub(super) fn get(&mut self, key: &K) -> anyhow::Result<Option<&V>> {
        self.bring(key)?;
        Ok(self.young.get(key).map(|kept| &kept.value))
    }

    /// The fold of a key, which an event of so many bytes changes; a fresh one if there is none.
    pub(super) fn change(&mut self, key: &K, bytes: usize) -> anyhow::Result<&mut V> {
        if !self.bring(key)? {
            self.size += FRESH;
        }
        self.size += bytes;
        let kept = self.young.entry(key.clone()).or_insert_with(|| Kept { value: V::default(), size: FRESH });
        kept.size += bytes;
        Ok(&mut kept.value)
    }

    /// Makes sure that a fold is among the young ones; false if there is none.
    fn bring(&mut self, key: &K) -> anyhow::Result<bool> {
        if self.young.contains_key(key) {
            return Ok(true);
        }
        let kept = match self.old.remove(key) {
            Some(kept) => kept,
            None => match self.file.get(&name(key)?)? {
                Some(bytes) => {
                    let (_, value): (K, V) = serde_json::from_slice(&bytes).context("a fold in the scratch file")?;
                    Kept { value, size: bytes.len() }
                }
                None => return Ok(false),
            },
        };
        self.size += kept.size;
        self.young.insert(key.clone(), kept);
        Ok(true)
    }

    /// Makes room where too much is in memory. Only where no fold is in the middle of a command.
    pub(super) fn make_room(&mut self) -> anyhow::Result<()> {
        if self.size < self.most {
            return Ok(());
        }
        let young = std::mem::take(&mut self.young);
        let old = std::mem::replace(&mut self.old, young);
        self.size = 0;
        self.write(old)
    }

    fn write(&mut self, folds: HashMap<K, Kept<V>>) -> anyhow::Result<()> {
        let mut named = Vec::with_capacity(folds.len());
        for (key, kept) in folds {
            named.push((name(&key)?, serde_json::to_vec(&(key, kept.value))?));
        }
        // In order of key, as the file has them.
        named.sort_unstable();
        Ok(self.file.put(named)?)
    }

    /// Looks at every fold once, in order of their keys' names.
    pub(super) fn each(mut self, mut look: impl FnMut(K, V) -> anyhow::Result<()>) -> anyhow::Result<()> {
        for folds in [std::mem::take(&mut self.old), std::mem::take(&mut self.young)] {
            self.write(folds)?;
        }
        let mut after = Vec::new();
        loop {
            let page = self.file.page(&after, PAGE)?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after.clone_from(last);
            for (_, bytes) in page {
                let (key, value) = serde_json::from_slice(&bytes).context("a fold in the scratch file")?;
                look(key, value)?;
            }
        }
    }
}

fn name<K: Serialize>(key: &K) -> anyhow::Result<Vec<u8>> {
    Ok(serde_json::to_vec(key)?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn folds_are_the_same_whether_they_fit_into_memory_or_not() {
        let mut random: u64 = 7;
        let folder = tempfile::tempdir().unwrap();
        for most in [1, 4_000, usize::MAX] {
            let mut spilled: Spilled<u64, Vec<u64>> = Spilled::within(folder.path(), &most.to_string(), most).unwrap();
            let mut wanted: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            for step in 0..3_000 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let key = (random >> 33) % 200;
                assert_eq!(spilled.get(&key).unwrap(), wanted.get(&key));
                spilled.change(&key, 100).unwrap().push(step);
                wanted.entry(key).or_default().push(step);
                spilled.make_room().unwrap();
                assert!(spilled.size <= most.saturating_add(2_000));
            }
            let mut seen = BTreeMap::new();
            let look = |key, value| {
                seen.insert(key, value);
                Ok(())
            };
            spilled.each(look).unwrap();
            assert_eq!(seen, wanted);
        }
    }
}
