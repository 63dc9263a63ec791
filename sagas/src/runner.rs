//! Runs sagas: reads the log, lets each affected saga react, appends its decisions, and sends its commands. All its
//! knowledge is in the log and in the consumer's checkpoint; after a kill at any moment it continues from there. It
//! decides nothing itself, and one saga that cannot be read or run never stops another.

mod append;
mod by_hand;
mod encode;
mod held;
mod index;
mod left;
mod load;
mod outbox;
mod payments;
mod resend;
mod route;
mod session;
mod shelf;
mod timers;

use std::sync::Arc;
use std::time::Duration;

use domain::time::Timestamp;
use event_store::consumer::ConsumerKey;
use event_store::leadership::{Leadership, Term, next_term};
use event_store::patience::PatientFeed;
use event_store::supervision::Pulse;
use event_store::{Error, EventStore, Feed};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::session::Session;
use crate::dispatch::Dispatch;
use crate::holds::Holds;
use crate::meters::Board;
use crate::{Stopped, meters};

pub use by_hand::START_CONFLICT;

/// The name of the runners' consumer rows.
pub const NAME: &str = "sagas";

/// The consumer row of a partition's runner; the one runner that does all of it has that of partition 0.
#[must_use]
pub fn consumer(partition: u32) -> ConsumerKey {
    ConsumerKey { name: NAME.into(), partition }
}

/// How the runner runs. Every bound has its reason beside it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The runner's id. It must be unique among the processes that share a store.
    pub owner: String,
    /// Which correlation partition it runs; `None`: all of them.
    pub partition: Option<u32>,
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
    /// How many timers fire before the log is read again: timers that became due while no runner ran are paced.
    pub timers_at_once: usize,
}

impl Options {
    /// The bounds that were measured, for a runner that does all of the work.
    #[must_use]
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            partition: None,
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

/// Runs sagas: all of them, or those of one correlation partition.
pub struct Runner {
    feed: Box<dyn Feed>,
    setting: Setting,
}

/// What every session of a runner works with.
struct Setting {
    store: Arc<dyn EventStore>,
    dispatch: Arc<dyn Dispatch>,
    tracker: TaskTracker,
    options: Options,
    board: Arc<Board>,
    pulse: Pulse,
    holds: Holds,
}

impl Runner {
    /// A runner that reads from `feed`, appends to `store`, and sends through `dispatch` in tasks on `tracker`. If it runs a
    /// partition, the feed is one through that partition's door.
    pub fn new(
        store: Arc<dyn EventStore>,
        feed: Box<dyn Feed>,
        dispatch: Arc<dyn Dispatch>,
        tracker: TaskTracker,
        options: Options,
    ) -> Self {
        let (board, pulse, holds) = Default::default();
        Self { feed, setting: Setting { store, dispatch, tracker, options, board, pulse, holds } }
    }

    /// Reports on `pulse` what it waits for.
    #[must_use]
    pub fn told_on(mut self, pulse: Pulse) -> Self {
        self.setting.pulse = pulse;
        self
    }

    /// Shows in `holds` how many streams it holds.
    #[must_use]
    pub fn shown_in(mut self, holds: Holds) -> Self {
        self.setting.holds = holds;
        self
    }

    /// Measures together with others.
    pub(crate) fn on(mut self, board: Arc<Board>) -> Self {
        self.setting.board = board;
        self
    }

    /// Runs until it is cancelled. Waits while another runner holds the lease, and starts again if it loses it.
    /// Temporary store errors are retried without limit.
    ///
    /// # Errors
    /// If the store is closed; everything is in the log, so it may be run again.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), Stopped> {
        let options = &self.setting.options;
        let leadership = Leadership::new(
            self.setting.store.clone(),
            consumer(options.partition.unwrap_or(0)),
            &options.owner,
            options.lease,
        );
        let leadership = leadership.told_on(self.setting.pulse.clone());
        let active = leadership.active();
        leadership.during(self.work(active, &cancel)).await
    }

    async fn work(self, mut active: watch::Receiver<Option<Term>>, cancel: &CancellationToken) -> Result<(), Stopped> {
        let partition = self.setting.options.partition;
        let mut feed = PatientFeed::new(self.feed, self.setting.pulse.clone());
        while let Some(term) = next_term(&mut active, cancel).await? {
            self.setting.pulse.goes_on();
            // When the session ends, its sending ends: unsent commands are in the log, and the next runner sends them.
            let ours = cancel.child_token();
            let _ends = ours.clone().drop_guard();
            let session = Session::open(&self.setting, term.clone(), ours.clone()).await;
            let ended = match session {
                Ok(mut session) => session.run(&mut feed, &ours).await,
                Err(error) => Err(error.into()),
            };
            ours.cancel();
            self.setting.board.forget(partition);
            self.setting.holds.set(NAME, partition, 0);
            match ended {
                Ok(()) => {}
                Err(Stopped::Store(Error::LeaseLost)) => {
                    meters::stepped_back();
                    tracing::warn!(
                        partition,
                        "the lease on a partition of sagas is lost; another process continues it, nothing to do"
                    );
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        () = term.ended() => {}
                    }
                }
                Err(stopped) if cancel.is_cancelled() => {
                    tracing::warn!(
                        partition,
                        error = %stopped,
                        "a partition of sagas stopped without a last checkpoint; its next owner reads more of the log, \
                         nothing to do"
                    );
                }
                Err(stopped) => return Err(stopped),
            }
        }
        Ok(())
    }
}

fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    let micros = later.micros().saturating_sub(earlier.micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
