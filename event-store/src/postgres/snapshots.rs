//! Snapshots on their way into the database, and those in it. They are a cache: under pressure they are dropped, never waited
//! for. None is answered whose proof does not hold.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row};
use tokio::sync::Notify;
use uuid::Uuid;

use super::connect::within;
use super::reader::reading;
use super::rows::{hash, read_error, signed, unsigned};
use super::shared::Shared;
use crate::hash::Hash;
use crate::record::{StreamId, Version};
use crate::snapshot::Snapshot;
use crate::store::Error;

/// The most waiting snapshots; a snapshot beyond them is dropped.
const MOST_WAITING: usize = 1_024;
/// How many snapshots one statement writes.
const BATCH: usize = 64;

type Waiting = HashMap<(StreamId, u32), Snapshot>;

/// Snapshots that are not in the database yet.
#[derive(Default)]
pub(super) struct Kept {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

impl Kept {
    pub(super) fn keep(&self, stream: StreamId, snapshot: Snapshot) {
        if !snapshot.fits(&stream) {
            return;
        }
        let mut waiting = self.lock();
        let full = waiting.len() >= MOST_WAITING;
        let key = (stream, snapshot.fold);
        match waiting.get_mut(&key) {
            Some(kept) if kept.version <= snapshot.version => *kept = snapshot,
            Some(_) => {}
            None if full => metrics::counter!("daybook_store_snapshots_dropped_total", "reason" => "full").increment(1),
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

    /// Removes snapshots that were written, or cannot be, unless a newer one has arrived meanwhile.
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

/// Writes waiting snapshots until the store is closed; then the remaining ones, once.
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
    let proofs = proofs(shared, batch).await?;
    let known = batch.iter().zip(&proofs).filter_map(|(kept, proof)| Some((kept, (*proof)?)));
    let (batch, proofs): (Vec<_>, Vec<Hash>) = known.unzip();
    if batch.is_empty() {
        return Ok(());
    }
    let part = |name: fn(&StreamId) -> &str| {
        let names = batch.iter();
        names.map(|((stream, _), _)| name(stream).as_bytes()).collect::<Vec<_>>()
    };
    let numbers =
        |number: fn(&Snapshot) -> i64| -> Vec<i64> { batch.iter().map(|(_, snapshot)| number(snapshot)).collect() };
    let proofs: Vec<&[u8]> = proofs.iter().map(|proof| &proof[..]).collect();
    let ids: Vec<_> = batch.iter().map(|(_, snapshot)| snapshot.event_id).collect();
    let states: Vec<&[u8]> = batch.iter().map(|(_, snapshot)| &snapshot.state[..]).collect();
    let mut lent = shared.pool.lend().await?;
    let put = sqlx::query::<Postgres>(
        "INSERT INTO daybook.snapshot AS s (tenant, category, stream_id, fold, version, event_id, state, proof) \
         SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::uuid[], \
         $7::bytea[], $8::bytea[]) \
         AS n \
         ORDER BY 1, 2, 3, 4 \
         ON CONFLICT (tenant, category, stream_id, fold) DO UPDATE SET version = EXCLUDED.version, event_id = \
         EXCLUDED.event_id, \
         state = EXCLUDED.state, proof = EXCLUDED.proof WHERE s.version <= EXCLUDED.version",
    )
    .bind(part(|stream| &stream.tenant))
    .bind(part(|stream| &stream.category))
    .bind(part(|stream| &stream.id))
    .bind(numbers(|snapshot| i64::from(snapshot.fold)))
    .bind(numbers(|snapshot| signed(snapshot.version)))
    .bind(ids)
    .bind(states)
    .bind(proofs)
    .execute(&mut *lent);
    let put = within(shared.options.answer, put).await;
    lent.after(&put);
    put.map(drop)
}

/// The proofs of snapshots, made from their records in the log; none if the log lacks the record.
async fn proofs(shared: &Shared, batch: &[((StreamId, u32), Snapshot)]) -> sqlx::Result<Vec<Option<Hash>>> {
    let part = |name: fn(&StreamId) -> &str| {
        let names = batch.iter();
        names.map(|((stream, _), _)| name(stream).as_bytes()).collect::<Vec<_>>()
    };
    let versions: Vec<i64> = batch.iter().map(|(_, snapshot)| signed(snapshot.version)).collect();
    let read = async {
        reading!(shared, connection => sqlx::query::<Postgres>(
                "SELECT k.n, e.event_id, e.hash \
                 FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[]) WITH ORDINALITY \
                   AS k (tenant, category, stream_id, version, n) \
                 CROSS JOIN LATERAL (SELECT event_id, hash FROM daybook.events WHERE tenant = k.tenant AND category = \
                 k.category \
                   AND stream_id = k.stream_id AND version = k.version LIMIT 1) e",
            )
            .bind(part(|stream| &stream.tenant))
            .bind(part(|stream| &stream.category))
            .bind(part(|stream| &stream.id))
            .bind(&versions)
            .fetch_all(connection))
    };
    let found = read.await.map_err(|error: Error| sqlx::Error::Protocol(error.to_string()))?;
    let mut proofs = vec![None; batch.len()];
    for row in found {
        let place = usize::try_from(unsigned(&row, 0)?).unwrap_or(usize::MAX).wrapping_sub(1);
        if let Some(((stream, _), snapshot)) = batch.get(place)
            && row.try_get::<Uuid, _>(1)? == snapshot.event_id
        {
            proofs[place] = Some(snapshot.proof(stream, &hash(row.try_get(2)?)?));
        }
    }
    Ok(proofs)
}

/// The newest snapshot of a stream by this fold. One whose proof does not hold is removed.
pub(super) async fn newest(shared: &Arc<Shared>, stream: &StreamId, fold: u32) -> Result<Option<Snapshot>, Error> {
    if let Some(kept) = shared.snapshots.get(stream, fold) {
        return Ok(Some(kept));
    }
    let found = reading!(shared, connection => sqlx::query::<Postgres>(
            "SELECT s.version, s.event_id, s.state, s.proof, e.hash FROM daybook.snapshot s \
             LEFT JOIN LATERAL (SELECT hash FROM daybook.events WHERE tenant = $1 AND category = $2 AND stream_id = $3 \
               AND version = s.version AND event_id = s.event_id LIMIT 1) e ON true \
             WHERE s.tenant = $1 AND s.category = $2 AND s.stream_id = $3 AND s.fold = $4",
        )
        .bind(stream.tenant.as_bytes())
        .bind(stream.category.as_bytes())
        .bind(stream.id.as_bytes())
        .bind(i64::from(fold))
        .fetch_optional(connection));
    let Some(row) = found? else { return Ok(None) };
    let (snapshot, holds) = kept(&row, 0, stream, fold).map_err(|error| read_error(&error))?;
    if holds {
        return Ok(Some(snapshot));
    }
    if shared.reads_only {
        return Ok(None);
    }
    crate::snapshot::refused(stream, snapshot.version);
    let (task, stream) = (Arc::clone(shared), stream.clone());
    shared.tasks.spawn(async move { remove(&task, &stream, fold, snapshot.version).await });
    Ok(None)
}

/// A snapshot of a row, whose version, event id, state, proof and record's hash begin at a column; and whether its proof holds at the
/// record that the log has.
pub(super) fn kept(row: &PgRow, at: usize, stream: &StreamId, fold: u32) -> sqlx::Result<(Snapshot, bool)> {
    let snapshot = Snapshot {
        fold,
        version: unsigned(row, at)?,
        event_id: row.try_get(at + 1)?,
        state: row.try_get::<Vec<u8>, _>(at + 2)?.into(),
    };
    let proof: &[u8] = row.try_get(at + 3)?;
    let record: Option<&[u8]> = row.try_get(at + 4)?;
    let holds = match record {
        Some(record) => proof == snapshot.proof(stream, &hash(record)?),
        None => false,
    };
    Ok((snapshot, holds))
}

async fn remove(shared: &Shared, stream: &StreamId, fold: u32, version: Version) {
    let removed = reading!(shared, connection => sqlx::query::<Postgres>(
            "DELETE FROM daybook.snapshot WHERE tenant = $1 AND category = $2 AND stream_id = $3 AND fold = $4 AND \
             version = $5",
        )
        .bind(stream.tenant.as_bytes())
        .bind(stream.category.as_bytes())
        .bind(stream.id.as_bytes())
        .bind(i64::from(fold))
        .bind(signed(version))
        .execute(connection));
    if let Err(error) = removed {
        tracing::debug!(%error, "a damaged snapshot could not be removed now");
    }
}
