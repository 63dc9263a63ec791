//! A bounded pool of connections to one database. No wait for a server is unlimited, because a peer that vanished, or
//! whose packets are dropped, never reports it. A connection that did not answer in time, or whose user was dropped in
//! the middle of a statement, is discarded and never lent again; idle connections of the same age as a failed one are
//! discarded too.
//!
//! The pool of `sqlx` does not fit, because it sends one more request when a connection is returned, without a limit:
//! if the server has stopped answering, that place is lost permanently, and a few such places are the whole pool. The
//! extra request also costs one round trip for each read and checks nothing: a caller returns a connection only after
//! its whole answer.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connect::{is_lost, within};

/// How long a connection may lie idle before it is tried out ahead of its next use: shorter than any firewall forgets it.
const IDLE: Duration = Duration::from_secs(5);
/// How long a tested connection may take to answer.
const TRIAL: Duration = Duration::from_secs(1);
/// Between two tries to connect, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Makes a new connection's settings.
pub type Prepare = Arc<
    dyn for<'a> Fn(&'a mut PgConnection) -> Pin<Box<dyn Future<Output = sqlx::Result<()>> + Send + 'a>> + Send + Sync,
>;

/// Lends connections. Clones share them.
#[derive(Clone)]
pub struct Connections(Arc<Shared>);

struct Shared {
    address: PgConnectOptions,
    prepare: Prepare,
    idle: Mutex<Vec<(PgConnection, Instant)>>,
    places: Arc<Semaphore>,
    most: u32,
    patience: Duration,
}

impl Connections {
    /// At most `most` connections at once. A caller waits at most `patience` for a place and a connection that is ready.
    #[must_use]
    pub fn new(address: PgConnectOptions, most: u32, patience: Duration, prepare: Prepare) -> Self {
        let most = most.max(1);
        Self(Arc::new(Shared {
            address,
            prepare,
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(most as usize)),
            most,
            patience,
        }))
    }

    /// Borrows a connection until it is dropped or returned.
    ///
    /// # Errors
    /// `PoolTimedOut` if none is free in time, `PoolClosed` after [`Connections::close`], or the server's error.
    pub async fn lend(&self) -> sqlx::Result<Lent> {
        let lent = async {
            let place = Arc::clone(&self.0.places).acquire_owned().await.map_err(|_| Error::PoolClosed)?;
            let connection = match self.idle().await {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            Ok(Lent { connection, home: self.clone(), place })
        };
        tokio::time::timeout(self.0.patience, lent).await.unwrap_or(Err(Error::PoolTimedOut))
    }

    /// An idle connection that still answers.
    async fn idle(&self) -> Option<PgConnection> {
        loop {
            let (mut connection, since) = self.lock().pop()?;
            if since.elapsed() < IDLE {
                return Some(connection);
            }
            match within(TRIAL, connection.ping()).await {
                Ok(()) => return Some(connection),
                Err(_) => self.distrust(),
            }
        }
    }

    /// A new one. A server that is just starting is tried again until the patience of the caller has ended.
    async fn connect(&self) -> sqlx::Result<PgConnection> {
        let mut pause = PAUSES.0;
        loop {
            match PgConnection::connect_with(&self.0.address).await {
                Ok(mut connection) => {
                    (self.0.prepare)(&mut connection).await?;
                    return Ok(connection);
                }
                Err(error) if starts(&error) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A connection failed: the idle ones were opened before and are not used again.
    pub fn distrust(&self) {
        let old = std::mem::take(&mut *self.lock());
        drop(old);
    }

    /// Whether no connection is lent.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.places.is_closed()
    }

    /// Waits for borrowed connections, within the patience, and lends no more.
    pub async fn close(&self) {
        let all = tokio::time::timeout(self.0.patience, self.0.places.acquire_many(self.0.most)).await;
        self.0.places.close();
        drop(all);
        let idle = std::mem::take(&mut *self.lock());
        for (connection, _) in idle {
            // Says goodbye to the server, so that it does not log a lost client.
            drop(within(TRIAL, connection.close()).await);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(PgConnection, Instant)>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").field("most", &self.0.most).finish_non_exhaustive()
    }
}

/// Whether the server is still starting up.
fn starts(error: &Error) -> bool {
    match error {
        Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        // Starting up, or without a place for one more just now.
        Error::Database(error) => error.code().is_some_and(|code| code == "57P03" || code == "53300"),
        _ => false,
    }
}

/// A borrowed connection. Dropping it without returning it discards it, with any statement in progress.
pub struct Lent {
    connection: PgConnection,
    home: Connections,
    place: OwnedSemaphorePermit,
}

impl Lent {
    /// Returns the connection to the pool. Only for a connection whose last statement was answered completely, outside
    /// a transaction.
    pub fn give_back(self) {
        let Self { connection, home, place } = self;
        if !home.is_closed() {
            home.lock().push((connection, Instant::now()));
        }
        // The connection is returned before the permit, so that the next holder of the permit finds it.
        drop(place);
    }

    /// Gives the connection back if it can be used again after this, and throws it away if not.
    pub fn after<T>(self, done: &sqlx::Result<T>) {
        match done {
            Ok(_) => self.give_back(),
            Err(error) if is_lost(error) => self.home.distrust(),
            // A statement that was refused leaves the connection as it was.
            Err(Error::Database(_)) => self.give_back(),
            Err(_) => {}
        }
    }
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl std::fmt::Debug for Lent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lent")
    }
}
