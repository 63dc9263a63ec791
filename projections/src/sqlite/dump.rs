//! The canonical dump of a model: every row of its tables, by key. Reads one state of the file; it never writes, so it works beside
//! a running server.

use std::path::Path;

use rusqlite::Connection;
use serde_json::json;

use super::reader::{open, read_error, values};
use super::{FILE, schema, writer};
use crate::store::{Checkpoint, Error, Slot};
use crate::value::{Row, Spec, Table, Value};

/// One state of a file, kept while it is looked at.
#[derive(Debug)]
pub struct Snapshot {
    connection: Connection,
}

/// The first row that two dumps do not share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: &'static str,
    /// What the first has there, if it has a row.
    pub left: Option<String>,
    /// What the second has there, if it has a row.
    pub right: Option<String>,
}

/// What comparing two dumps of a model gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// How many rows were compared.
    pub rows: u64,
    /// Where they part, `None` if they are the same.
    pub difference: Option<Difference>,
}

impl Snapshot {
    /// Takes hold of the state of the file in a folder as it is now.
    ///
    /// # Errors
    /// If there is no such file, or it cannot be read.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let connection = open(&folder.join(FILE))?;
        connection.execute_batch("BEGIN").map_err(read_error)?;
        // A transaction takes hold of a state with its first read, not with BEGIN.
        connection
            .query_row(
                "SELECT COUNT(*) FROM (SELECT 1 FROM checkpoint LIMIT 1)",
                [],
                |row| row.get::<_, i64>(0),
            )
            .map_err(read_error)?;
        Ok(Self { connection })
    }

    /// The checkpoint of a model's live tables.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn checkpoint(&self, name: &str) -> Result<Option<Checkpoint>, Error> {
        writer::checkpoint(&self.connection, name, Slot::Live)
    }

    /// Writes out every row of a model, one JSON array a line.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn dump(&self, spec: &'static Spec, mut line: impl FnMut(&str)) -> Result<(), Error> {
        for table in spec.tables {
            let mut statement = self
                .connection
                .prepare(&schema::dump(table))
                .map_err(read_error)?;
            let width = statement.column_count();
            let mut rows = statement.query([]).map_err(read_error)?;
            while let Some(row) = rows.next().map_err(read_error)? {
                line(&shown(table, &values(row, width)?));
            }
        }
        Ok(())
    }

    /// Compares a model's rows with those of another file, row by row, in order of key.
    ///
    /// # Errors
    /// If either cannot be read.
    pub fn compare(&self, other: &Self, spec: &'static Spec) -> Result<Comparison, Error> {
        let mut compared = 0;
        for table in spec.tables {
            let sql = schema::dump(table);
            let mut left = self.connection.prepare(&sql).map_err(read_error)?;
            let mut right = other.connection.prepare(&sql).map_err(read_error)?;
            let width = table.columns.len();
            let (mut left, mut right) = (
                left.query([]).map_err(read_error)?,
                right.query([]).map_err(read_error)?,
            );
            loop {
                let a = left
                    .next()
                    .map_err(read_error)?
                    .map(|row| values(row, width))
                    .transpose()?;
                let b = right
                    .next()
                    .map_err(read_error)?
                    .map(|row| values(row, width))
                    .transpose()?;
                if a.is_none() && b.is_none() {
                    break;
                }
                if a != b {
                    let text = |row: Option<Row>| row.map(|row| shown(table, &row));
                    let difference = Difference {
                        table: table.name,
                        left: text(a),
                        right: text(b),
                    };
                    return Ok(Comparison {
                        rows: compared,
                        difference: Some(difference),
                    });
                }
                compared += 1;
            }
        }
        Ok(Comparison {
            rows: compared,
            difference: None,
        })
    }
}

fn shown(table: &Table, row: &Row) -> String {
    let columns = row.0.iter().map(|value| match value {
        Value::Null => json!(null),
        Value::Int(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::Blob(bytes) => json!(bytes),
    });
    json!([table.name, columns.collect::<Vec<_>>()]).to_string()
}
