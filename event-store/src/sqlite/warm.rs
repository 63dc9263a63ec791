//! What is read from the index at start: stream heads where they fit in memory, and the filters, which come beside the work.
//! Until a filter is there every question goes to the index; no answer rests on how far this has come.

use std::sync::{Arc, OnceLock};

use rusqlite::Connection;

use super::filter::Layer;
use super::index::{self, Indexed, Keys};
use super::open::OpenError;
use super::schema;
use super::shared::Shared;
use crate::heads::Heads;

/// The filters over what the index held at start.
#[derive(Default)]
pub(super) struct Bases {
    pub(super) streams: Arc<OnceLock<Layer>>,
    pub(super) commands: Arc<OnceLock<Layer>>,
}

impl Bases {
    /// An index without entries needs no reading.
    pub(super) fn for_index(indexed: &Indexed) -> Self {
        let bases = Self::default();
        if indexed.position == 0 {
            let _ = bases.streams.set(Layer::new(0));
            let _ = bases.commands.set(Layer::new(0));
        }
        bases
    }

    fn read(&self, index: &Connection, indexed: &Indexed) -> rusqlite::Result<()> {
        for (keys, count, base) in
            [(Keys::Commands, indexed.commands, &self.commands), (Keys::Streams, indexed.streams, &self.streams)]
        {
            let mut layer = Layer::new(usize::try_from(count).unwrap_or(usize::MAX).max(1_024));
            index::each_key(index, keys, |key| layer.insert(key))?;
            let _ = base.set(layer);
        }
        Ok(())
    }
}

/// The heads of all streams of the index, if they fit.
pub(super) fn heads(index: &Connection, indexed: &Indexed, capacity: usize) -> Result<Heads, OpenError> {
    // Half of the room is left for streams to come, so that the old ones are not forgotten at once.
    let complete = usize::try_from(indexed.streams).is_ok_and(|streams| streams <= capacity / 2);
    let mut heads = Heads::new(capacity, complete);
    if complete {
        index::each_head(index, |key, head| heads.keep(key, head))?;
    }
    Ok(heads)
}

/// Reads the filters on a thread of its own.
pub(super) fn start(shared: &Arc<Shared>, bases: Arc<Bases>, indexed: Indexed) -> std::io::Result<()> {
    if bases.commands.get().is_some() {
        return Ok(());
    }
    let dir = shared.options.dir.clone();
    let read = move || {
        let done = schema::read_index(&dir).and_then(|index| Ok(bases.read(&index, &indexed)?));
        if let Err(error) = done {
            tracing::warn!(%error, "the index could not be read ahead; look-ups go without a filter");
        }
    };
    std::thread::Builder::new().name("store-warm".into()).spawn(read).map(drop)
}
