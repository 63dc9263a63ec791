//! The checkpoints of the file's models, and what changes with them: making tables, changing hands, taking over.

use rusqlite::{Connection, Transaction, params};
use uuid::Uuid;

use super::reader::read_error;
use super::writer::sql_int;
use super::{schema, write_error};
use crate::board::Stop;
use crate::sql;
use crate::store::{Checkpoint, Error, Making, Slot, Takeover};
use crate::value::Spec;

const CHECKPOINTS: &str = "
SELECT name, partition, version, position, hash, epoch, owner, incarnation, building_to, stopped_at, stop_reason FROM checkpoint
WHERE slot = $1 AND ($2 IS NULL OR name = $2) ORDER BY name, partition";

/// The checkpoints of one model or of all.
pub(super) fn read(connection: &Connection, name: Option<&str>, slot: Slot) -> Result<Vec<Checkpoint>, Error> {
    let mut statement = connection.prepare_cached(CHECKPOINTS).map_err(read_error)?;
    let rows = statement
        .query_map(params![slot.name(), name], |row| {
            let stopped_at: Option<i64> = row.get(9)?;
            let reason: Option<String> = row.get(10)?;
            Ok(Checkpoint {
                name: row.get(0)?,
                partition: row.get(1)?,
                version: row.get(2)?,
                position: count(row.get(3)?),
                hash: row.get(4)?,
                epoch: count(row.get(5)?),
                owner: row.get::<_, String>(6)?.parse().unwrap_or_default(),
                incarnation: row.get::<_, String>(7)?.parse().unwrap_or_default(),
                building_to: count(row.get(8)?),
                stopped: stopped_at.map(|at| Stop { position: count(at), reason: reason.unwrap_or_default() }),
            })
        })
        .map_err(read_error)?;
    rows.collect::<Result<_, _>>().map_err(read_error)
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Creates a model's tables again, empty.
pub(super) fn create(transaction: &Transaction<'_>, making: &Making) -> Result<Vec<Checkpoint>, Error> {
    let (name, slot) = (making.spec.name, making.slot);
    let held = read(transaction, Some(name), slot)?;
    let epoch = held.iter().map(|held| held.epoch).max().unwrap_or(0) + 1;
    let make = || {
        let generation: i64 =
            transaction.query_row("SELECT COALESCE(MAX(generation), 0) + 1 FROM checkpoint", [], |row| row.get(0))?;
        transaction.execute_batch(&schema::create(making.spec, slot, generation))?;
        transaction.execute("DELETE FROM checkpoint WHERE name = $1 AND slot = $2", params![name, slot.name()])?;
        transaction.execute("DELETE FROM held WHERE name = $1 AND slot = $2", params![name, slot.name()])?;
        for partition in 0..making.partitions {
            transaction.execute(
                "INSERT INTO checkpoint (name, slot, partition, version, position, hash, epoch, owner, incarnation, generation,
                     building_to)
                 VALUES ($1, $2, $3, $4, 0, $5, $6, $7, $8, $9, $10)",
                params![
                    name,
                    slot.name(),
                    partition,
                    making.spec.version,
                    [0_u8; 32],
                    sql_int(epoch),
                    making.owner.to_string(),
                    making.incarnation.to_string(),
                    generation,
                    sql_int(making.building_to)
                ],
            )?;
        }
        Ok(())
    };
    make().map_err(write_error)?;
    read(transaction, Some(name), slot)
}

/// Takes a checkpoint over.
pub(super) fn acquire(
    transaction: &Transaction<'_>,
    name: &str,
    slot: Slot,
    partition: u32,
    owner: Uuid,
) -> Result<Checkpoint, Error> {
    transaction
        .execute(
            "UPDATE checkpoint SET epoch = epoch + 1, owner = $1 WHERE name = $2 AND slot = $3 AND partition = $4",
            params![owner.to_string(), name, slot.name(), partition],
        )
        .map_err(write_error)?;
    let held = read(transaction, Some(name), slot)?;
    held.into_iter().find(|held| held.partition == partition).ok_or_else(|| Error::Lost(name.to_owned()))
}

/// Says why a live checkpoint does not move.
pub(super) fn stop(
    transaction: &Transaction<'_>,
    name: &str,
    partition: u32,
    epoch: u64,
    stop: &Stop,
) -> Result<(), Error> {
    let told = transaction
        .execute(
            "UPDATE checkpoint SET stopped_at = $1, stop_reason = $2
             WHERE name = $3 AND slot = 'live' AND partition = $4 AND epoch = $5",
            params![sql_int(stop.position), stop.reason, name, partition, sql_int(epoch)],
        )
        .map_err(write_error)?;
    if told == 1 { Ok(()) } else { Err(Error::Lost(name.to_owned())) }
}

/// Replaces the live tables with the next ones, unless the live ones are ahead: a state that was read once is never
/// unread.
pub(super) fn take_over(
    transaction: &Transaction<'_>,
    spec: &'static Spec,
    owner: Uuid,
    partitions: u32,
) -> Result<Takeover, Error> {
    let lost = || Error::Lost(spec.name.to_owned());
    let built = read(transaction, Some(spec.name), Slot::Next)?;
    let next = built.first().ok_or_else(lost)?;
    if next.owner != owner {
        return Err(lost());
    }
    let live = read(transaction, Some(spec.name), Slot::Live)?;
    let ahead = live.iter().map(|live| live.position).max().unwrap_or(0);
    if ahead > next.position {
        return Ok(Takeover::Behind(ahead));
    }
    let epochs = live.iter().map(|live| live.epoch);
    let epoch = epochs.max().unwrap_or(0).max(next.epoch) + 1;
    let swap = || {
        transaction.execute_batch(&sql::take_over(spec))?;
        transaction.execute("DELETE FROM checkpoint WHERE name = $1 AND slot = 'live'", params![spec.name])?;
        transaction.execute("DELETE FROM held WHERE name = $1 AND slot = 'live'", params![spec.name])?;
        transaction.execute("UPDATE held SET slot = 'live' WHERE name = $1 AND slot = 'next'", params![spec.name])?;
        for partition in 0..partitions {
            transaction.execute(
                "INSERT INTO checkpoint (name, slot, partition, version, position, hash, epoch, owner, incarnation, generation)
                 SELECT name, 'live', $1, version, position, hash, $2, owner, incarnation, generation FROM checkpoint
                 WHERE name = $3 AND slot = 'next' AND partition = 0",
                params![partition, sql_int(epoch), spec.name],
            )?;
        }
        transaction.execute("DELETE FROM checkpoint WHERE name = $1 AND slot = 'next'", params![spec.name])
    };
    swap().map_err(write_error)?;
    let live = read(transaction, Some(spec.name), Slot::Live)?;
    live.into_iter().next().map(Takeover::Done).ok_or_else(lost)
}

/// Drops the tables of an unfinished rebuild.
pub(super) fn discard(transaction: &Transaction<'_>, spec: &'static Spec, owner: Option<Uuid>) -> Result<(), Error> {
    let built = read(transaction, Some(spec.name), Slot::Next)?;
    if owner.is_some_and(|owner| built.iter().any(|next| next.owner != owner)) {
        return Ok(());
    }
    transaction.execute_batch(&sql::drop(spec, Slot::Next)).map_err(write_error)?;
    transaction
        .execute("DELETE FROM checkpoint WHERE name = $1 AND slot = 'next'", params![spec.name])
        .map_err(write_error)?;
    transaction
        .execute("DELETE FROM held WHERE name = $1 AND slot = 'next'", params![spec.name])
        .map_err(write_error)?;
    Ok(())
}
