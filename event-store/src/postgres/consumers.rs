//! Consumer rows: leases and checkpoints, each changed by one compare-and-set statement. A save under an old epoch must
//! never succeed. The statements run in separate tasks, so a dropped caller cancels nothing half-way.

use std::sync::Arc;

use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row};

use super::connect::{is_lost, within};
use super::reader::reading;
use super::rows::{self, read_error, signed, unsigned};
use super::shared::Shared;
use crate::consumer::{Checkpoint, ConsumerKey, ConsumerRow, Lease};
use crate::record::Micros;
use crate::store::Error;

/// The largest state that a checkpoint carries.
const MAX_STATE: usize = 4 * 1024 * 1024;
const MAX_NAME: usize = 255;

/// Takes a row that is free, whose lease has ended, or that the owner holds; returns the new row, or none. The time is
/// the server's at the moment of the update, unless another is given.
const ACQUIRE: &str = "
INSERT INTO daybook.consumer AS c (name, partition, owner, epoch, lease_until, position, hash, state)
VALUES ($1, $2, $3, 1, coalesce($5, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) + $4, 0,
  decode(repeat('00', 32), 'hex'), '')
ON CONFLICT (name, partition) DO UPDATE SET
  owner = EXCLUDED.owner,
  epoch = c.epoch + CASE WHEN c.owner = EXCLUDED.owner THEN 0 ELSE 1 END,
  lease_until = coalesce($5, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) + $4
WHERE c.owner = EXCLUDED.owner
  OR c.lease_until <= coalesce($5, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
RETURNING partition, owner, epoch, lease_until, position, hash, state";

/// Whether a name can be one.
fn check_key(key: &ConsumerKey, owner: &str) -> Result<(), Error> {
    if key.name.is_empty() || key.name.len() > MAX_NAME || owner.is_empty() || owner.len() > MAX_NAME {
        return Err(Error::Never(format!("a consumer's name and owner have 1 to {MAX_NAME} bytes")));
    }
    Ok(())
}

pub(super) async fn acquire(
    shared: &Arc<Shared>,
    key: &ConsumerKey,
    owner: &str,
    lease_us: Micros,
) -> Result<Option<ConsumerRow>, Error> {
    check_key(key, owner)?;
    // Longer than any lease, and far from where adding to the time would overflow.
    let lease_us = lease_us.clamp(0, Micros::MAX / 4);
    let (task, key, owner) = (Arc::clone(shared), key.clone(), owner.to_owned());
    let work = async move {
        let mut lent = task.pool.lend().await?;
        let row = sqlx::query::<Postgres>(ACQUIRE)
            .bind(key.name.as_bytes())
            .bind(i64::from(key.partition))
            .bind(owner.as_bytes())
            .bind(lease_us)
            .bind(task.clock.given())
            .fetch_optional(&mut *lent);
        let row = within(task.options.answer, row).await;
        lent.after(&row);
        row?.map(|row| read(&key.name, &row)).transpose()
    };
    run(shared, work).await
}

pub(super) async fn release(shared: &Arc<Shared>, lease: &Lease) -> Result<(), Error> {
    let (task, lease) = (Arc::clone(shared), lease.clone());
    let work = async move {
        let mut lent = task.pool.lend().await?;
        let changed = sqlx::query::<Postgres>(
            "UPDATE daybook.consumer SET owner = '', lease_until = 0 \
             WHERE name = $1 AND partition = $2 AND owner = $3 AND epoch = $4",
        )
        .bind(lease.key.name.as_bytes())
        .bind(i64::from(lease.key.partition))
        .bind(lease.owner.as_bytes())
        .bind(signed(lease.epoch))
        .execute(&mut *lent);
        let changed = within(task.options.answer, changed).await;
        lent.after(&changed);
        Ok(changed?.rows_affected())
    };
    changed(run(shared, work).await?)
}

pub(super) async fn save(shared: &Arc<Shared>, lease: &Lease, checkpoint: Checkpoint) -> Result<(), Error> {
    if checkpoint.state.len() > MAX_STATE {
        return Err(Error::Never(format!(
            "a consumer's state has {} bytes, at most {MAX_STATE} are allowed",
            checkpoint.state.len()
        )));
    }
    let (task, lease) = (Arc::clone(shared), lease.clone());
    let work = async move {
        let mut lent = task.pool.lend().await?;
        let changed = sqlx::query::<Postgres>(
            "UPDATE daybook.consumer SET position = $5, hash = $6, state = $7 \
             WHERE name = $1 AND partition = $2 AND owner = $3 AND epoch = $4",
        )
        .bind(lease.key.name.as_bytes())
        .bind(i64::from(lease.key.partition))
        .bind(lease.owner.as_bytes())
        .bind(signed(lease.epoch))
        .bind(signed(checkpoint.position))
        .bind(&checkpoint.hash[..])
        .bind(&checkpoint.state[..])
        .execute(&mut *lent);
        let changed = within(task.options.answer, changed).await;
        lent.after(&changed);
        Ok(changed?.rows_affected())
    };
    changed(run(shared, work).await?)
}

fn changed(rows: u64) -> Result<(), Error> {
    if rows == 1 { Ok(()) } else { Err(Error::LeaseLost) }
}

/// Makes a change in a separate task.
pub(super) async fn run<T: Send + 'static>(
    shared: &Shared,
    work: impl Future<Output = sqlx::Result<T>> + Send + 'static,
) -> Result<T, Error> {
    if shared.queue.closed().is_some() {
        return Err(Error::Closed);
    }
    match shared.tasks.spawn(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(sqlx::Error::PoolClosed)) => Err(Error::Closed),
        // A server that stops may do so between a statement's end and its answer.
        Ok(Err(error @ (sqlx::Error::Database(_) | sqlx::Error::PoolTimedOut))) if !is_lost(&error) => {
            Err(Error::NotNow(error.to_string()))
        }
        Ok(Err(error)) => Err(Error::Unknown(error.to_string())),
        Err(error) => Err(Error::Unknown(error.to_string())),
    }
}

