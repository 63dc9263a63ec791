//! Opening a store: the schema brought up, the server's settings asserted, the head read, then the tasks.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Instant;

use sqlx::Row;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::{Mutex, Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::clock::ServerClock;
use super::connect::{CONNECT, address, connect_to_write, prepare_reader};
use super::connections::{Connections, Prepare};
use super::options::Options;
use super::queue::Queue;
use super::rows::{self, HEAD, HeadRow};
use super::shared::Shared;
use super::snapshots::{self, Kept};
use super::store::Store;
use super::writer::{self, Writer};
use super::{schema, watcher};
use crate::clock::Mismatch;
use crate::hash;
use crate::limits::Weight;
use crate::recent::Recent;
use crate::record::Micros;
use crate::store::Head;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is not one.
    #[error("the address of the database cannot be read: {0}")]
    Address(String),
    /// There is no store in the database.
    #[error("there is no store in the database")]
    Absent,
    /// The store was written by another version.
    #[error("the store has schema {found}, this version knows {known}")]
    Schema {
        /// What the database says.
        found: i32,
        /// What this version reads and writes.
        known: i32,
    },
    /// The server could lose commits, or does not accept writes.
    #[error("the store would not be durable: {0}")]
    NotDurable(String),
    /// The log's partitions are not those of this version.
    #[error("the store's partitions are {0}")]
    Partitions(String),
    /// Its clock is of another kind.
    #[error(transparent)]
    Clock(#[from] Mismatch),
    /// The stored data differs from what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The server cannot be reached, or refused.
    #[error("the database cannot be used: {0}")]
    Postgres(#[from] sqlx::Error),
}

impl Store {
    /// Opens the store in a database for writing, beside any number of other processes; creates its schema if it is
    /// missing and the role has the right.
    ///
    /// # Errors
    /// [`OpenError::NotDurable`] if the server's settings could lose commits; otherwise see [`OpenError`].
    pub async fn open(options: Options) -> Result<Arc<Self>, OpenError> {
        let address = address(&options)?;
        let mut connection = connect_to_write(&address, options.patience).await?;
        schema::bring_up(&mut connection, options.test_clock).await?;
        schema::assert_partitions(&mut connection).await?;
        let clock = ServerClock::new(options.clock.clone());
        let asked = Instant::now();
        let row = sqlx::query(HEAD).fetch_one(&mut connection).await?;
        let found = rows::head(&row)?;
        clock.learn(asked, &found);
        Mismatch::check(found.ahead.is_some(), options.test_clock)?;
        check_head(&mut connection, &found.head).await?;

        let prepare: Prepare = Arc::new(|connection| Box::pin(prepare_reader(connection)));
        let shared = Arc::new(shared(options, address, prepare, clock, &found, false));
        let polling = super::connect::connect(&shared.address).await?;
        shared.watch(watcher::poll(Arc::clone(&shared), polling));
        shared.watch(watcher::listen(Arc::clone(&shared)));
        shared.watch(watcher::notify(Arc::clone(&shared)));
        shared.tasks.spawn(snapshots::write_on(Arc::clone(&shared)));
        let writer = Writer {
            judge: writer::judge(&shared, found.head),
            connection: Some(connection),
            shared: Arc::clone(&shared),
        };
        let writer = tokio::spawn(writer.run());
        tracing::info!(
            store.incarnation = %shared.incarnation,
            store.head = found.head.position,
            "the event store is open"
        );
        Ok(Arc::new(Store::new(shared, Some(writer))))
    }

    /// Opens the store in a database for reading, on a standby as well: nothing is written there, and no connection could.
    ///
    /// # Errors
    /// [`OpenError::Absent`] if there is no store; [`OpenError::Schema`] if it is of another version.
    pub async fn open_read_only(options: Options) -> Result<Arc<Self>, OpenError> {
        let address = address(&options)?.options([("default_transaction_read_only", "on")]);
        let mut connection = super::connect::connect(&address).await?;
        schema::assert_known(&mut connection).await?;
        schema::assert_partitions(&mut connection).await?;
        let clock = ServerClock::new(options.clock.clone());
        let asked = Instant::now();
        let found = rows::head(&sqlx::query(HEAD).fetch_one(&mut connection).await?)?;
        clock.learn(asked, &found);
        check_head(&mut connection, &found.head).await?;
        let prepare: Prepare = Arc::new(|connection| Box::pin(super::connect::prepare(connection)));
        let shared = Arc::new(shared(options, address, prepare, clock, &found, true));
        shared.queue.close();
        shared.watch(watcher::poll(Arc::clone(&shared), connection));
        Ok(Arc::new(Store::new(shared, None)))
    }
}

fn shared(
    options: Options,
    address: PgConnectOptions,
    prepare: Prepare,
    clock: ServerClock,
    found: &HeadRow,
    reads_only: bool,
) -> Shared {
    Shared {
        queue: Queue::new(Weight { events: options.queue_events, bytes: options.queue_bytes }),
        pool: Connections::new(address.clone(), options.connections, CONNECT, prepare),
        recent: Recent::new(options.recent_bytes),
        fetching: Mutex::default(),
        address,
        head: watch::Sender::new(found.head),
        failed: watch::Sender::new(None),
        trouble: watch::Sender::new(None),
        away: watch::Sender::new(None),
        snapshots: Kept::default(),
        clock,
        incarnation: found.incarnation,
        handle: Uuid::now_v7(),
        answered_to: AtomicI64::new(Micros::MIN),
        woken: Notify::new(),
        moved: Notify::new(),
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
        reads_only,
        options,
    }
}

/// The head and the last record must agree; otherwise the database does not hold what was written.
async fn check_head(connection: &mut PgConnection, head: &Head) -> Result<(), OpenError> {
    // The head first, and then the records up to it: others may be writing.
    let row = sqlx::query("SELECT hash FROM daybook.events WHERE position = $1")
        .bind(rows::signed(head.position))
        .fetch_optional(connection)
        .await?;
    let last = match (row, head.position) {
        (Some(row), _) => rows::hash(row.try_get(0)?)?,
        (None, 0) => hash::START,
        (None, position) => {
            return Err(OpenError::Damaged(format!("the head is at position {position}, where there is no record")));
        }
    };
    if last == head.hash {
        Ok(())
    } else {
        Err(OpenError::Damaged(format!("the head's hash differs from the record's at position {}", head.position)))
    }
}
