//! Runs long processes: reads the log, lets each saga that is concerned react, appends what it decided, and sends what it asks for.
//! Everything that it knows is in the log and in the consumer's checkpoint; killed at any moment it goes on where it was. It never
//! decides anything itself, and one saga that cannot be read or run never stops another.

mod append;
mod index;
mod load;
mod outbox;
mod payments;
mod route;
mod session;
mod timers;

use std::sync::Arc;
use std::time::Duration;

use domain::time::Timestamp;
use event_store::consumer::ConsumerKey;
use event_store::{Error, EventStore, Feed};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::session::Session;
use crate::Stopped;
use crate::dispatch::Dispatch;

/// How the runner runs. Every bound has its reason beside it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The consumer row that it leases.
    pub consumer: ConsumerKey,
    /// Who it is; two runners with the same name are taken for one.
    pub owner: String,
    /// How long it may be silent before another takes over.
    pub lease: Duration,
    /// Records that are reacted to at once: one group commit's worth.
    pub page: usize,
    /// Sagas kept in memory, a few kilobytes each; others are read again when something concerns them.
    pub sagas: usize,
    /// Payments kept in memory.
    pub payments: usize,
    /// Commands on their way at once: enough to fill a group commit of the services.
    pub dispatching: usize,
    /// When a command that was not answered is sent again.
    pub resend_after: Duration,
    /// How often the checkpoint is saved.
    pub save_every: Duration,
    /// Records after which it is saved in any case.
    pub save_records: u64,
    /// Timers that fire before the log is looked at again: those that were due while nobody ran are paced.
    pub timers_at_once: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            consumer: ConsumerKey {
                name: "sagas".into(),
                partition: 0,
            },
            owner: "sagas".into(),
            lease: Duration::from_secs(15),
            page: 2_048,
            sagas: 50_000,
            payments: 50_000,
            dispatching: 1_024,
            resend_after: Duration::from_secs(30),
            save_every: Duration::from_secs(1),
            save_records: 20_000,
            timers_at_once: 256,
        }
    }
}

/// Runs long processes.
pub struct Runner {
    store: Arc<dyn EventStore>,
    feed: Box<dyn Feed>,
    dispatch: Arc<dyn Dispatch>,
    tracker: TaskTracker,
    options: Options,
}

impl Runner {
    /// A runner that reads from `feed`, appends to `store`, and sends through `dispatch` in tasks on `tracker`.
    pub fn new(
        store: Arc<dyn EventStore>,
        feed: Box<dyn Feed>,
        dispatch: Arc<dyn Dispatch>,
        tracker: TaskTracker,
        options: Options,
    ) -> Self {
        Self {
            store,
            feed,
            dispatch,
            tracker,
            options,
        }
    }

    /// Runs until it is told to stop. Waits while another runner holds the lease, and begins anew if it loses it.
    ///
    /// # Errors
    /// If the store does not serve any more.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), Stopped> {
        while !cancel.is_cancelled() {
            let key = &self.options.consumer;
            let lease = micros(self.options.lease);
            let held = self.store.acquire(key, &self.options.owner, lease).await?;
            let Some(row) = held else {
                let retry = self.options.lease / 3;
                tokio::select! {
                    () = cancel.cancelled() => break,
                    () = tokio::time::sleep(retry) => continue,
                }
            };
            tracing::info!(
                epoch = row.lease.epoch,
                position = row.checkpoint.position,
                "sagas run"
            );
            let ours = cancel.child_token();
            let mut session = Session::new(&self, row, ours.clone());
            let ended = session.run(self.feed.as_mut(), &ours).await;
            // What was still to be sent is in the log; whoever runs next sends it.
            ours.cancel();
            match ended {
                Ok(()) => {}
                Err(Stopped::Store(Error::LeaseLost)) => {
                    tracing::warn!("another runner holds the lease now");
                }
                Err(stopped) => return Err(stopped),
            }
        }
        Ok(())
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    let micros = later.micros().saturating_sub(earlier.micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
