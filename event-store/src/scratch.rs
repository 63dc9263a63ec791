//! Values by key that do not fit into memory: a temporary file for one piece of work. Nothing in it is synced or
//! survives the process.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::Error;

/// SQLite's page cache for the file, in KiB.
const CACHE_KIB: i64 = 16 * 1024;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Values by key on disk.
#[derive(Debug)]
pub struct Scratch {
    connection: Connection,
}

impl Scratch {
    /// Creates the file, which must not exist.
    ///
    /// # Errors
    /// If it exists, or cannot be written.
    pub fn create(file: &Path) -> Result<Self, Error> {
        if file.exists() {
            return Err(Error::NotNow(format!("{} is there already", file.display())));
        }
        let connection = Connection::open(file).map_err(failed)?;
        let settings = format!(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -{CACHE_KIB};
             CREATE TABLE kept (key BLOB PRIMARY KEY, value BLOB NOT NULL)"
        );
        connection.execute_batch(&settings).map_err(failed)?;
        Ok(Self { connection })
    }

    /// Keeps values, each in place of an earlier one under its key.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn put(&mut self, values: impl IntoIterator<Item = Pair>) -> Result<(), Error> {
        let transaction = self.connection.transaction().map_err(failed)?;
        {
            let mut insert = transaction
                .prepare_cached("INSERT OR REPLACE INTO kept (key, value) VALUES (?1, ?2)")
                .map_err(failed)?;
            for (key, value) in values {
                insert.execute(params![key, value]).map_err(failed)?;
            }
        }
        transaction.commit().map_err(failed)
    }

    /// The value under a key.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut select = self.connection.prepare_cached("SELECT value FROM kept WHERE key = ?1").map_err(failed)?;
        select.query_row(params![key], |row| row.get(0)).optional().map_err(failed)
    }

    /// The next values in order of key, `limit` at most: those after a key; after the empty one, the first.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn page(&self, after: &[u8], limit: u32) -> Result<Vec<Pair>, Error> {
        // Every key is longer than the empty one, which stands for the beginning.
        let sql = "SELECT key, value FROM kept WHERE key > ?1 ORDER BY key LIMIT ?2";
        let mut select = self.connection.prepare_cached(sql).map_err(failed)?;
        let rows = select.query_map(params![after, limit], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }
}

fn failed(error: rusqlite::Error) -> Error {
    Error::NotNow(format!("the scratch file cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use super::*;

    #[test]
    fn the_newest_value_under_each_key_is_kept_and_listed_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("scratch");
        let mut scratch = Scratch::create(&file).unwrap();
        let pair = |key: u8, value: u8| (vec![key], vec![value; 3]);
        scratch.put([pair(3, 1), pair(1, 1), pair(2, 1)]).unwrap();
        scratch.put([pair(2, 9)]).unwrap();
        assert_eq!(scratch.get(&[2]).unwrap(), Some(vec![9; 3]));
        assert_eq!(scratch.get(&[4]).unwrap(), None);
        assert_eq!(scratch.page(&[], 2).unwrap(), [pair(1, 1), pair(2, 9)]);
        assert_eq!(scratch.page(&[2], 2).unwrap(), [pair(3, 1)]);
        assert!(Scratch::create(&file).is_err(), "what another work keeps is not taken over");
    }
}
