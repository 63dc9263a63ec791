//! One state of the file, held while it is read.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;

use super::reader::{open as open_reader, read_all, read_error};
use super::{FILE, checkpoints};
use crate::dump::{Held, Snapshot};
use crate::store::{Checkpoint, Error, Slot, Statement};
use crate::value::Row;

struct Kept(Arc<Mutex<Connection>>);

/// Takes hold of the state of the file in a folder.
pub(super) async fn open(folder: &Path) -> Result<Snapshot, Error> {
    let file = folder.join(FILE);
    let connection = blocking(move || {
        let connection = open_reader(&file)?;
        connection.execute_batch("BEGIN").map_err(read_error)?;
        // A transaction takes hold of a state with its first read, not with BEGIN.
        let first = "SELECT COUNT(*) FROM (SELECT 1 FROM checkpoint LIMIT 1)";
        connection.query_row(first, [], |row| row.get::<_, i64>(0)).map_err(read_error)?;
        Ok(connection)
    });
    Ok(Snapshot::new(Kept(Arc::new(Mutex::new(connection.await?)))))
}

#[async_trait]
impl Held for Kept {
    async fn checkpoints(&self, name: &str) -> Result<Vec<Checkpoint>, Error> {
        let (connection, name) = (Arc::clone(&self.0), name.to_owned());
        blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            checkpoints::read(&connection, Some(&name), Slot::Live)
        })
        .await
    }

    async fn knows_held(&self) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'held'";
        Ok(!self.read(Statement::new(sql, Vec::new())).await?.is_empty())
    }

    async fn read(&self, statement: Statement) -> Result<Vec<Row>, Error> {
        let connection = Arc::clone(&self.0);
        blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            read_all(&connection, &statement)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Read(error.to_string()))?
}
