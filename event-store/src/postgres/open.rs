//! Opening a store: the schema brought up, the server's settings asserted, the head read, then the tasks.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Instant;

use sqlx::Row;
use sqlx::postgres::PgConnection;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::clock::ServerClock;
use super::connect::{CONNECT, address, connect_to_write, prepare_reader};
use super::connections::{Connections, Prepare};
use super::options::Options;
use super::queue::Queue;
use super::rows::{self, HEAD};
use super::shared::Shared;
use super::snapshots::{self, Kept};
use super::store::Store;
use super::writer::{self, Writer};
use super::{schema, watcher};
use crate::hash;
use crate::limits::Weight;
use crate::record::Micros;
use crate::store::Head;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is not one.
    #[error("the address of the database cannot be read: {0}")]
    Address(String),
    /// The store was written by a newer version.
    #[error("the store has schema {found}, this version knows {known}")]
    Schema {
        /// What the database says.
        found: i32,
        /// What this version reads and writes.
        known: i32,
    },
    /// The server could lose what it has said to be committed, or does not take writes.
    #[error("the store would not be durable: {0}")]
    NotDurable(String),
    /// The log's partitions are not those of this version.
    #[error("the store's partitions are {0}")]
    Partitions(String),
    /// What is stored is not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The server cannot be reached, or refused.
    #[error("the database cannot be used: {0}")]
    Postgres(#[from] sqlx::Error),
}

impl Store {
    /// Opens the store in a database for writing, beside any number of others; makes its schema if it is not there and the role may.
    ///
    /// # Errors
    /// [`OpenError::NotDurable`] if the server's settings could lose what was committed; else see [`OpenError`].
    pub async fn open(options: Options) -> Result<Arc<Self>, OpenError> {
        let address = address(&options)?;
        let mut connection = connect_to_write(&address, options.patience).await?;
        schema::bring_up(&mut connection).await?;
        schema::assert_partitions(&mut connection).await?;
        let clock = ServerClock::new(options.clock.clone());
        let asked = Instant::now();
        let row = sqlx::query(HEAD).fetch_one(&mut connection).await?;
        let found = rows::head(&row)?;
        clock.learn(asked, found.now);
        check_head(&mut connection, &found.head).await?;

        let shared = Arc::new(Shared {
            queue: Queue::new(Weight { events: options.queue_events, bytes: options.queue_bytes }),
            pool: pool(&options, address.clone()),
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
            options,
        });
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
        Ok(Arc::new(Store::new(shared, writer)))
    }
}

/// Connections for reading and for consumer rows.
fn pool(options: &Options, address: sqlx::postgres::PgConnectOptions) -> Connections {
    let prepare: Prepare = Arc::new(|connection| Box::pin(prepare_reader(connection)));
    Connections::new(address, options.connections, CONNECT, prepare)
}

/// The head and the last record say the same, or the database does not hold what was written.
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
        Err(OpenError::Damaged(format!("the head's hash is not that of the record at position {}", head.position)))
    }
}
