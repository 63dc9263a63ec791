//! Read models in a PostgreSQL schema of their own, in any database: many processes write and read it. They are
//! projections of the log, so rows need not be synced; rows that a crash of the server loses are lost together with
//! their checkpoint, and are projected again.

mod checkpoints;
mod reader;
mod schema;
mod snapshot;
mod text;
mod writer;

use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use event_store::postgres::{Connections, Prepare};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

#[cfg(test)]
pub(crate) use schema::SCHEMA;

use crate::board::Stop;
use crate::dump::Snapshot;
use crate::store::{Checkpoint, Error, Exclusive, Making, Part, ReadStore, Slot, Statement, Takeover};
use crate::value::{Row, Spec};

/// How long an operation waits for a connection, and how long opening one may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a read may take, including the wait for a connection: the caller is answered within that time, even if the
/// server has vanished and its connections do not report it.
const READ: Duration = Duration::from_secs(10);

/// How long a writing transaction may take. Only the creation of tables and the take-over wait for other processes.
const WRITE: Duration = Duration::from_secs(60);

/// How long a transaction may wait for its process, in milliseconds: a process that is stopped half-way would otherwise
/// keep its rows locked, and no other could take over its partitions.
const UNATTENDED: &str = "3000";

/// How long a process may keep the others from creating tables: many times what that takes. Without the limit, a
/// process that is stopped in the middle, or whose machine has vanished, would make them wait forever. If it resumes
/// later, tables are created twice; that is only wasteful, because the last creator has the checkpoints.
const MAKING: Duration = Duration::from_secs(30);

/// Read models in a PostgreSQL schema.
#[derive(Clone, Debug)]
pub struct Postgres {
    pool: Connections,
    options: PgConnectOptions,
}

/// Session settings. A statement of a disconnected client is ended. And sorting is discouraged where an index gives the
/// order: if the planner expects few rows in a range, it would otherwise collect and sort the whole range for the first
/// page, and its estimate may be wrong. Merged pages are still sorted.
const SESSION: &str = "SET client_connection_check_interval = '1s'; SET jit = off; SET enable_sort = off";

impl Postgres {
    /// Opens the schema in the database of an address, or makes it; at most so many connections are open at once.
    ///
    /// # Errors
    /// If the database cannot be reached, or the schema is of a later layout.
    pub async fn open(url: &str, connections: u32) -> Result<Arc<Self>, Error> {
        let options = options(url)?;
        let pooled = options.clone().options([("idle_in_transaction_session_timeout", UNATTENDED)]);
        let prepare: Prepare = Arc::new(|connection| {
            Box::pin(async move { sqlx::raw_sql(SESSION).execute(connection).await.map(|_| ()) })
        });
        let store = Self { pool: Connections::new(pooled, connections, PATIENCE, prepare), options };
        store.write(|connection| Box::pin(schema::make(connection))).await?;
        Ok(Arc::new(store))
    }

    /// Keeps other processes from creating tables, until it is released or for at most `most`, measured by the server.
    ///
    /// A session lock on a separate connection: it ends with the connection, even when the process dies. A transaction
    /// lock would hold back the vacuum and would have to end when the process waits for its log.
    pub(crate) async fn exclusive_for(&self, most: Duration) -> Result<Exclusive, Error> {
        let options = self.options.clone().options([("idle_session_timeout", most.as_millis().to_string())]);
        self.finish(async move {
            let mut connection =
                answered(PATIENCE, async { PgConnection::connect_with(&options).await.map_err(write_error) }).await?;
            // Several may make their tables before.
            answered(MAKING * 4, schema::lock(&mut connection)).await?;
            Ok(Exclusive::until(async move {
                answered(PATIENCE, schema::unlock(&mut connection)).await?;
                // The lock is free: how the connection ends is of no concern.
                drop(tokio::time::timeout(PATIENCE, connection.close()).await);
                Ok(())
            }))
        })
        .await
    }

    /// Runs an operation to its end, even if the caller is dropped: an abandoned transaction would stay open on its
    /// connection.
    async fn finish<T, F>(&self, operation: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        if self.pool.is_closed() {
            return Err(Error::Closed);
        }
        tokio::spawn(operation).await.map_err(|error| Error::Read(error.to_string()))?
    }

    /// Runs a read, which ends when its caller is dropped or when it takes too long. It runs in a separate task: a
    /// caller with several reads may leave some of its futures unpolled, and those must not keep a connection.
    async fn read_on<T, F>(&self, operation: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        if self.pool.is_closed() {
            return Err(Error::Closed);
        }
        let read = AbortOnDropHandle::new(tokio::spawn(operation));
        match tokio::time::timeout(READ, read).await {
            Ok(read) => read.map_err(|error| Error::Read(error.to_string()))?,
            Err(_) => {
                // There was no answer: the idle connections are as old as this one.
                self.pool.distrust();
                Err(Error::Read("the database did not answer in time".into()))
            }
        }
    }

