//! Snapshots on their way into the index, and those in it. They are a cache: under pressure they are dropped, never waited for. None is
//! answered whose proof does not hold.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use super::index::{self, IndexError, uuid};
use super::tail::Tail;
use crate::hash::Hash;
use crate::heads::key_of;
use crate::record::{Position, Record, StreamId, Version};
use crate::snapshot::Snapshot;

/// The most snapshots that wait for the index thread; a snapshot beyond them is dropped.
const MOST_WAITING: usize = 1_024;

type Name = (StreamId, u32);

/// Snapshots that are not in the index yet, and those that are to leave it.
#[derive(Default)]
pub(super) struct Kept {
    waiting: Mutex<HashMap<Name, Snapshot>>,
    refused: Mutex<HashMap<Name, Version>>,
}

impl Kept {
    pub(super) fn keep(&self, stream: StreamId, snapshot: Snapshot) {
        if !snapshot.fits(&stream) {
            return;
        }
        let mut waiting = lock(&self.waiting);
        let full = waiting.len() >= MOST_WAITING;
        let name = (stream, snapshot.fold);
        match waiting.get_mut(&name) {
            Some(kept) if kept.version <= snapshot.version => *kept = snapshot,
            Some(_) => {}
            None if full => metrics::counter!("daybook_store_snapshots_dropped_total", "reason" => "full").increment(1),
            None => drop(waiting.insert(name, snapshot)),
        }
    }

    pub(super) fn get(&self, stream: &StreamId, fold: u32) -> Option<Snapshot> {
        lock(&self.waiting).get(&(stream.clone(), fold)).cloned()
    }

    /// A stored snapshot failed its check: it is removed.
    pub(super) fn refuse(&self, stream: &StreamId, fold: u32, version: Version) {
        crate::snapshot::refused(stream, version);
        let mut refused = lock(&self.refused);
        if refused.len() < MOST_WAITING {
            refused.insert((stream.clone(), fold), version);
        }
    }

    /// Writes the waiting snapshots, in the index thread. Those that cannot be written are dropped.
    pub(super) fn write(&self, index: &Connection, log: &Connection, tail: &Tail) -> Result<(), IndexError> {
        let refused = std::mem::take(&mut *lock(&self.refused));
        let batch: Vec<_> = lock(&self.waiting).iter().map(|(name, kept)| (name.clone(), kept.clone())).collect();
        if batch.is_empty() && refused.is_empty() {
            return Ok(());
        }
        let done = put(index, log, tail, &batch, &refused);
        if done.is_err() && !index.is_autocommit() {
            let _ = index.execute_batch("ROLLBACK");
        }
        let mut waiting = lock(&self.waiting);
        for (name, written) in batch {
            if waiting.get(&name).is_some_and(|kept| kept.version == written.version) {
                waiting.remove(&name);
            }
        }
        done
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn put(
    index: &Connection,
    log: &Connection,
    tail: &Tail,
    batch: &[(Name, Snapshot)],
    refused: &HashMap<Name, Version>,
) -> Result<(), IndexError> {
    index.execute_batch("BEGIN IMMEDIATE")?;
    let mut remove = index.prepare_cached("DELETE FROM snapshot WHERE key = ?1 AND fold = ?2 AND version = ?3")?;
    for ((stream, fold), version) in refused {
        remove.execute(params![&key_of(stream).to_be_bytes()[..], fold, version])?;
    }
    drop(remove);
    let sql = "INSERT INTO snapshot VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key, fold) \
               DO UPDATE SET version = ?3, event_id = ?4, proof = ?5, state = ?6 WHERE version <= ?3";
    let mut insert = index.prepare_cached(sql)?;
    for ((stream, fold), snapshot) in batch {
        // If the log lacks the record, the snapshot does not belong to it.
        let Some(record) = standing_at(index, log, tail, stream, snapshot)? else {
            metrics::counter!("daybook_store_snapshots_dropped_total", "reason" => "foreign").increment(1);
            continue;
        };
        insert.execute(params![
            &key_of(stream).to_be_bytes()[..],
            fold,
            snapshot.version,
            &snapshot.event_id.as_bytes()[..],
            &snapshot.proof(stream, &record)[..],
            &snapshot.state[..]
        ])?;
    }
    drop(insert);
    index.execute_batch("COMMIT")?;
    Ok(())
}

/// The hash of the record that a snapshot belongs to.
fn standing_at(
    index: &Connection,
    log: &Connection,
    tail: &Tail,
    stream: &StreamId,
    snapshot: &Snapshot,
) -> Result<Option<Hash>, IndexError> {
    let key = key_of(stream);
    let in_tail = tail.stream(key).into_iter().find(|&(version, _)| version == snapshot.version);
    let position: Option<Position> = match in_tail {
        Some((_, position)) => Some(position),
        None => index::place(index, key, snapshot.version)?,
    };
    let Some(position) = position else { return Ok(None) };
    let sql = "SELECT version, event_id, hash FROM log WHERE position = ?1";
    let found = log.prepare_cached(sql).and_then(|mut statement| {
        statement.query_row([position], |row| {
            let same =
                row.get::<_, Version>(0)? == snapshot.version && uuid(row.get_ref(1)?.as_blob()?) == snapshot.event_id;
            Ok(same.then_some(row.get(2)?))
        })
    });
    match found {
        Ok(found) => Ok(found),
        // Readers of the log report its damage; here it only means that there is no snapshot.
        Err(error) => {
            tracing::debug!(%error, position, "the record of a snapshot cannot be read");
            Ok(None)
        }
    }
}

/// The index's snapshot of a stream by this fold, with its proof.
pub(super) fn stored(index: &Connection, key: u128, fold: u32) -> rusqlite::Result<Option<(Snapshot, Vec<u8>)>> {
    let sql = "SELECT version, event_id, state, proof FROM snapshot WHERE key = ?1 AND fold = ?2";
    index
        .prepare_cached(sql)?
        .query_row(params![&key.to_be_bytes()[..], fold], |row| {
            let snapshot = Snapshot {
                fold,
                version: row.get(0)?,
                event_id: uuid(row.get_ref(1)?.as_blob()?),
                state: row.get::<_, Vec<u8>>(2)?.into(),
            };
            Ok((snapshot, row.get(3)?))
        })
        .optional()
}

/// Whether a snapshot is the one that was stored for a record of the log.
pub(super) fn holds(snapshot: &Snapshot, proof: &[u8], record: &Record) -> bool {
    (record.version, record.event_id) == (snapshot.version, snapshot.event_id)
        && proof == snapshot.proof(&record.stream, &record.hash)
}

/// The streams and folds of the snapshots after one of them, or of the first, `limit` at most, in the order of their keys.
pub(super) fn after(
    index: &Connection,
    after: Option<(u128, u32)>,
    limit: usize,
) -> rusqlite::Result<Vec<(u128, u32)>> {
    let (key, fold) = after.map_or((0_u128, -1), |(key, fold)| (key, i64::from(fold)));
    let sql = "SELECT key, fold FROM snapshot WHERE (key, fold) > (?1, ?2) ORDER BY key, fold LIMIT ?3";
    let mut statement = index.prepare_cached(sql)?;
    let rows = statement.query_map(params![&key.to_be_bytes()[..], fold, limit as i64], |row| {
        Ok((uuid(row.get_ref(0)?.as_blob()?).as_u128(), row.get(1)?))
    })?;
    rows.collect()
}
