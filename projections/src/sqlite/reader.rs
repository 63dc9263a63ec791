//! A bounded set of reading connections. Every answer comes from one transaction, and so from one state of the file;
//! nothing is written here.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, InterruptHandle, OpenFlags};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::schema;
use crate::store::{Error, Statement};
use crate::value::{Row, Value};

/// How long a query may run, including the wait for a connection. The offered lists take milliseconds; this limit is
/// for unforeseen queries, so that none blocks a connection for the others.
const LONGEST: Duration = Duration::from_secs(20);

/// Lends reading connections.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    longest: Duration,
}

/// The query of a waiting caller, so that it can be stopped.
#[derive(Default)]
struct Running {
    /// While a connection is lent to it.
    handle: Option<InterruptHandle>,
    /// The caller has stopped waiting.
    left: bool,
}

/// Stops a query when it is dropped: its caller has gone, or has waited long enough.
struct Waits(Arc<Mutex<Running>>);

impl Drop for Waits {
    fn drop(&mut self) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.left = true;
        if let Some(handle) = &running.handle {
            handle.interrupt();
        }
    }
}

impl Readers {
    /// At most `count` connections to the file.
    pub(super) fn new(path: &Path, count: usize) -> Self {
        let permits = Arc::new(Semaphore::new(count.max(1)));
        Self { path: path.to_owned(), idle: Mutex::new(Vec::new()), permits, longest: LONGEST }
    }

    /// The same, for queries that may take so long.
    #[cfg(test)]
    pub(super) fn within(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// Runs a read on one of the connections. It is stopped when it takes too long, and when its caller stops waiting.
    pub(super) async fn run<T, F>(self: &Arc<Self>, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    {
        let waits = Waits(Arc::default());
        let (readers, running) = (Arc::clone(self), Arc::clone(&waits.0));
        // A separate task waits for the permit: a caller with several reads may leave some of its futures unpolled.
        let read = AbortOnDropHandle::new(tokio::spawn(async move {
            let permit = Arc::clone(&readers.permits).acquire_owned().await.map_err(|_| Error::Closed)?;
            let work = tokio::task::spawn_blocking(move || {
                // Held until the connection is back, even if the caller has stopped waiting.
                let _permit = permit;
                readers.lend(&running, job)
            });
            work.await.map_err(|error| Error::Read(error.to_string()))?
        }));
        match tokio::time::timeout(self.longest, read).await {
            Ok(read) => read.map_err(|error| Error::Read(error.to_string()))?,
            Err(_) => Err(Error::Read(format!("the query took longer than {:?} and was stopped", self.longest))),
        }
    }

    fn lend<T>(
        &self,
        running: &Mutex<Running>,
        job: impl FnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => open(&self.path)?,
        };
        let held = || running.lock().unwrap_or_else(PoisonError::into_inner);
        held().handle = Some(connection.get_interrupt_handle());
        let answer =
            if held().left { Err(Error::Read("the caller has stopped waiting".into())) } else { job(&mut connection) };
        // From here on the handle must not stop the next query on the connection.
        held().handle = None;
        // A connection that failed is not lent again.
        if answer.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        answer
    }

    /// Lends no more connections, and closes the idle ones.
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
    // By name, since a query may use its values in any order, and twice.
    for (at, value) in wanted.values.iter().enumerate() {
        if let Some(index) = statement.parameter_index(&format!("${}", at + 1)).map_err(read_error)? {
            statement.raw_bind_parameter(index, value).map_err(read_error)?;
        }
    }
    let mut rows = statement.raw_query();
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
    super::damage(&error).unwrap_or_else(|| Error::Read(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Instant;

    use super::*;

    /// Counts until it is stopped.
    const ENDLESS: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n";

    fn readers(folder: &tempfile::TempDir, longest: Duration) -> Arc<Readers> {
        let path = folder.path().join("rows");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        Arc::new(Readers::new(&path, 1).within(longest))
    }

    async fn ask(readers: &Arc<Readers>, sql: &str) -> Result<Vec<Vec<Row>>, Error> {
        let statement = Statement::new(sql, vec![]);
        readers.run(move |connection| read(connection, &[statement])).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_query_that_takes_too_long_is_stopped_and_the_next_one_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let readers = readers(&folder, Duration::from_millis(300));
        for _ in 0..3 {
            let began = Instant::now();
            assert!(matches!(ask(&readers, ENDLESS).await, Err(Error::Read(_))));
            assert!(began.elapsed() < Duration::from_secs(10));
        }
        let readers = Arc::new(Readers::new(&readers.path, 1));
        assert!(ask(&readers, "SELECT COUNT(*) FROM t").await.is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_query_whose_caller_has_gone_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let readers = readers(&folder, Duration::from_secs(600));
        for _ in 0..3 {
            let gone = tokio::time::timeout(Duration::from_millis(100), ask(&readers, ENDLESS)).await;
            assert!(gone.is_err(), "it never ends by itself");
        }
        // The one connection is free again, although the callers of those queries did not wait for their end.
        let next = tokio::time::timeout(Duration::from_secs(20), ask(&readers, "SELECT COUNT(*) FROM t")).await;
        assert!(next.unwrap().is_ok());
    }

    #[tokio::test]
    async fn values_are_bound_by_their_number_and_may_be_used_twice() {
        let folder = tempfile::tempdir().unwrap();
        let readers = readers(&folder, Duration::from_secs(60));
        let statement = Statement::new("SELECT $2, $1, $2", vec![Value::Int(1), Value::Int(2)]);
        let rows = readers.run(move |connection| read(connection, &[statement])).await.unwrap();
        assert_eq!(rows[0][0], Row(vec![Value::Int(2), Value::Int(1), Value::Int(2)]));
    }
}
