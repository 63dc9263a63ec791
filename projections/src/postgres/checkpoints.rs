//! The checkpoints and the operations that change them: creating tables, changing owners, taking over. Several
//! processes may try at once, so an operation on a whole model locks its checkpoints first.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::text::{kept, meant};
use super::writer::sql_int;
use super::{schema, write_error};
use crate::board::Stop;
use crate::sql;
use crate::store::{Checkpoint, Error, Making, Slot, Takeover};
use crate::value::Spec;

const CHECKPOINTS: &str = "
SELECT name, partition, version, position, hash, epoch, owner, incarnation, building_to, stopped_at, stop_reason FROM checkpoint
WHERE slot = $1 AND ($2::TEXT IS NULL OR name = $2) ORDER BY name, partition";

const LOCKED: &str = "
SELECT name, partition, version, position, hash, epoch, owner, incarnation, building_to, stopped_at, stop_reason FROM checkpoint
WHERE slot = $1 AND name = $2 ORDER BY name, partition FOR UPDATE";

/// The checkpoints of one model or of all.
pub(super) async fn read(
    connection: &mut PgConnection,
    name: Option<&str>,
    slot: Slot,
) -> Result<Vec<Checkpoint>, sqlx::Error> {
    let rows = sqlx::query(CHECKPOINTS).bind(slot.name()).bind(name).fetch_all(connection).await?;
    rows.iter().map(checkpoint).collect()
}

/// The same, locked until the end of the transaction.
async fn locked(connection: &mut PgConnection, name: &str, slot: Slot) -> Result<Vec<Checkpoint>, Error> {
    let rows = sqlx::query(LOCKED).bind(slot.name()).bind(name).fetch_all(connection).await.map_err(write_error)?;
    let rows = rows.iter().map(checkpoint).collect::<Result<_, _>>();
    rows.map_err(write_error)
}

fn checkpoint(row: &PgRow) -> Result<Checkpoint, sqlx::Error> {
    let count = |at: usize| -> Result<u64, sqlx::Error> { Ok(u64::try_from(row.try_get::<i64, _>(at)?).unwrap_or(0)) };
    let small = |at: usize| -> Result<u32, sqlx::Error> { Ok(u32::try_from(count(at)?).unwrap_or(u32::MAX)) };
    let id = |at: usize| -> Result<Uuid, sqlx::Error> { Ok(row.try_get::<&str, _>(at)?.parse().unwrap_or_default()) };
    let stopped_at: Option<i64> = row.try_get(9)?;
    let reason: Option<String> = row.try_get(10)?;
    Ok(Checkpoint {
        name: row.try_get(0)?,
        partition: small(1)?,
        version: small(2)?,
        position: count(3)?,
        hash: row.try_get::<Vec<u8>, _>(4)?.try_into().unwrap_or([0; 32]),
        epoch: count(5)?,
        owner: id(6)?,
        incarnation: id(7)?,
        building_to: count(8)?,
        stopped: stopped_at
            .map(|at| Stop { position: u64::try_from(at).unwrap_or(0), reason: meant(reason.unwrap_or_default()) }),
    })
}

/// Creates a model's tables again, empty.
pub(super) async fn create(connection: &mut PgConnection, making: Making) -> Result<Vec<Checkpoint>, Error> {
    let (name, slot) = (making.spec.name, making.slot);
    if slot == Slot::Live && !schema::close_gate(connection).await? {
        return Err(Error::Write(format!("the rows of {name} are being read by a long transaction")));
    }
    let held = locked(connection, name, slot).await?;
    let epoch = held.iter().map(|held| held.epoch).max().unwrap_or(0) + 1;
    let generation = generation(connection).await?;
    schema::run(connection, schema::create(making.spec, slot, generation)).await?;
    delete(connection, name, slot).await?;
    release_all(connection, name, slot).await?;
    sqlx::query(
        "INSERT INTO checkpoint (name, slot, partition, version, position, hash, epoch, owner, incarnation, generation, building_to)
         SELECT $1, $2, p, $3, 0, $4, $5, $6, $7, $8, $9 FROM generate_series(0, $10 - 1) AS p",
    )
    .bind(name)
    .bind(slot.name())
    .bind(i64::from(making.spec.version))
    .bind([0_u8; 32].as_slice())
    .bind(sql_int(epoch))
    .bind(making.owner.to_string())
    .bind(making.incarnation.to_string())
    .bind(generation)
    .bind(sql_int(making.building_to))
    .bind(i64::from(making.partitions))
    .execute(&mut *connection)
    .await
    .map_err(write_error)?;
    read(connection, Some(name), slot).await.map_err(write_error)
}

async fn generation(connection: &mut PgConnection) -> Result<i64, Error> {
    // Two processes may create tables of two models at the same time: a sequence never returns a number twice.
    sqlx::query_scalar("SELECT nextval('generation')").fetch_one(connection).await.map_err(write_error)
}