/// A row as it stands.
pub(super) async fn row(shared: &Shared, key: &ConsumerKey) -> Result<Option<ConsumerRow>, Error> {
    let found = reading!(shared, connection => sqlx::query::<Postgres>(
            "SELECT partition, owner, epoch, lease_until, position, hash, state FROM daybook.consumer \
             WHERE name = $1 AND partition = $2",
        )
        .bind(key.name.as_bytes())
        .bind(i64::from(key.partition))
        .fetch_optional(connection));
    let row = found?;
    row.map(|row| read(&key.name, &row)).transpose().map_err(|error| read_error(&error))
}

/// Every row of a name, in order of partition.
pub(super) async fn rows(shared: &Shared, name: &str) -> Result<Vec<ConsumerRow>, Error> {
    let found = reading!(shared, connection => sqlx::query::<Postgres>(
            "SELECT partition, owner, epoch, lease_until, position, hash, state FROM daybook.consumer \
             WHERE name = $1 ORDER BY partition",
        )
        .bind(name.as_bytes())
        .fetch_all(connection));
    let rows = found?;
    let rows: sqlx::Result<_> = rows.iter().map(|row| read(name, row)).collect();
    rows.map_err(|error| read_error(&error))
}

fn read(name: &str, row: &PgRow) -> sqlx::Result<ConsumerRow> {
    Ok(ConsumerRow {
        lease: Lease {
            key: ConsumerKey {
                name: name.to_owned(),
                partition: u32::try_from(unsigned(row, 0)?).map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            },
            owner: rows::text(row.try_get(1)?)?.to_owned(),
            epoch: unsigned(row, 2)?,
            lease_until: row.try_get(3)?,
        },
        checkpoint: Checkpoint {
            position: unsigned(row, 4)?,
            hash: rows::hash(row.try_get(5)?)?,
            state: row.try_get::<Vec<u8>, _>(6)?.into(),
        },
    })
}
