//! The payment worker: follows the requests of payments, calls the provider, and records the outcomes. After a crash it
//! queries before it calls, and an unknown outcome stays unknown until there is evidence. It decides nothing about
//! money.

mod intent;
mod pursue;
mod session;

use std::sync::Arc;
use std::time::Duration;

use domain::stream;
use domain::time::Timestamp;
use event_store::consumer::ConsumerKey;
use event_store::leadership::{Leadership, Term, next_term};
use event_store::patience::PatientFeed;
use event_store::supervision::Pulse;
use event_store::{Error, EventStore, Feed, Filter};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::session::Session;
use crate::Stopped;
use crate::dispatch::Dispatch;
use crate::gateway::PaymentGateway;
use crate::holds::Holds;

/// The name of the workers' consumer row.
pub const NAME: &str = "payments";

/// How the worker runs. Every bound has its reason beside it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The worker's id. It must be unique among the processes that share a store.
    pub owner: String,
    /// How long it may be silent before another takes over.
    pub lease: Duration,
    /// Records that are read at once.
    pub page: usize,
    /// Concurrent requests to the provider: as many as it accepts from one client.
    pub at_once: usize,
    /// After this long without an answer, the outcome of a request counts as unknown.
    pub call_timeout: Duration,
    /// For how long a request that the provider does not know may still be on its way.
    pub grace: Duration,
    /// The first wait before the provider is asked again; doubled each time.
    pub ask_first: Duration,
    /// The longest wait before the provider is asked again.
    pub ask_cap: Duration,
    /// When an outcome that does not show up in the log is sent again.
    pub resend_after: Duration,
    /// How often the checkpoint is saved.
    pub save_every: Duration,
}

impl Options {
    /// The bounds that were measured.
    #[must_use]
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            lease: Duration::from_secs(15),
            page: 2_048,
            at_once: 256,
            call_timeout: Duration::from_secs(20),
            grace: Duration::from_secs(30),
            ask_first: Duration::from_millis(500),
            ask_cap: Duration::from_secs(300),
            resend_after: Duration::from_secs(30),
            save_every: Duration::from_secs(1),
        }
    }
}

/// Follows payments and calls the provider: the active one of any number of workers, while the others stand by.
pub struct PaymentWorker {
    feed: Box<dyn Feed>,
    setting: Setting,
}

/// What every session of a worker works with.
struct Setting {
    store: Arc<dyn EventStore>,
    gateway: Arc<dyn PaymentGateway>,
    dispatch: Arc<dyn Dispatch>,
    tracker: TaskTracker,
    options: Options,
    pulse: Pulse,
    holds: Holds,
}

/// What the worker reads of the log.
#[must_use]
pub fn filter() -> Filter {
    Filter { categories: vec![stream::PAYMENT.into(), stream::OUTCOME.into()], ..Filter::default() }
}

impl PaymentWorker {
    /// A worker that follows `feed`, which has at least what [`filter`] wants, and calls `gateway` in tasks on `tracker`.
    pub fn new(
        store: Arc<dyn EventStore>,
        feed: Box<dyn Feed>,
        gateway: Arc<dyn PaymentGateway>,
        dispatch: Arc<dyn Dispatch>,
        tracker: TaskTracker,
        options: Options,
    ) -> Self {
        let (pulse, holds) = Default::default();
        Self { feed, setting: Setting { store, gateway, dispatch, tracker, options, pulse, holds } }
    }

    /// Reports on `pulse` what it waits for.
    #[must_use]
    pub fn told_on(mut self, pulse: Pulse) -> Self {
        self.setting.pulse = pulse;
        self
    }

    /// Shows in `holds` how many payments it holds.
    #[must_use]
    pub fn shown_in(mut self, holds: Holds) -> Self {
        self.setting.holds = holds;
        self
    }

    /// Runs until it is cancelled. Waits while another worker holds the lease, and starts again if it loses it.
    /// Temporary store errors are retried without limit.
    ///
    /// # Errors
    /// If the store is closed; everything is in the log, so it may be run again.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), Stopped> {
        let key = ConsumerKey { name: NAME.into(), partition: 0 };
        let Options { owner, lease, .. } = &self.setting.options;
        let leadership = Leadership::new(self.setting.store.clone(), key, owner, *lease);
        let leadership = leadership.told_on(self.setting.pulse.clone());
        let active = leadership.active();
        leadership.during(self.work(active, &cancel)).await
    }

    async fn work(self, mut active: watch::Receiver<Option<Term>>, cancel: &CancellationToken) -> Result<(), Stopped> {
        let mut feed = PatientFeed::new(self.feed, self.setting.pulse.clone());
        while let Some(term) = next_term(&mut active, cancel).await? {
            self.setting.pulse.goes_on();
            let ours = cancel.child_token();
            let _ends = ours.clone().drop_guard();
            let ended = match Session::open(&self.setting, term.clone(), ours.clone()).await {
                Ok(mut session) => session.run(&mut feed, &ours).await,
                Err(error) => Err(error.into()),
            };
            ours.cancel();
            self.setting.holds.set(NAME, None, 0);
            match ended {
                Ok(()) => {}
                Err(Stopped::Store(Error::LeaseLost)) => {
                    tracing::warn!("the lease on payments is lost; another process continues, nothing to do");
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        () = term.ended() => {}
                    }
                }
                Err(stopped) if cancel.is_cancelled() => {
                    tracing::warn!(
                        error = %stopped,
                        "payments stopped without a last checkpoint; the next start reads more of the log, nothing to \
                         do"
                    );
                }
                Err(stopped) => return Err(stopped),
            }
        }
        Ok(())
    }
}

/// The store's clock as the domain has it.
#[must_use]
pub fn clock(store: Arc<dyn EventStore>) -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
    Arc::new(move || Timestamp::from_micros(store.now()))
}
