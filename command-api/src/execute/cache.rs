//! Folded aggregates, kept for the next command. A slot whose events are not all durable is never let go, and one whose events failed is
//! never used again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use event_store::EventStore;
use event_store::record::{StreamId, Version};
use streams::Until;
use tokio::sync::{Mutex, MutexGuard, OnceCell, watch};

use super::error::Error;
use super::fold::Type;
use super::load::{self, Held};

/// How many slots are looked at for one to let go, each time one is added beyond the bound.
const LOOKED_AT: usize = 16;

/// One stream's fold.
pub(super) struct Slot {
    pub(super) stream: StreamId,
    of: Type,
    held: Mutex<Held>,
    loaded: OnceCell<()>,
    progress: watch::Sender<Progress>,
    used: AtomicBool,
}

#[derive(Clone, Copy)]
struct Progress {
    /// Everything up to this version is durable.
    durable: Version,
    /// Something after it failed, so that the fold is of what never happened.
    discarded: bool,
}

impl Slot {
    fn new(stream: StreamId, of: Type) -> Self {
        Self {
            stream,
            of,
            held: Mutex::new(Held::empty(of)),
            loaded: OnceCell::new(),
            progress: watch::Sender::new(Progress { durable: 0, discarded: false }),
            used: AtomicBool::new(true),
        }
    }

    /// The version of the fold.
    pub(super) fn fold_version(&self) -> u32 {
        self.of.fold
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.loaded.initialized()
    }

    /// Reads the stream, once for however many wait for it.
    pub(super) async fn load(&self, store: &dyn EventStore) -> Result<(), Error> {
        self.loaded
            .get_or_try_init(|| async {
                let held = load::fold(store, &self.stream, self.of, Until::End).await?;
                self.durable(held.version);
                *self.held.lock().await = held;
                Ok(())
            })
            .await
            .copied()
    }

    /// Waits for its turn.
    pub(super) async fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().await
    }

    /// The version of the fold, if nobody works on it right now.
    #[cfg(test)]
    pub(super) fn try_peek(&self) -> Option<Version> {
        self.held.try_lock().ok().map(|held| held.version)
    }

    pub(super) fn is_discarded(&self) -> bool {
        self.progress.borrow().discarded
    }

    /// Everything up to this version is durable.
    pub(super) fn durable(&self, version: Version) {
        self.progress.send_if_modified(|progress| {
            let further = version > progress.durable;
            if further {
                progress.durable = version;
            }
            further
        });
    }

    /// Waits until everything up to this version is durable; `false` if it never will be.
    pub(super) async fn wait_durable(&self, version: Version) -> bool {
        let mut progress = self.progress.subscribe();
        progress
            .wait_for(|progress| progress.durable >= version || progress.discarded)
            .await
            .is_ok_and(|progress| progress.durable >= version)
    }
}

/// All slots.
pub(super) struct Cache {
    slots: DashMap<StreamId, Arc<Slot>>,
    /// The streams that have a slot, each once; the next one to be looked at first.
    clock: SyncMutex<VecDeque<StreamId>>,
    count: AtomicUsize,
    bound: usize,
}

impl Cache {
    pub(super) fn new(bound: usize) -> Self {
        Self { slots: DashMap::new(), clock: SyncMutex::default(), count: AtomicUsize::new(0), bound }
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// A stream's slot, which may have to be loaded first.
    pub(super) fn slot(&self, stream: &StreamId, of: Type) -> Arc<Slot> {
        if let Some(slot) = self.slots.get(stream) {
            slot.used.store(true, Ordering::Relaxed);
            return Arc::clone(&slot);
        }
        let (slot, new) = match self.slots.entry(stream.clone()) {
            Entry::Occupied(there) => (Arc::clone(there.get()), false),
            Entry::Vacant(vacant) => {
                let slot = Arc::new(Slot::new(stream.clone(), of));
                vacant.insert(Arc::clone(&slot));
                (slot, true)
            }
        };
        if new {
            self.added(stream);
        }
        slot
    }

    /// A stream's slot, if it has one.
    pub(super) fn there(&self, stream: &StreamId) -> Option<Arc<Slot>> {
        self.slots.get(stream).map(|slot| Arc::clone(&slot))
    }

    /// Puts an empty slot in the place of one whose fold is not what the log says.
    pub(super) fn discard(&self, slot: &Arc<Slot>) {
        slot.progress.send_modify(|progress| progress.discarded = true);
        if let Some(mut there) = self.slots.get_mut(&slot.stream)
            && Arc::ptr_eq(&there, slot)
        {
            *there = Arc::new(Slot::new(slot.stream.clone(), slot.of));
        }
    }

    fn added(&self, stream: &StreamId) {
        let over = self.count.fetch_add(1, Ordering::Relaxed) + 1 > self.bound;
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.push_back(stream.clone());
        if !over {
            return;
        }
        for looked_at in 0..LOOKED_AT {
            let Some(next) = clock.pop_front() else {
                return;
            };
            // In the first half those that were used since the last look are spared.
            let spare = looked_at < LOOKED_AT / 2;
            // Whoever works with a slot holds it, a batch on its way included; nobody can begin to while its shard is locked.
            let gone = self.slots.remove_if(&next, |_, slot| {
                let used = slot.used.swap(false, Ordering::Relaxed);
                Arc::strong_count(slot) == 1 && !(used && spare)
            });
            if gone.is_some() {
                self.count.fetch_sub(1, Ordering::Relaxed);
                if self.count.load(Ordering::Relaxed) <= self.bound {
                    return;
                }
            } else {
                clock.push_back(next);
            }
        }
    }
}
