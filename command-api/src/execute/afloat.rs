//! Folds that are ahead of the log: their events are in the store's queue and not durable yet. If the events are not
//! written, the folds are discarded, whatever else happens.

use std::sync::Arc;

use event_store::record::Version;
use event_store::snapshot::Snapshot;
use uuid::Uuid;

use super::Inner;
use super::cache::Slot;
use super::fold::{Fold, NO_SNAPSHOTS};
use super::load::Held;
use super::plan::Facts;

/// The events that a batch writes to one stream.
#[derive(Clone, Copy)]
pub(super) struct Written {
    pub(super) count: usize,
    /// The id of the last event.
    pub(super) last: Uuid,
    pub(super) bytes: usize,
}

/// The slots that one batch has moved on.
pub(super) struct Afloat<'a> {
    inner: &'a Inner,
    moved: Vec<Moved>,
    landed: bool,
}

struct Moved {
    slot: Arc<Slot>,
    version: Version,
    /// The fold as it is at that version, if a snapshot is due there.
    snapshot: Option<(Uuid, Box<dyn Fold>)>,
}

impl<'a> Afloat<'a> {
    pub(super) fn new(inner: &'a Inner) -> Self {
        Self { inner, moved: Vec::new(), landed: false }
    }

    /// Applies new events to a fold.
    pub(super) fn fold(&mut self, slot: &Arc<Slot>, held: &mut Held, facts: &dyn Facts, written: Written) {
        let (before, last) = (held.version, written.last);
        held.version += written.count as Version;
        held.last = Some(last);
        self.moved.push(Moved { slot: Arc::clone(slot), version: held.version, snapshot: None });
        facts.fold(&mut *held.fold);
        slot.grew(held, written.bytes);
        let every = self.inner.options.snapshot_every.max(1);
        if slot.fold_version() != NO_SNAPSHOTS
            && before / every != held.version / every
            && let Some(moved) = self.moved.last_mut()
        {
            moved.snapshot = Some((last, held.fold.branch()));
        }
    }

    /// They are durable.
    pub(super) fn landed(mut self) {
        self.landed = true;
        for moved in self.moved.drain(..) {
            moved.slot.durable(moved.version);
            if let Some((event_id, fold)) = moved.snapshot {
                self.inner.keep_snapshot(
                    moved.slot.stream.clone(),
                    moved.slot.fold_version(),
                    moved.version,
                    event_id,
                    fold,
                );
            }
        }
        self.inner.cache.trim();
    }
}

impl Drop for Afloat<'_> {
    fn drop(&mut self) {
        if !self.landed {
            for moved in &self.moved {
                self.inner.cache.discard(&moved.slot);
            }
        }
    }
}

impl Inner {
    /// Keeps a snapshot, in a separate task that no caller waits for.
    fn keep_snapshot(
        &self,
        stream: event_store::record::StreamId,
        fold_version: u32,
        version: Version,
        event_id: Uuid,
        fold: Box<dyn Fold>,
    ) {
        let store = Arc::clone(&self.store);
        self.tracker.spawn(async move {
            match fold.write() {
                Ok(state) => store.keep_snapshot(stream, Snapshot { fold: fold_version, version, event_id, state }),
                Err(error) => tracing::error!(
                    stream = %stream,
                    %error,
                    "a state could not be written as a snapshot; loads fold the stream from an older one, nothing to do"
                ),
            }
        });
    }
}
