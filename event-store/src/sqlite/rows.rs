//! Rows of the log, in and out. The columns stand here once, in one order.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, Row, params};
use uuid::Uuid;

use super::index::uuid;
use crate::append::Receipt;
use crate::hash::{self, Hash};
use crate::record::{Micros, Position, Record, StreamId};
use crate::store::{Error, Head};

pub(super) const COLUMNS: &str = "position, recorded_at, tenant, category, stream_id, version, event_id, kind, schema_version, \
                                  command_id, hash, fingerprint, metadata, data";

/// Frequent names (tenants, categories, types), shared by all records of a reader.
#[derive(Default)]
pub(super) struct Names(HashSet<Arc<str>>);

impl Names {
    /// Foreign logs may have any number of them.
    const MOST: usize = 4_096;

    fn get(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        let new: Arc<str> = name.into();
        self.0.insert(Arc::clone(&new));
        new
    }
}

/// A record from a row of [`COLUMNS`].
pub(super) fn record(row: &Row<'_>, names: &mut Names) -> rusqlite::Result<Record> {
    Ok(Record {
        position: row.get(0)?,
        recorded_at: row.get(1)?,
        stream: StreamId {
            tenant: names.get(row.get_ref(2)?.as_str()?),
            category: names.get(row.get_ref(3)?.as_str()?),
            id: row.get_ref(4)?.as_str()?.into(),
        },
        version: row.get(5)?,
        event_id: uuid(row.get_ref(6)?.as_blob()?),
        kind: names.get(row.get_ref(7)?.as_str()?),
        schema_version: row.get(8)?,
        command_id: uuid(row.get_ref(9)?.as_blob()?),
        hash: row.get(10)?,
        fingerprint: row.get(11)?,
        metadata: Bytes::copy_from_slice(row.get_ref(12)?.as_blob()?),
        data: Bytes::copy_from_slice(row.get_ref(13)?.as_blob()?),
    })
}

/// The command's id in a row of [`COLUMNS`].
pub(super) fn command_id(row: &Row<'_>) -> Option<Uuid> {
    Some(uuid(row.get_ref(9).ok()?.as_blob().ok()?))
}

/// The record that belongs at `position`, from a row of [`COLUMNS`], if its hash matches its bytes and the hash before.
pub(super) fn proved(row: &Row<'_>, names: &mut Names, position: Position, previous: &Hash) -> Result<Record, Error> {
    let record = record(row, names)
        .map_err(|error| Error::Damaged { position, what: format!("the row there is not a record: {error}") })?;
    hash::check(&record, position, previous)?;
    Ok(record)
}

/// Proves the records after `after`, up to `to`.
///
/// # Errors
/// [`Error::Damaged`] at the first that is not there or does not fit.
pub(super) fn prove(log: &Connection, after: Position, to: Position) -> Result<(), Error> {
    let (mut names, mut at) = (Names::default(), after);
    let mut previous =
        hash_at(log, after).map_err(|error| log_error(after, error))?.ok_or_else(|| Error::hole(after))?;
    let sql = format!("SELECT {COLUMNS} FROM log WHERE position > ?1 AND position <= ?2 ORDER BY position");
    let mut statement = log.prepare_cached(&sql).map_err(read_error)?;
    let mut rows = statement.query([after, to]).map_err(read_error)?;
    while let Some(row) = rows.next().map_err(|error| log_error(at + 1, error))? {
        at += 1;
        previous = proved(row, &mut names, at, &previous)?.hash;
    }
    if at < to { Err(Error::hole(at + 1)) } else { Ok(()) }
}

/// Whether the record at a position matches what was written after a record with the hash `previous`.
pub(super) fn follows(log: &Connection, names: &mut Names, position: Position, previous: &Hash) -> Result<bool, Error> {
    let sql = format!("SELECT {COLUMNS} FROM log WHERE position = ?1");
    let mut statement = log.prepare_cached(&sql).map_err(read_error)?;
    let mut rows = statement.query([position]).map_err(read_error)?;
    let row = rows.next().map_err(|error| log_error(position, error))?;
    Ok(row.is_some_and(|row| proved(row, names, position, previous).is_ok()))
}

/// Checks that there is a record at every position up to `to`.
///
/// # Errors
/// [`Error::Damaged`] at the first that has none.
pub(super) fn every_position(log: &Connection, to: Position) -> Result<(), Error> {
    let mut statement = log
        .prepare_cached("SELECT position FROM log WHERE position > 0 AND position <= ?1 ORDER BY position")
        .map_err(read_error)?;
    let mut rows = statement.query([to]).map_err(read_error)?;
    let mut at = 0;
    while let Some(row) = rows.next().map_err(|error| log_error(at + 1, error))? {
        at += 1;
        if row.get::<_, Position>(0).map_err(read_error)? != at {
            return Err(Error::hole(at));
        }
    }
    if at < to { Err(Error::hole(at + 1)) } else { Ok(()) }
}

