//! How many streams the runners or the payment worker of a process hold: nothing of these is reacted to, since a record of theirs cannot be
//! read. Shown as a gauge, and in readiness.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::meters;

/// How many streams are held. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Holds(Arc<Mutex<BTreeMap<Option<u32>, usize>>>);

impl Holds {
    /// How many there are in all partitions that run here.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.all().values().sum()
    }

    /// The number of held streams of a partition; also 0 once the partition no longer runs here.
    pub(crate) fn set(&self, reader: &'static str, partition: Option<u32>, streams: usize) {
        self.all().insert(partition, streams);
        meters::held(reader, partition, streams);
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Option<u32>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