    /// Runs a job as one transaction that is on disk when it has ended.
    async fn write<T, F>(&self, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut PgConnection) -> Doing<'a, T> + Send + 'static,
    {
        self.write_after("BEGIN", job).await
    }

    /// Runs a job as one transaction that is begun in a certain way.
    async fn write_after<T, F>(&self, begin: &'static str, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut PgConnection) -> Doing<'a, T> + Send + 'static,
    {
        let pool = self.pool.clone();
        self.finish(async move {
            let mut lent = pool.lend().await.map_err(write_error)?;
            let answer = answered(WRITE, async {
                sqlx::raw_sql(begin).execute(&mut *lent).await.map_err(write_error)?;
                let answer = job(&mut lent).await?;
                sqlx::raw_sql("COMMIT").execute(&mut *lent).await.map_err(write_error)?;
                Ok(answer)
            });
            let answer = answer.await;
            if answer.is_ok() || rolled_back(&mut lent).await {
                lent.give_back();
            } else {
                pool.distrust();
            }
            answer
        })
        .await
    }
}

impl Snapshot {
    /// A snapshot of the schema in the database at an address; nothing is written, so it works beside running servers
    /// and on a standby. A rebuild does not take over while it exists. `None` if the database has no read models.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn of_schema(url: &str) -> Result<Option<Self>, Error> {
        snapshot::find(&options(url)?).await
    }
}

fn options(url: &str) -> Result<PgConnectOptions, Error> {
    let options = PgConnectOptions::from_str(url).map_err(write_error)?;
    Ok(options.application_name("daybook read models").options([("search_path", schema::SCHEMA)]))
}

/// What a job does in its transaction.
type Doing<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

#[async_trait]
impl ReadStore for Postgres {
    async fn checkpoints(&self, name: Option<&str>, slot: Slot) -> Result<Vec<Checkpoint>, Error> {
        let (pool, name) = (self.pool.clone(), name.map(str::to_owned));
        self.read_on(async move { reader::checkpoints(&pool, name.as_deref(), slot).await }).await
    }

    async fn create(&self, making: Making) -> Result<Vec<Checkpoint>, Error> {
        self.write(move |connection| Box::pin(checkpoints::create(connection, making))).await
    }

    async fn acquire(&self, name: &str, slot: Slot, partition: u32, owner: Uuid) -> Result<Checkpoint, Error> {
        let name = name.to_owned();
        self.write(move |connection| Box::pin(checkpoints::acquire(connection, name, slot, partition, owner))).await
    }

    async fn commit(&self, slot: Slot, parts: Vec<Part>) -> Result<(), Error> {
        self.write_after(writer::BEGIN, move |connection| Box::pin(writer::commit(connection, slot, parts))).await
    }

    async fn stop(&self, name: &str, partition: u32, epoch: u64, stop: &Stop) -> Result<(), Error> {
        let (name, stop) = (name.to_owned(), stop.clone());
        self.write(move |connection| Box::pin(checkpoints::stop(connection, name, partition, epoch, stop))).await
    }

    async fn take_over(&self, spec: &'static Spec, owner: Uuid, partitions: u32) -> Result<Takeover, Error> {
        self.write(move |connection| Box::pin(checkpoints::take_over(connection, spec, owner, partitions))).await
    }

    async fn discard(&self, spec: &'static Spec, owner: Option<Uuid>) -> Result<(), Error> {
        self.write(move |connection| Box::pin(checkpoints::discard(connection, spec, owner))).await
    }

    async fn exclusive(&self) -> Result<Exclusive, Error> {
        self.exclusive_for(MAKING).await
    }

    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, Error> {
        let pool = self.pool.clone();
        self.read_on(async move { reader::read(&pool, &statements).await }).await
    }

    async fn snapshot(&self) -> Result<Snapshot, Error> {
        let options = self.options.clone();
        self.finish(async move { snapshot::open(&options).await }).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.pool.close().await;
        Ok(())
    }
}

/// Rolls a transaction back; if the server does not confirm it at once, the end of the connection does it.
async fn rolled_back(connection: &mut PgConnection) -> bool {
    let rolled = sqlx::raw_sql("ROLLBACK").execute(connection);
    matches!(tokio::time::timeout(Duration::from_secs(1), rolled).await, Ok(Ok(_)))
}

/// Waits for something that the server must answer, within a limit.
async fn answered<T>(limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = || Err(Error::Write("the database did not answer in time".into()));
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| late())
}

fn write_error(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::PoolClosed => Error::Closed,
        error => Error::Write(error.to_string()),
    }
}

fn read_error(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::PoolClosed => Error::Closed,
        error => Error::Read(error.to_string()),
    }
}
