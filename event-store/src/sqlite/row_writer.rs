//! Writing rows of the log. One prepared statement for each row: several rows in one statement gain nothing measurable.

use rusqlite::{CachedStatement, Connection};

use super::rows::COLUMNS;
use crate::record::Record;

/// Columns of a row.
const WIDTH: usize = 14;

/// Takes the rows of one group, in order.
pub(super) struct RowWriter<'a>(CachedStatement<'a>);

impl<'a> RowWriter<'a> {
    pub(super) fn new(log: &'a Connection) -> rusqlite::Result<Self> {
        let values = ["?"; WIDTH].join(", ");
        log.prepare_cached(&format!("INSERT INTO log ({COLUMNS}) VALUES ({values})")).map(Self)
    }

    /// One row more.
    pub(super) fn put(&mut self, record: &Record) -> rusqlite::Result<()> {
        let statement = &mut self.0;
        statement.raw_bind_parameter(1, record.position as i64)?;
        statement.raw_bind_parameter(2, record.recorded_at)?;
        statement.raw_bind_parameter(3, &*record.stream.tenant)?;
        statement.raw_bind_parameter(4, &*record.stream.category)?;
        statement.raw_bind_parameter(5, &*record.stream.id)?;
        statement.raw_bind_parameter(6, record.version as i64)?;
        statement.raw_bind_parameter(7, &record.event_id.as_bytes()[..])?;
        statement.raw_bind_parameter(8, &*record.kind)?;
        statement.raw_bind_parameter(9, record.schema_version)?;
        statement.raw_bind_parameter(10, &record.command_id.as_bytes()[..])?;
        statement.raw_bind_parameter(11, &record.hash[..])?;
        statement.raw_bind_parameter(12, record.fingerprint.as_ref().map(|bytes| &bytes[..]))?;
        statement.raw_bind_parameter(13, &record.metadata[..])?;
        statement.raw_bind_parameter(14, &record.data[..])?;
        statement.raw_execute().map(drop)
    }
}
