//! Snapshots on their way into the index, and those in it. They are a cache: under pressure they are dropped, never waited for.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use super::index::uuid;
use crate::snapshot::Snapshot;

/// What waits for the index thread at most; a snapshot that comes when it is full is dropped.
const MOST_WAITING: usize = 1_024;
const MAX_STATE: usize = 4 * 1024 * 1024;

type Waiting = HashMap<(u128, u32), Snapshot>;

/// Snapshots that are not in the index yet.
#[derive(Default)]
pub(super) struct Kept(Mutex<Waiting>);

impl Kept {
    pub(super) fn keep(&self, key: u128, snapshot: Snapshot) {
        if snapshot.state.len() > MAX_STATE {
            return;
        }
        let mut waiting = self.lock();
        let full = waiting.len() >= MOST_WAITING;
        match waiting.get_mut(&(key, snapshot.fold)) {
            Some(kept) if kept.version <= snapshot.version => *kept = snapshot,
            Some(_) => {}
            None if full => metrics::counter!("daybook_store_snapshots_dropped_total").increment(1),
            None => drop(waiting.insert((key, snapshot.fold), snapshot)),
        }
    }

    pub(super) fn get(&self, key: u128, fold: u32) -> Option<Snapshot> {
        self.lock().get(&(key, fold)).cloned()
    }

    /// Writes what waits. What cannot be written is dropped.
    pub(super) fn write(&self, index: &Connection) {
        let batch: Vec<_> = self.lock().iter().map(|(key, snapshot)| (*key, snapshot.clone())).collect();
        if batch.is_empty() {
            return;
        }
        if let Err(error) = put(index, &batch) {
            tracing::warn!(%error, "snapshots could not be kept");
            if !index.is_autocommit() {
                let _ = index.execute_batch("ROLLBACK");
            }
        }
        let mut waiting = self.lock();
        for (key, written) in batch {
            if waiting.get(&key).is_some_and(|kept| kept.version == written.version) {
                waiting.remove(&key);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(index: &Connection, batch: &[((u128, u32), Snapshot)]) -> rusqlite::Result<()> {
    index.execute_batch("BEGIN IMMEDIATE")?;
    let sql = "INSERT INTO snapshot VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key, fold) \
               DO UPDATE SET version = ?3, event_id = ?4, state = ?5 WHERE version <= ?3";
    let mut insert = index.prepare_cached(sql)?;
    for ((key, fold), snapshot) in batch {
        let key = key.to_be_bytes();
        insert.execute(params![
            &key[..],
            fold,
            snapshot.version,
            &snapshot.event_id.as_bytes()[..],
            &snapshot.state[..]
        ])?;
    }
    drop(insert);
    index.execute_batch("COMMIT")
}

/// The newest snapshot of a stream by this fold that the index has.
pub(super) fn stored(index: &Connection, key: u128, fold: u32) -> rusqlite::Result<Option<Snapshot>> {
    let sql = "SELECT version, event_id, state FROM snapshot WHERE key = ?1 AND fold = ?2";
    index
        .prepare_cached(sql)?
        .query_row(params![&key.to_be_bytes()[..], fold], |row| {
            Ok(Snapshot {
                fold,
                version: row.get(0)?,
                event_id: uuid(row.get_ref(1)?.as_blob()?),
                state: row.get::<_, Vec<u8>>(2)?.into(),
            })
        })
        .optional()
}
