//! A bounded set of reading connections. Every answer comes from one transaction, so from one state of the file; nothing is written here.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use tokio::sync::Semaphore;

use super::schema;
use crate::store::{Error, Statement};
use crate::value::{Row, Value};

/// Lends reading connections.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    /// At most `count` connections to the file.
    pub(super) fn new(path: &Path, count: usize) -> Self {
        Self { path: path.to_owned(), idle: Mutex::new(Vec::new()), permits: Semaphore::new(count.max(1)) }
    }

    /// Runs a read on one of the connections.
    pub(super) async fn run<T, F>(self: &Arc<Self>, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    {
        let _permit = self.permits.acquire().await.map_err(|_| Error::Closed)?;
        let readers = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => open(&readers.path)?,
            };
            let answer = job(&mut connection);
            // A connection that failed is not lent again.
            if answer.is_ok() {
                readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            }
            answer
        })
        .await
        .map_err(|error| Error::Read(error.to_string()))?
    }

    /// Lends no more, and closes those that are idle.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A reading connection to a file.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(read_error)?;
    connection.execute_batch(schema::READER).map_err(read_error)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Answers queries in one transaction.
pub(super) fn read(connection: &mut Connection, statements: &[Statement]) -> Result<Vec<Vec<Row>>, Error> {
    let transaction = connection.transaction().map_err(read_error)?;
    statements.iter().map(|wanted| read_all(&transaction, wanted)).collect()
}

/// Every row that a query finds.
pub(super) fn read_all(connection: &Connection, wanted: &Statement) -> Result<Vec<Row>, Error> {
    let mut statement = connection.prepare_cached(&wanted.sql).map_err(read_error)?;
    let width = statement.column_count();
    let mut rows = statement.query(params_from_iter(&wanted.values)).map_err(read_error)?;
    let mut answer = Vec::new();
    while let Some(row) = rows.next().map_err(read_error)? {
        answer.push(values(row, width)?);
    }
    Ok(answer)
}

/// The values of a row.
fn values(row: &rusqlite::Row<'_>, width: usize) -> Result<Row, Error> {
    (0..width)
        .map(|column| {
            Ok(match row.get_ref(column).map_err(read_error)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Int(number),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
                ValueRef::Real(_) => {
                    return Err(Error::Read(format!("column {column} holds a fraction")));
                }
            })
        })
        .collect::<Result<_, _>>()
        .map(Row)
}

pub(super) fn read_error(error: rusqlite::Error) -> Error {
    Error::Read(error.to_string())
}
