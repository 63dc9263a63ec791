//! Rows of the log, in and out. The columns stand here once, in one order.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::index::uuid;
use crate::append::{Receipt, StreamReceipt};
use crate::hash::Hash;
use crate::record::{Micros, Position, Record, StreamId};
use crate::store::{Error, Filter, Head};

pub(super) const COLUMNS: &str = "position, recorded_at, tenant, category, stream_id, version, event_id, kind, schema_version, \
                                  command_id, hash, fingerprint, metadata, data";

/// Names that come again and again (tenants, categories, types), kept once for all records of a reader.
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

/// Whether `filter` wants the record of a row of [`COLUMNS`], told without copying anything.
pub(super) fn wanted(row: &Row<'_>, filter: &Filter) -> rusqlite::Result<bool> {
    for (column, names) in [(2, &filter.tenants), (3, &filter.categories), (7, &filter.kinds)] {
        if !names.is_empty() {
            let is = row.get_ref(column)?.as_bytes()?;
            if !names.iter().any(|name| name.as_bytes() == is) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The durable head, and the instant up to which it has been answered what was recorded.
pub(super) fn head(log: &Connection) -> rusqlite::Result<(Head, Micros)> {
    let sql = "SELECT position, hash, recorded_at, answered_to FROM head";
    log.prepare_cached(sql)?.query_row([], |row| {
        Ok((Head { position: row.get(0)?, hash: row.get(1)?, recorded_at: row.get(2)? }, row.get(3)?))
    })
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

/// The receipt of the command `id`, whose first record is at `first`.
pub(super) fn receipt(log: &Connection, id: Uuid, first: Position) -> Result<Receipt, Error> {
    let damaged = |what: &str| Error::Damaged { position: first, what: what.into() };
    let sql = "SELECT position, recorded_at, tenant, category, stream_id, version, command_id, fingerprint \
               FROM log WHERE position >= ?1 ORDER BY position";
    let mut statement = log.prepare_cached(sql).map_err(read_error)?;
    let mut rows = statement.query([first]).map_err(read_error)?;
    let mut receipt: Option<Receipt> = None;
    while let Some(row) = rows.next().map_err(read_error)? {
        let command_id = row.get_ref(6).and_then(|value| Ok(uuid(value.as_blob()?))).map_err(read_error)?;
        if command_id != id {
            break;
        }
        add_to_receipt(&mut receipt, row, id).map_err(read_error)?;
    }
    receipt.ok_or_else(|| damaged("the index has a command here that the log has not"))
}

fn add_to_receipt(receipt: &mut Option<Receipt>, row: &Row<'_>, id: Uuid) -> rusqlite::Result<()> {
    let position = row.get(0)?;
    let version = row.get(5)?;
    let names = [row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str()?, row.get_ref(4)?.as_str()?];
    let receipt = match receipt {
        Some(receipt) => receipt,
        None => receipt.insert(Receipt {
            command_id: id,
            fingerprint: row.get(7)?,
            first_position: position,
            last_position: position,
            recorded_at: row.get(1)?,
            streams: Vec::new(),
        }),
    };
    receipt.last_position = position;
    match receipt.streams.last_mut() {
        Some(last) if [&*last.stream.tenant, &*last.stream.category, &*last.stream.id] == names => {
            last.last_version = version;
        }
        _ => receipt.streams.push(StreamReceipt {
            stream: StreamId::new(names[0], names[1], names[2]),
            first_version: version,
            last_version: version,
        }),
    }
    Ok(())
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
