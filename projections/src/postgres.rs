//! Read models in a PostgreSQL schema of their own, in whatever database: many processes write and read it. It is a posting of the log
//! and nothing else, so rows need not be synced; what a crash of the server takes goes with its checkpoint, and is posted again.

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
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use crate::board::Stop;
use crate::dump::Snapshot;
use crate::store::{Checkpoint, Error, Exclusive, Making, Part, ReadStore, Slot, Statement, Takeover};
use crate::value::{Row, Spec};

/// How long an operation waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a transaction may wait for its process, in milliseconds: one that is stopped half-way would else keep its rows locked, and
/// nobody could take its partitions over.
const UNATTENDED: &str = "3000";

/// How long a process may keep the others from making tables: many times what that takes. One that is stopped in the middle of it, or
/// whose machine is gone without a word, would else keep them waiting for ever. Should it wake later, tables are made twice: a waste and
/// no more, since whoever makes them last has the checkpoints.
const MAKING: Duration = Duration::from_secs(30);

/// Read models in a PostgreSQL schema.
#[derive(Clone, Debug)]
pub struct Postgres {
    pool: PgPool,
    options: PgConnectOptions,
}

impl Postgres {
    /// Opens the schema in the database of an address, or makes it; at most so many connections are open at once.
    ///
    /// # Errors
    /// If the database cannot be reached, or the schema is of a later layout.
    pub async fn open(url: &str, connections: u32) -> Result<Arc<Self>, Error> {
        let options = options(url)?;
        let pooled = options.clone().options([("idle_in_transaction_session_timeout", UNATTENDED)]);
        // A connection that a restart of the server has cut shows at its first use, and reads are tried again then.
        let pool = PgPoolOptions::new()
            .max_connections(connections.max(1))
            .acquire_timeout(PATIENCE)
            .test_before_acquire(false)
            .connect_with(pooled)
            .await
            .map_err(write_error)?;
        let store = Self { pool, options };
        store.write(|connection| Box::pin(schema::make(connection))).await?;
        Ok(Arc::new(store))
    }

    /// Keeps other processes from making tables, until released or for so long; it is the server that counts.
    ///
    /// A lock of a connection of its own: it goes with the connection, also when the process dies. It is not one of a transaction, which
    /// would hold back the vacuum and would have to end where the process waits for its log.
    pub(crate) async fn exclusive_for(&self, most: Duration) -> Result<Exclusive, Error> {
        let options = self.options.clone().options([("idle_session_timeout", most.as_millis().to_string())]);
        self.finish(async move {
            let mut connection = PgConnection::connect_with(&options).await.map_err(write_error)?;
            schema::lock(&mut connection).await?;
            Ok(Exclusive::until(async move {
                schema::unlock(&mut connection).await?;
                // The lock is free: how the connection ends is of no concern.
                drop(connection.close().await);
                Ok(())
            }))
        })
        .await
    }

    /// Runs an operation to its end, whoever waits for it: a transaction that is left half-way would stay open on its connection.
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
            let mut transaction = pool.begin_with(begin).await.map_err(write_error)?;
            let answer = job(&mut transaction).await?;
            transaction.commit().await.map_err(write_error)?;
            Ok(answer)
        })
        .await
    }
}

impl Snapshot {
    /// Takes hold of the state of the schema in the database of an address as it is now; nothing is written, so it works beside running
    /// servers. A rebuild does not take over while it lasts.
    ///
    /// # Errors
    /// If the database cannot be reached, or has no such schema.
    pub async fn of_schema(url: &str) -> Result<Self, Error> {
        snapshot::open(&options(url)?).await
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
        self.finish(async move {
            let mut attempts = reader::Attempts::new(&pool);
            loop {
                let mut connection = pool.acquire().await.map_err(read_error)?;
                match checkpoints::read(&mut connection, name.as_deref(), slot).await {
                    Err(error) if attempts.another(&error) => connection.close_on_drop(),
                    read => return read.map_err(read_error),
                }
            }
        })
        .await
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
        self.finish(async move { reader::read(&pool, statements).await }).await
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
