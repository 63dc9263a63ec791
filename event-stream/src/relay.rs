//! The relay: reads the log in order of position and publishes each record once, as one message of the event stream.
//!
//! Any number of relays may run; the one that holds the lease on the consumer row `relay` publishes, the others wait
//! for it. The lease only avoids duplicate work. The correctness of the stream rests on the expected sequence: every
//! batch names the message before it (`Nats-Expected-Last-Sequence`) and is accepted whole or not at all. If two relays
//! both believe that they are alone, one is refused, reads the end of the stream, sees an epoch newer than its own and
//! steps down.
//!
//! The stream's sequence is the position minus the generation's base. A stream with any defect (lost, shortened, from
//! another store, ahead of this one) is left unchanged, and a new *generation* begins at the store's head: consumers
//! read the records before a base from the store, as they already did while the bus had nothing to read.

mod batch;
mod drive;
mod generation;
mod voice;

use std::sync::Arc;
use std::time::{Duration, Instant};

use event_store::consumer::{ConsumerKey, Lease};
use event_store::partition::Correlate;
use event_store::record::{Micros, Position};
use event_store::{Error, EventStore};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use drive::{Drive, Stop};
pub(crate) use generation::hash_at;

/// The consumer row that relays lease.
pub const NAME: &str = "relay";

/// Called right before a batch is sent, with the relay's epoch; a test may stall here.
pub type BatchHook = Arc<dyn Fn(u64) + Send + Sync>;

/// How a relay works.
#[derive(Clone)]
pub struct Options {
    /// The relay's id, unique among all processes.
    pub owner: String,
    /// How long a silent relay is waited for before another takes its place.
    pub lease: Duration,
    /// On how many servers the stream is kept: 1 or 3.
    pub replicas: usize,
    /// How long a message is kept. Older ones are read from the store.
    pub max_age: Duration,
    /// How large a generation may become, in bytes, before its oldest messages go. The server sets as much aside, up to three times.
    pub max_bytes: u64,
    /// For tests.
    pub hook: Option<BatchHook>,
}

impl Options {
    /// The usual, for this owner.
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            lease: Duration::from_secs(10),
            replicas: 1,
            max_age: Duration::from_secs(24 * 60 * 60),
            max_bytes: 1024 * 1024 * 1024,
            hook: None,
        }
    }
}

/// What a relay is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether it holds the lease; otherwise it stands by.
    pub active: bool,
    /// Its epoch, 0 before it has ever held the lease.
    pub epoch: u64,
    /// The generation that it publishes.
    pub generation: u64,
    /// The position before the generation's first message.
    pub base: Position,
    /// The last position that the stream has.
    pub published: Position,
    /// How many records it has published itself.
    pub records: u64,
    /// How many of its batches were refused because the stream had moved on.
    pub refused: u64,
    /// How many of its batches failed otherwise, or with an unknown outcome.
    pub failed: u64,
    /// How many generations it has begun.
    pub generations_begun: u64,
}

/// A relay; [`Relay::run`] does the work. Clones share their status: one of them is run at a time.
#[derive(Clone)]
pub struct Relay {
    store: Arc<dyn EventStore>,
    connection: Connection,
    correlate: Correlate,
    options: Options,
    status: watch::Sender<Status>,
}

impl Relay {
    /// A relay of this store's log. `correlate` has to be the one that the readers' doors have.
    pub fn new(store: Arc<dyn EventStore>, connection: Connection, correlate: Correlate, options: Options) -> Self {
        Self { store, connection, correlate, options, status: watch::Sender::new(Status::default()) }
    }

    /// The current status, as it changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Publishes, or stands by, until it is cancelled. It continues while NATS or the store is unreachable.
    pub async fn run(self, cancel: CancellationToken) {
        metrics::gauge!("daybook_relay_active").set(0.0);
        while !cancel.is_cancelled() {
            let pause = match self.take().await {
                Ok(Some((row, until))) => self.hold(row, until, &cancel).await,
                Ok(None) => self.options.lease / 4,
                Err(error) => {
                    tracing::warn!(error = %error, "the relay's lease cannot be acquired now; it is retried");
                    self.options.lease / 4
                }
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Works as the active one until the lease is lost, then says how long to wait before asking again.
    async fn hold(
        &self,
        row: event_store::consumer::ConsumerRow,
        until: Instant,
        cancel: &CancellationToken,
    ) -> Duration {
        let lease = row.lease.clone();
        tracing::info!(relay.owner = %lease.owner, relay.epoch = lease.epoch, "this relay is now active");
        metrics::gauge!("daybook_relay_active").set(1.0);
        self.status.send_modify(|status| {
            status.active = true;
            status.epoch = lease.epoch;
        });
        let (kept, until) = watch::channel(until);
        let mut drive = Drive::new(self, row, until);
        let stop = tokio::select! {
            () = cancel.cancelled() => None,
            () = self.renew(&lease, kept) => Some(Stop::LeaseLost),
            stop = drive.run() => Some(stop),
        };
        if !matches!(stop, Some(Stop::LeaseLost)) {
            drive.save().await.ok();
            // If the release fails, the lease ends by itself.
            drop(self.store.release(&lease).await);
        }
        self.status.send_modify(|status| status.active = false);
        metrics::gauge!("daybook_relay_active").set(0.0);
        match stop {
            None => tracing::info!("the relay stops"),
            Some(Stop::LeaseLost) => {
                tracing::warn!(
                    relay.epoch = lease.epoch,
                    "another relay is now active; this one stands by, nothing to do"
                );
            }
            Some(Stop::GaveUp(reason)) => {
                tracing::warn!(
                    reason,
                    "this relay cannot publish and releases its lease for another relay; see docs/operations.md, 'NATS \
                     is away'"
                );
                return self.options.lease / 2;
            }
        }
        self.options.lease / 8
    }

    /// Renews the lease for as long as that works.
    async fn renew(&self, lease: &Lease, kept: watch::Sender<Instant>) {
        loop {
            tokio::time::sleep(self.options.lease / 3).await;
            match self.take().await {
                Ok(Some((row, until))) if row.lease.epoch == lease.epoch => {
                    kept.send_replace(until);
                }
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(
                        error = %error,
                        "the relay's lease cannot be renewed now; it is retried, and another relay takes over if the \
                         lease ends"
                    );
                    if Instant::now() >= *kept.borrow() {
                        return;
                    }
                }
            }
        }
    }

    /// The row, and until when the lease holds by this process's own clock: counted from before it was asked for.
    async fn take(&self) -> Result<Option<(event_store::consumer::ConsumerRow, Instant)>, Error> {
        let key = ConsumerKey { name: NAME.into(), partition: 0 };
        let asked = Instant::now();
        let lease = Micros::try_from(self.options.lease.as_micros()).unwrap_or(Micros::MAX);
        let row = self.store.acquire(&key, &self.options.owner, lease).await?;
        Ok(row.map(|row| (row, asked + self.options.lease)))
    }
}
