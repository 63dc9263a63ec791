//! Snapshots on their way into the database, and those in it. They are a cache: under pressure they are dropped, never waited
//! for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::{Postgres, Row};
use tokio::sync::Notify;

use super::reader::reading;
use super::rows::{read_error, signed, unsigned};
use super::shared::Shared;
use crate::record::StreamId;
use crate::snapshot::Snapshot;
use crate::store::Error;

/// What waits to be written at most; a snapshot that comes when it is full is dropped.
const MOST_WAITING: usize = 1_024;
/// What is written at once.
const BATCH: usize = 64;
const MAX_STATE: usize = 4 * 1024 * 1024;

type Waiting = HashMap<(StreamId, u32), Snapshot>;

/// Snapshots that are not in the database yet.
#[derive(Default)]
pub(super) struct Kept {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

impl Kept {
    pub(super) fn keep(&self, stream: StreamId, snapshot: Snapshot) {
        if snapshot.state.len() > MAX_STATE {
            return;
        }
        let mut waiting = self.lock();
        let full = waiting.len() >= MOST_WAITING;
        let key = (stream, snapshot.fold);
        match waiting.get_mut(&key) {
            Some(kept) if kept.version <= snapshot.version => *kept = snapshot,
            Some(_) => {}
            None if full => metrics::counter!("daybook_store_snapshots_dropped_total").increment(1),
            None => drop(waiting.insert(key, snapshot)),
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    fn get(&self, stream: &StreamId, fold: u32) -> Option<Snapshot> {
        self.lock().get(&(stream.clone(), fold)).cloned()
    }

    fn batch(&self) -> Vec<((StreamId, u32), Snapshot)> {
        let waiting = self.lock();
        let batch = waiting.iter().take(BATCH);
        batch.map(|(key, kept)| (key.clone(), kept.clone())).collect()
    }

    /// Forgets what was written, or cannot be, unless a newer one has come since.
    fn forget(&self, batch: &[((StreamId, u32), Snapshot)]) {
        let mut waiting = self.lock();
        for (key, written) in batch {
            if waiting.get(key).is_some_and(|kept| kept.version == written.version) {
                waiting.remove(key);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what waits, until the store is closed; then what is left, once.
pub(super) async fn write_on(shared: Arc<Shared>) {
    loop {
        let ends = tokio::select! {
            () = shared.snapshots.arrived.notified() => false,
            () = shared.stop.cancelled() => true,
        };
        loop {
            let batch = shared.snapshots.batch();
            if batch.is_empty() {
                break;
            }
            if let Err(error) = put(&shared, &batch).await {
                tracing::debug!(%error, "snapshots could not be kept");
            }
            shared.snapshots.forget(&batch);
        }
        if ends {
            return;
        }
    }
}

async fn put(shared: &Shared, batch: &[((StreamId, u32), Snapshot)]) -> sqlx::Result<()> {
    let part = |name: fn(&StreamId) -> &str| {
        let names = batch.iter();
        names.map(|((stream, _), _)| name(stream).as_bytes()).collect::<Vec<_>>()
    };
    let numbers =
        |number: fn(&Snapshot) -> i64| -> Vec<i64> { batch.iter().map(|(_, snapshot)| number(snapshot)).collect() };
    let ids: Vec<_> = batch.iter().map(|(_, snapshot)| snapshot.event_id).collect();
    let states: Vec<&[u8]> = batch.iter().map(|(_, snapshot)| &snapshot.state[..]).collect();
    let mut connection = shared.pool.acquire().await?;
    sqlx::query::<Postgres>(
        "INSERT INTO daybook.snapshot AS s (tenant, category, stream_id, fold, version, event_id, state) \
         SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::uuid[], $7::bytea[]) AS n \
         ORDER BY 1, 2, 3, 4 \
         ON CONFLICT (tenant, category, stream_id, fold) DO UPDATE SET version = EXCLUDED.version, event_id = EXCLUDED.event_id, \
         state = EXCLUDED.state WHERE s.version <= EXCLUDED.version",
    )
    .bind(part(|stream| &stream.tenant))
    .bind(part(|stream| &stream.category))
    .bind(part(|stream| &stream.id))
    .bind(numbers(|snapshot| i64::from(snapshot.fold)))
    .bind(numbers(|snapshot| signed(snapshot.version)))
    .bind(ids)
    .bind(states)
    .execute(&mut *connection)
    .await
    .map(drop)
}

/// The newest snapshot of a stream by this fold.
pub(super) async fn newest(shared: &Shared, stream: &StreamId, fold: u32) -> Result<Option<Snapshot>, Error> {
    if let Some(kept) = shared.snapshots.get(stream, fold) {
        return Ok(Some(kept));
    }
    let found = reading!(shared, connection => sqlx::query::<Postgres>(
            "SELECT version, event_id, state FROM daybook.snapshot \
             WHERE tenant = $1 AND category = $2 AND stream_id = $3 AND fold = $4",
        )
        .bind(stream.tenant.as_bytes())
        .bind(stream.category.as_bytes())
        .bind(stream.id.as_bytes())
        .bind(i64::from(fold))
        .fetch_optional(connection));
    found?
        .map(|row| {
            Ok(Snapshot {
                fold,
                version: unsigned(&row, 0)?,
                event_id: row.try_get(1)?,
                state: row.try_get::<Vec<u8>, _>(2)?.into(),
            })
        })
        .transpose()
        .map_err(|error| read_error(&error))
}
