//! A bounded number of sagas in memory.

use std::collections::{BTreeMap, HashMap};

use super::index::Key;

/// Sagas in memory, and in which order they came: each has one place in it, so that one that is dropped and read again a thousand times
/// takes no more room than any other.
pub(super) struct Shelf<T> {
    most: usize,
    sagas: HashMap<Key, (u64, T)>,
    order: BTreeMap<u64, Key>,
    next: u64,
}

impl<T> Shelf<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, sagas: HashMap::new(), order: BTreeMap::new(), next: 0 }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&T> {
        self.sagas.get(key).map(|(_, loaded)| loaded)
    }

    pub(super) fn put(&mut self, key: &Key, loaded: T) {
        if let Some((_, there)) = self.sagas.get_mut(key) {
            *there = loaded;
            return;
        }
        self.order.insert(self.next, key.clone());
        self.sagas.insert(key.clone(), (self.next, loaded));
        self.next += 1;
    }

    pub(super) fn drop(&mut self, key: &Key) {
        if let Some((place, _)) = self.sagas.remove(key) {
            self.order.remove(&place);
        }
    }

    /// Drops the oldest sagas. Only between pages: within a page, changes that are not durable yet must stay.
    pub(super) fn trim(&mut self) {
        while self.sagas.len() > self.most {
            let Some((_, oldest)) = self.order.pop_first() else {
                return;
            };
            self.sagas.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(number: u128) -> Key {
        Key { tenant: "shop".into(), kind: "checkout".into(), subject: Uuid::from_u128(number) }
    }

    /// The store refuses for an hour, and each refusal has the sagas read again.
    #[test]
    fn a_saga_that_is_dropped_and_read_again_takes_one_place() {
        let mut shelf = Shelf::new(4);
        for round in 0..100 {
            for number in 0..3 {
                shelf.drop(&key(number));
                shelf.put(&key(number), round);
                shelf.put(&key(number), round + 1);
            }
            shelf.trim();
        }
        assert_eq!((shelf.sagas.len(), shelf.order.len()), (3, 3));
        assert_eq!(shelf.get(&key(2)), Some(&100));
    }

    #[test]
    fn the_oldest_are_dropped_when_there_are_too_many() {
        let mut shelf = Shelf::new(2);
        for number in 0..4 {
            shelf.put(&key(number), number);
        }
        // It came again, and is the newest now.
        shelf.drop(&key(0));
        shelf.put(&key(0), 0);
        shelf.trim();
        let kept: Vec<_> = (0..4).filter(|number| shelf.get(&key(*number)).is_some()).collect();
        assert_eq!(kept, [0, 3]);
    }
}
