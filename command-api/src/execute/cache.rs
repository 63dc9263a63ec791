//! Folded aggregates, cached for later commands, bounded by their bytes and by their number. A slot with events that
//! are not durable is never dropped, and a slot whose events failed is never used again.

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

/// How many slots are examined to drop one, for each slot added beyond the bound.
const LOOKED_AT: usize = 16;
/// The same if the bytes are beyond the bound: the large slots may be behind many small ones.
const LOOKED_AT_FOR_BYTES: usize = 1_024;
/// A state takes about this many times its written bytes, and this much overhead.
const SPREAD: usize = 2;
const AROUND: usize = 1_024;
/// A state is measured again when the events since then have this many bytes, or as many as it had: so the cost of
/// measuring is proportional to the written bytes.
const MEASURED_EVERY: usize = 32 * 1024;

/// One stream's fold.
pub(super) struct Slot {
    pub(super) stream: StreamId,
    of: Type,
    held: Mutex<Held>,
    loaded: OnceCell<()>,
    progress: watch::Sender<Progress>,
    used: AtomicBool,
    size: SyncMutex<Size>,
    /// The bytes of all slots, including this one.
    total: Arc<AtomicUsize>,
}

/// How large a fold is, about.
#[derive(Clone, Copy, Default)]
struct Size {
    /// When it was measured, in bytes as they are written.
    measured: usize,
    /// The bytes of the events since.
    since: usize,
    /// Its bytes in the total.
    counted: usize,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let size = self.size.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.total.fetch_sub(size.counted, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy)]
struct Progress {
    /// Everything up to this version is durable.
    durable: Version,
    /// Something after it failed, so that the fold is of what never happened.
    discarded: bool,
}

impl Slot {
    fn new(stream: StreamId, of: Type, total: Arc<AtomicUsize>) -> Self {
        total.fetch_add(AROUND, Ordering::Relaxed);
        Self {
            size: SyncMutex::new(Size { counted: AROUND, ..Size::default() }),
            total,
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

    /// Takes the stream for empty, unless it is loaded or being loaded.
    pub(super) fn begin(&self) -> bool {
        self.loaded.set(()).is_ok()
    }

    /// Reads the stream, once for however many wait for it.
    pub(super) async fn load(&self, store: &dyn EventStore) -> Result<(), Error> {
        self.loaded
            .get_or_try_init(|| async {
                let held = load::fold(store, &self.stream, self.of, Until::End).await?;
                self.durable(held.version);
                self.grew(&held, usize::MAX);
                *self.held.lock().await = held;
                Ok(())
            })
            .await
            .copied()
    }

    /// The fold has moved past events of so many bytes.
    pub(super) fn grew(&self, held: &Held, by: usize) {
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        size.since = size.since.saturating_add(by);
        if size.since >= size.measured.max(MEASURED_EVERY) {
            (size.measured, size.since) = (held.fold.size(), 0);
        }
        let counted = AROUND + SPREAD * (size.measured + size.since);
        if counted > size.counted {
            self.total.fetch_add(counted - size.counted, Ordering::Relaxed);
        } else {
            self.total.fetch_sub(size.counted - counted, Ordering::Relaxed);
        }
        size.counted = counted;
    }

    /// Waits for its turn.
    pub(super) async fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().await
    }

    /// Its turn, if no other command has it.
    pub(super) fn try_lock(&self) -> Option<MutexGuard<'_, Held>> {
        self.held.try_lock().ok()
    }

    /// The version of the fold, if no command is using it.
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

    /// Whether everything up to this version is known to be durable.
    pub(super) fn is_durable(&self, version: Version) -> bool {
        self.progress.borrow().durable >= version
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
    bytes: Arc<AtomicUsize>,
    /// The most slots, and the most bytes that they take. Slots in use stay at any size.
    bound: Bound,
}

/// The limits of the cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) slots: usize,
    pub(super) bytes: usize,
}

impl Cache {
    pub(super) fn new(bound: Bound) -> Self {
        Self {
            slots: DashMap::new(),
            clock: SyncMutex::default(),
            count: AtomicUsize::new(0),
            bytes: Arc::default(),
            bound,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The bytes of all folds, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
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
                let slot = Arc::new(Slot::new(stream.clone(), of, Arc::clone(&self.bytes)));
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

    /// Replaces a slot whose fold differs from the log by an empty one.
    pub(super) fn discard(&self, slot: &Arc<Slot>) {
        slot.progress.send_modify(|progress| progress.discarded = true);
        if let Some(mut there) = self.slots.get_mut(&slot.stream)
            && Arc::ptr_eq(&there, slot)
        {
            *there = Arc::new(Slot::new(slot.stream.clone(), slot.of, Arc::clone(&self.bytes)));
        }
    }

    fn added(&self, stream: &StreamId) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).push_back(stream.clone());
        self.trim();
    }

    fn over(&self) -> Option<usize> {
        if self.bytes() > self.bound.bytes {
            Some(LOOKED_AT_FOR_BYTES)
        } else if self.len() > self.bound.slots {
            Some(LOOKED_AT)
        } else {
            None
        }
    }

    /// Drops unused slots while there are too many slots or they take too much memory.
    pub(super) fn trim(&self) {
        let Some(looks) = self.over() else {
            return;
        };
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        // No slot is looked at more than twice: once to be spared, once not.
        let looks = looks.min(2 * clock.len());
        for looked_at in 0..looks {
            let Some(next) = clock.pop_front() else {
                return;
            };
            // In the first half those that were used since the last look are spared.
            let spare = looked_at < looks / 2;
            // Every user of a slot holds a reference, including a batch in flight; no new user can start while its
            // shard is locked.
            let gone = self.slots.remove_if(&next, |_, slot| {
                let used = slot.used.swap(false, Ordering::Relaxed);
                Arc::strong_count(slot) == 1 && !(used && spare)
            });
            if gone.is_some() {
                self.count.fetch_sub(1, Ordering::Relaxed);
                drop(gone);
                if self.over().is_none() {
                    return;
                }
            } else {
                clock.push_back(next);
            }
        }
    }
}
