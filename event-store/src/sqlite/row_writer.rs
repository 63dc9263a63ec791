//! Writing rows of the log. One prepared statement for each row: several rows in one statement gain nothing measurable.

use rusqlite::{CachedStatement, Connection};

use super::rows::COLUMNS;
use crate::hash::Leaf;
use crate::store::Head;

/// Columns of a row.
const WIDTH: usize = 14;

/// Takes the rows of one group, in order.
pub(super) struct RowWriter<'a>(CachedStatement<'a>);

impl<'a> RowWriter<'a> {
    pub(super) fn new(log: &'a Connection) -> rusqlite::Result<Self> {
        let values = ["?"; WIDTH].join(", ");
        log.prepare_cached(&format!("INSERT INTO log ({COLUMNS}) VALUES ({values})")).map(Self)
    }

    /// One row more; `head` is the log's end with it.
    pub(super) fn put(&mut self, event: &Leaf<'_>, head: &Head) -> rusqlite::Result<()> {
        let statement = &mut self.0;
        statement.raw_bind_parameter(1, head.position as i64)?;
        statement.raw_bind_parameter(2, head.recorded_at)?;
        statement.raw_bind_parameter(3, &*event.stream.tenant)?;
        statement.raw_bind_parameter(4, &*event.stream.category)?;
        statement.raw_bind_parameter(5, &*event.stream.id)?;
        statement.raw_bind_parameter(6, event.version as i64)?;
        statement.raw_bind_parameter(7, &event.event_id.as_bytes()[..])?;
        statement.raw_bind_parameter(8, event.kind)?;
        statement.raw_bind_parameter(9, event.schema_version)?;
        statement.raw_bind_parameter(10, &event.command_id.as_bytes()[..])?;
        statement.raw_bind_parameter(11, &head.hash[..])?;
        statement.raw_bind_parameter(12, event.fingerprint.map(|bytes| &bytes[..]))?;
        statement.raw_bind_parameter(13, event.metadata)?;
        statement.raw_bind_parameter(14, event.data)?;
        statement.raw_execute().map(drop)
    }
}