/// The record at a position, if there is one and its hash matches its bytes and the record before.
pub(super) fn proved_at(log: &Connection, names: &mut Names, position: Position) -> Result<Option<Record>, Error> {
    let sql = format!("SELECT {COLUMNS}, (SELECT hash FROM log WHERE position = ?1 - 1) FROM log WHERE position = ?1");
    let mut statement = log.prepare_cached(&sql).map_err(read_error)?;
    let mut rows = statement.query([position]).map_err(read_error)?;
    let Some(row) = rows.next().map_err(|error| log_error(position, error))? else {
        return Ok(None);
    };
    let previous: Option<Hash> = row.get(14).map_err(|error| log_error(position, error))?;
    let previous = match previous {
        None if position == 1 => hash::START,
        None => return Err(Error::hole(position - 1)),
        Some(previous) => previous,
    };
    proved(row, names, position, &previous).map(Some)
}

/// The durable head, and the latest instant for which the log has answered a query about recorded events.
pub(super) fn head(log: &Connection) -> rusqlite::Result<(Head, Micros)> {
    let sql = "SELECT position, hash, recorded_at, answered_to FROM head";
    log.prepare_cached(sql)?.query_row([], |row| {
        Ok((Head { position: row.get(0)?, hash: row.get(1)?, recorded_at: row.get(2)? }, row.get(3)?))
    })
}

/// How far the store's clock is ahead; `None` where it has no test clock.
pub(super) fn ahead(log: &Connection) -> rusqlite::Result<Option<Micros>> {
    let there = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'test_clock')";
    if !log.prepare_cached(there)?.query_row([], |row| row.get::<_, bool>(0))? {
        return Ok(None);
    }
    log.prepare_cached("SELECT ahead_us FROM test_clock")?.query_row([], |row| row.get(0)).map(Some)
}

/// Advances the store's clock and returns the new offset.
pub(super) fn advance(log: &Connection, by: Micros) -> rusqlite::Result<Micros> {
    log.prepare_cached("UPDATE test_clock SET ahead_us = ahead_us + ?1 RETURNING ahead_us")?
        .query_row([by], |row| row.get(0))
}

/// Moves the head.
pub(super) fn move_head(log: &Connection, head: &Head, answered_to: Micros) -> rusqlite::Result<()> {
    log.prepare_cached("UPDATE head SET position = ?1, hash = ?2, recorded_at = ?3, answered_to = ?4")?
        .execute(params![head.position, &head.hash[..], head.recorded_at, answered_to])?;
    Ok(())
}

/// The hash of the record at a position, `None` if there is none; all zero at 0.
pub(super) fn hash_at(log: &Connection, position: Position) -> rusqlite::Result<Option<Hash>> {
    use rusqlite::OptionalExtension;
    if position == 0 {
        return Ok(Some(crate::hash::START));
    }
    log.prepare_cached("SELECT hash FROM log WHERE position = ?1")?.query_row([position], |row| row.get(0)).optional()
}

/// The receipt of the command `id`, whose first record should be at `first`; none if another record is there, or the
/// log ends before.
///
/// # Errors
/// [`Error::Damaged`] if a record of the batch is missing or does not match.
pub(super) fn receipt(
    log: &Connection,
    names: &mut Names,
    id: Uuid,
    first: Position,
) -> Result<Option<Receipt>, Error> {
    let mut receipt: Option<Receipt> = None;
    let mut position = first;
    // Read first: records that are written meanwhile come after it.
    let (end, _) = head(log).map_err(|error| log_error(first, error))?;
    while position > 0 && position <= end.position {
        let record = proved_at(log, names, position)?.ok_or_else(|| Error::hole(position))?;
        if record.command_id != id || record.fingerprint.is_some() != receipt.is_none() {
            break;
        }
        Receipt::add(&mut receipt, record);
        position += 1;
    }
    Ok(receipt)
}

/// A failure of SQLite while it reads the log at or behind a position: where the file is damaged, the log is.
pub(super) fn log_error(position: Position, error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Damaged { position, what: format!("the file cannot be read there: {error}") }
        }
        _ => read_error(error),
    }
}

/// A failure of SQLite while reading, as the contract names it.
pub(super) fn read_error(error: rusqlite::Error) -> Error {
    Error::Read(error.to_string())
}

/// The position of a command's first record after `after`, searched in the log itself.
pub(super) fn find_command(log: &Connection, id: Uuid, after: Position) -> rusqlite::Result<Option<Position>> {
    log.prepare_cached("SELECT min(position) FROM log WHERE position > ?1 AND command_id = ?2")?
        .query_row(params![after, &id.as_bytes()[..]], |row| row.get(0))
}
