//! Rows of the log, in and out. The columns stand here once, in one order.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::append::Receipt;
use crate::hash::{self, Hash};
use crate::record::{Micros, Position, Record, StreamId};
use crate::store::{Error, Head};

/// The columns that [`record`] reads, in a place where the column list is spelled out at compile time.
macro_rules! columns {
    () => {
        "position, recorded_at, version, schema_version, event_id, command_id, tenant, category, stream_id, kind, hash, fingerprint, \
         metadata, data"
    };
}
pub(super) use columns;

/// Frequent names (tenants, categories, types), shared by all records of a page.
#[derive(Default)]
pub(super) struct Names(HashSet<Arc<str>>);

impl Names {
    fn get(&mut self, name: &[u8]) -> sqlx::Result<Arc<str>> {
        let name = text(name)?;
        if let Some(known) = self.0.get(name) {
            return Ok(Arc::clone(known));
        }
        let new: Arc<str> = name.into();
        self.0.insert(Arc::clone(&new));
        Ok(new)
    }
}

/// A record from a row of [`columns`].
pub(super) fn record(row: &PgRow, names: &mut Names) -> sqlx::Result<Record> {
    Ok(Record {
        position: unsigned(row, 0)?,
        recorded_at: row.try_get(1)?,
        version: unsigned(row, 2)?,
        schema_version: u32::try_from(row.try_get::<i64, _>(3)?).map_err(decode)?,
        event_id: row.try_get(4)?,
        command_id: row.try_get(5)?,
        stream: StreamId {
            tenant: names.get(row.try_get(6)?)?,
            category: names.get(row.try_get(7)?)?,
            id: text(row.try_get(8)?)?.into(),
        },
        kind: names.get(row.try_get(9)?)?,
        hash: hash(row.try_get(10)?)?,
        fingerprint: row.try_get::<Option<&[u8]>, _>(11)?.map(hash).transpose()?,
        metadata: Bytes::copy_from_slice(row.try_get(12)?),
        data: Bytes::copy_from_slice(row.try_get(13)?),
    })
}

/// The record of a row of [`columns`], followed by the hash of the record before; `before` has that hash if the record
/// before was just read. A record that does not match is never returned.
pub(super) fn proved(row: &PgRow, names: &mut Names, before: Option<(Position, Hash)>) -> sqlx::Result<Record> {
    let position = unsigned(row, 0)?;
    let record = record(row, names).map_err(|error| {
        damage(Error::Damaged { position, what: format!("the row there is not a record: {error}") })
    })?;
    let previous = match before.filter(|(at, _)| at + 1 == position) {
        Some((_, hash)) => hash,
        None if position == 1 => hash::START,
        None => {
            let previous: Option<&[u8]> = row.try_get(PREVIOUS)?;
            hash(previous.ok_or_else(|| damage(Error::hole(position - 1)))?)?
        }
    };
    hash::check(&record, position, &previous).map_err(damage)?;
    Ok(record)
}

/// Consecutive records of the log from rows, of which the first carries the hash of the record before it; checked.
pub(super) fn chain(rows: &[PgRow]) -> sqlx::Result<Vec<Record>> {
    let (mut names, mut before, mut records) = (Names::default(), None, Vec::with_capacity(rows.len()));
    for row in rows {
        if let Some((at, _)) = before
            && unsigned(row, 0)? != at + 1
        {
            return Err(damage(Error::hole(at + 1)));
        }
        let record = proved(row, &mut names, before)?;
        before = Some((record.position, record.hash));
        records.push(record);
    }
    Ok(records)
}

/// The column of the previous record's hash: after [`columns`].
const PREVIOUS: usize = 14;

/// Damage of the log, among the failures of a read.
fn damage(error: Error) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// The head's row, locked: no other writing transaction is open, and none begins until this one ends. `now` is the
/// server's clock, read under the lock. A time that was read while others still wrote could be too early: the group
/// could then be recorded at an instant about which a query has already been answered.
pub(super) const LOCK_HEAD: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
    WITH locked AS MATERIALIZED (SELECT position, hash, recorded_at, answered_to, ahead_us FROM daybook.head FOR \
    UPDATE) \
    SELECT position, hash, recorded_at, answered_to, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, \
    (SELECT incarnation FROM daybook.store), ahead_us FROM locked";

/// The head's row, with the same columns, unlocked.
pub(super) const HEAD: &str = "SELECT position, hash, recorded_at, answered_to, \
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, (SELECT incarnation FROM daybook.store), ahead_us FROM daybook.head";

/// What the head's row says.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadRow {
    pub(super) head: Head,
    pub(super) answered_to: Micros,
    /// The server's clock.
    pub(super) now: Micros,
    pub(super) incarnation: Uuid,
    /// How far a test has advanced the store's clock; none where it has no test clock.
    pub(super) ahead: Option<Micros>,
}

pub(super) fn head(row: &PgRow) -> sqlx::Result<HeadRow> {
    // By the simple protocol values come as text, which only owned types are read from.
    let bytes: Vec<u8> = row.try_get(1)?;
    Ok(HeadRow {
        head: Head { position: unsigned(row, 0)?, hash: hash(&bytes)?, recorded_at: row.try_get(2)? },
        answered_to: row.try_get(3)?,
        now: row.try_get(4)?,
        incarnation: row.try_get(5)?,
        ahead: row.try_get(6)?,
    })
}

/// The rows of a receipt: those of the batch whose first record is at `$1`, and the next row, which proves the end of
/// the batch.
pub(super) const RECEIPT: &str = concat!(
    "SELECT ",
    columns!(),
    ", CASE WHEN position = $1 THEN (SELECT p.hash FROM daybook.events p WHERE p.position = $1 - 1) END \
    FROM daybook.events WHERE position >= $1 AND position <= coalesce( \
      (SELECT position FROM daybook.events WHERE position > $1 AND fingerprint IS NOT NULL ORDER BY position LIMIT 1), \
      9223372036854775807) ORDER BY position"
);

/// The receipt of the command whose batch's rows these are.
pub(super) fn receipt(rows: &[PgRow], first: Position) -> Result<Receipt, Error> {
    let mut receipt: Option<Receipt> = None;
    let records = chain(rows).map_err(|error| read_error(&error))?;
    for record in records.into_iter().take_while(|record| record.position == first || record.fingerprint.is_none()) {
        Receipt::add(&mut receipt, record);
    }
    receipt.ok_or_else(|| Error::hole(first))
}

/// A column that is never negative.
pub(super) fn unsigned(row: &PgRow, column: usize) -> sqlx::Result<u64> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(decode)
}

/// Converts a number for a column; a number beyond the column's range can only be a bound, and stays a bound.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn hash(bytes: &[u8]) -> sqlx::Result<Hash> {
    Hash::try_from(bytes).map_err(decode)
}

pub(super) fn text(bytes: &[u8]) -> sqlx::Result<&str> {
    std::str::from_utf8(bytes).map_err(decode)
}

fn decode(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// A failure of PostgreSQL while reading, as the contract names it.
pub(super) fn read_error(error: &sqlx::Error) -> Error {
    match error {
        sqlx::Error::PoolClosed => Error::Closed,
        sqlx::Error::Decode(source) if source.is::<Error>() => {
            source.downcast_ref::<Error>().cloned().unwrap_or_else(|| Error::Read(error.to_string()))
        }
        other => Error::Read(other.to_string()),
    }
}