async fn delete(connection: &mut PgConnection, name: &str, slot: Slot) -> Result<(), Error> {
    sqlx::query("DELETE FROM checkpoint WHERE name = $1 AND slot = $2")
        .bind(name)
        .bind(slot.name())
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(write_error)
}

/// Forgets which streams a model's tables hold.
async fn release_all(connection: &mut PgConnection, name: &str, slot: Slot) -> Result<(), Error> {
    sqlx::query("DELETE FROM held WHERE name = $1 AND slot = $2")
        .bind(name)
        .bind(slot.name())
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(write_error)
}

/// Takes a checkpoint over.
pub(super) async fn acquire(
    connection: &mut PgConnection,
    name: String,
    slot: Slot,
    partition: u32,
    owner: Uuid,
) -> Result<Checkpoint, Error> {
    let row = sqlx::query(
        "UPDATE checkpoint SET epoch = epoch + 1, owner = $1 WHERE name = $2 AND slot = $3 AND partition = $4
         RETURNING name, partition, version, position, hash, epoch, owner, incarnation, building_to, stopped_at, \
         stop_reason",
    )
    .bind(owner.to_string())
    .bind(&name)
    .bind(slot.name())
    .bind(i64::from(partition))
    .fetch_optional(connection)
    .await
    .map_err(write_error)?;
    let row = row.ok_or(Error::Lost(name))?;
    checkpoint(&row).map_err(write_error)
}

/// Says why a live checkpoint does not move.
pub(super) async fn stop(
    connection: &mut PgConnection,
    name: String,
    partition: u32,
    epoch: u64,
    stop: Stop,
) -> Result<(), Error> {
    let told = sqlx::query(
        "UPDATE checkpoint SET stopped_at = $1, stop_reason = $2
         WHERE name = $3 AND slot = 'live' AND partition = $4 AND epoch = $5",
    )
    .bind(sql_int(stop.position))
    .bind(kept(&stop.reason).into_owned())
    .bind(&name)
    .bind(i64::from(partition))
    .bind(sql_int(epoch))
    .execute(connection)
    .await
    .map_err(write_error)?;
    if told.rows_affected() == 1 { Ok(()) } else { Err(Error::Lost(name)) }
}

/// Replaces the live tables with the next ones, unless the live ones are ahead: a state that was read once is never
/// unread.
pub(super) async fn take_over(
    connection: &mut PgConnection,
    spec: &'static Spec,
    owner: Uuid,
    partitions: u32,
) -> Result<Takeover, Error> {
    let lost = || Error::Lost(spec.name.to_owned());
    if !schema::close_gate(connection).await? {
        return Ok(Takeover::Busy);
    }
    let built = locked(connection, spec.name, Slot::Next).await?;
    let next = built.first().ok_or_else(lost)?;
    if next.owner != owner {
        return Err(lost());
    }
    let live = locked(connection, spec.name, Slot::Live).await?;
    let ahead = live.iter().map(|live| live.position).max().unwrap_or(0);
    if ahead > next.position {
        return Ok(Takeover::Behind(ahead));
    }
    let epochs = live.iter().map(|live| live.epoch);
    let epoch = epochs.max().unwrap_or(0).max(next.epoch) + 1;
    schema::run(connection, sql::take_over(spec)).await?;
    delete(connection, spec.name, Slot::Live).await?;
    release_all(connection, spec.name, Slot::Live).await?;
    sqlx::query("UPDATE held SET slot = 'live' WHERE name = $1 AND slot = 'next'")
        .bind(spec.name)
        .execute(&mut *connection)
        .await
        .map_err(write_error)?;
    sqlx::query(
        "INSERT INTO checkpoint (name, slot, partition, version, position, hash, epoch, owner, incarnation, generation)
         SELECT name, 'live', p, version, position, hash, $1, owner, incarnation, generation
         FROM checkpoint, generate_series(0, $2 - 1) AS p WHERE name = $3 AND slot = 'next' AND partition = 0",
    )
    .bind(sql_int(epoch))
    .bind(i64::from(partitions))
    .bind(spec.name)
    .execute(&mut *connection)
    .await
    .map_err(write_error)?;
    delete(connection, spec.name, Slot::Next).await?;
    let live = read(connection, Some(spec.name), Slot::Live).await.map_err(write_error)?;
    live.into_iter().next().map(Takeover::Done).ok_or_else(lost)
}

/// Drops the tables of an unfinished rebuild.
pub(super) async fn discard(
    connection: &mut PgConnection,
    spec: &'static Spec,
    owner: Option<Uuid>,
) -> Result<(), Error> {
    let built = locked(connection, spec.name, Slot::Next).await?;
    if owner.is_some_and(|owner| built.iter().any(|next| next.owner != owner)) {
        return Ok(());
    }
    schema::run(connection, sql::drop(spec, Slot::Next)).await?;
    release_all(connection, spec.name, Slot::Next).await?;
    delete(connection, spec.name, Slot::Next).await
}
