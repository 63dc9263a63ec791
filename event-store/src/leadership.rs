//! Leader election among several processes: one holds the lease of a consumer row, the others stand by. A process may
//! be paused at any moment for any time, so the leader must know by itself when its lease ends: before each act it asks
//! its [`Term`], which says no before the lease can have ended in the store. An act that began in time but arrives late
//! is harmless, because appends have expected versions and commands have ids.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::consumer::{ConsumerKey, Lease};
use crate::record::Micros;
use crate::store::{Error, EventStore};
use crate::supervision::Pulse;

/// How long a standby waits at most before it checks the lease again, so that a released lease is soon taken.
const LOOK: Duration = Duration::from_secs(1);

/// A candidate in a leader election: one of several processes, of which one is active.
pub struct Leadership {
    store: Arc<dyn EventStore>,
    key: ConsumerKey,
    owner: String,
    lease: Duration,
    active: watch::Sender<Option<Term>>,
    pulse: Pulse,
}

/// One holding of a lease, from when it was taken to when it ended. The same for all its clones.
#[derive(Clone)]
pub struct Term(Arc<Held>);

struct Held {
    store: Arc<dyn EventStore>,
    lease: Lease,
    began: Instant,
    /// Until when it may be relied on: by this machine's steady clock, in microseconds after `began` …
    steady_until: AtomicU64,
    /// … and by the store's clock for leases, which continues while a machine sleeps.
    store_until: AtomicI64,
    over: CancellationToken,
}

/// Waits until this process is the leader; `None` once `cancel` is triggered.
///
/// # Errors
/// If the election task has ended.
pub async fn next_term(
    active: &mut watch::Receiver<Option<Term>>,
    cancel: &CancellationToken,
) -> Result<Option<Term>, Error> {
    while !cancel.is_cancelled() {
        let term = active.borrow_and_update().clone();
        if let Some(term) = term.filter(Term::holds) {
            return Ok(Some(term));
        }
        tokio::select! {
            () = cancel.cancelled() => {}
            changed = active.changed() => changed.map_err(|_| Error::Closed)?,
        }
    }
    Ok(None)
}

impl Leadership {
    /// A place for `owner`, which has to be unique among the processes, at the row of `key`. A process that is silent for `lease`
    /// is taken for gone. Nothing happens before [`Leadership::run`].
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, key: ConsumerKey, owner: &str, lease: Duration) -> Self {
        Self { store, key, owner: owner.to_owned(), lease, active: watch::Sender::new(None), pulse: Pulse::default() }
    }

    /// Reports on `pulse` while the lease cannot be acquired because the store does not answer.
    #[must_use]
    pub fn told_on(mut self, pulse: Pulse) -> Self {
        self.pulse = pulse;
        self
    }

    /// The term of this process while it is the active one.
    #[must_use]
    pub fn active(&self) -> watch::Receiver<Option<Term>> {
        self.active.subscribe()
    }

    /// Takes the lease whenever it is free and renews it in time, until it is cancelled; then releases it. Work under
    /// the lease must have stopped by then, because the next leader begins at once. Temporary store errors are retried.
    ///
    /// # Errors
    /// If the store has stopped serving.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), Error> {
        let mut term: Option<Term> = None;
        let mut waits = false;
        let ended = loop {
            let asked = Instant::now();
            let turn = tokio::select! {
                biased;
                () = cancel.cancelled() => break Ok(()),
                turn = self.turn(term.as_ref()) => turn,
            };
            if waits && !matches!(turn, Ok(Turn::Unasked(_)) | Err(_)) {
                waits = false;
                self.pulse.goes_on();
            }
            let renewed = match turn {
                Ok(Turn::Unasked(why)) => {
                    waits = true;
                    self.pulse.waits(&format!("the lease cannot be acquired: {why}"));
                    self.change(&mut term, None);
                    true
                }
                Ok(Turn::Kept { renewed }) => renewed,
                Ok(Turn::Began(new)) => {
                    tracing::info!(
                        name = %self.key.name,
                        partition = self.key.partition,
                        epoch = new.epoch(),
                        "this process is now the leader"
                    );
                    self.change(&mut term, Some(new));
                    true
                }
                Ok(Turn::Not) => {
                    self.change(&mut term, None);
                    true
                }
                Err(error) => {
                    self.change(&mut term, None);
                    break Err(error);
                }
            };
            let pause = match &term {
                Some(_) if renewed => self.lease / 3,
                Some(_) => self.lease / 12,
                None => (self.lease / 3).min(LOOK),
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep_until((asked + pause).into()) => {}
            }
        };
        let last = term.clone();
        self.change(&mut term, None);
        if let Some(last) = last {
            // If the release fails, the lease ends by itself.
            drop(timeout(self.lease / 3, self.store.release(last.lease())).await);
        }
        ended
    }

    /// Runs the election together with work that takes its terms from [`next_term`], in one task: when the work ends,
    /// the renewal ends too.
    ///
    /// # Errors
    /// The errors of the work, and an error if the store has stopped serving.
    pub async fn during<E: From<Error>>(self, work: impl Future<Output = Result<(), E>>) -> Result<(), E> {
        let resign = CancellationToken::new();
        let leading = self.run(resign.clone());
        tokio::pin!(leading);
        let worked = tokio::select! {
            biased;
            ended = &mut leading => return ended.map_err(E::from),
            worked = work => worked,
        };
        resign.cancel();
        leading.await?;
        worked
    }

    async fn turn(&self, term: Option<&Term>) -> Result<Turn, Error> {
        let asked = (Instant::now(), self.store.now());
        let patience = term.map_or(self.lease, Term::left);
        let lease = Micros::try_from(self.lease.as_micros()).unwrap_or(Micros::MAX);
        let acquire = self.store.acquire(&self.key, &self.owner, lease);
        let held = term.filter(|term| term.holds());
        Ok(match timeout(patience, acquire).await {
            Ok(Ok(Some(row))) => match held.filter(|term| term.holds()) {
                Some(term) if term.epoch() == row.lease.epoch => {
                    term.prolong(asked, self.lease);
                    Turn::Kept { renewed: true }
                }
                _ => Turn::Began(Term::new(&self.store, row.lease, asked, self.lease)),
            },
            Ok(Ok(None)) => Turn::Not,
            Ok(Err(error @ Error::Closed)) => return Err(error),
            failed => {
                let error = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "no answer in time".to_owned(),
                };
                let (name, partition) = (&self.key.name, self.key.partition);
                match held.filter(|term| term.holds()) {
                    Some(_) => {
                        tracing::warn!(
                            %name,
                            partition,
                            error,
                            "a lease cannot be renewed now; it is retried, and another process takes over if the lease \
                             ends"
                        );
                        Turn::Kept { renewed: false }
                    }
                    None => {
                        tracing::debug!(%name, partition, error, "a lease cannot be acquired now, and will be retried");
                        Turn::Unasked(error)
                    }
                }
            }
        })
    }

    fn change(&self, term: &mut Option<Term>, to: Option<Term>) {
        let before = std::mem::replace(term, to.clone());
        if let Some(before) = &before {
            before.0.over.cancel();
            tracing::info!(
                name = %self.key.name,
                partition = self.key.partition,
                epoch = before.epoch(),
                "this process is no longer the leader"
            );
        }
        if before.is_some() || to.is_some() {
            self.active.send_replace(to);
        }
    }
}

enum Turn {
    Kept { renewed: bool },
    Began(Term),
    Not,
    Unasked(String),
}

impl Term {
    fn new(store: &Arc<dyn EventStore>, lease: Lease, asked: (Instant, Micros), length: Duration) -> Self {
        let term = Self(Arc::new(Held {
            store: store.clone(),
            lease,
            began: asked.0,
            steady_until: AtomicU64::new(0),
            store_until: AtomicI64::new(0),
            over: CancellationToken::new(),
        }));
        term.prolong(asked, length);
        term
    }

    /// The lease that was requested at `asked` does not begin before that. A tenth of it is left unused, because clocks
    /// differ.
    fn prolong(&self, (asked, asked_store): (Instant, Micros), length: Duration) {
        let usable = length - length / 10;
        let steady = (asked + usable).saturating_duration_since(self.0.began);
        let steady = u64::try_from(steady.as_micros()).unwrap_or(u64::MAX);
        let usable = Micros::try_from(usable.as_micros()).unwrap_or(Micros::MAX);
        self.0.steady_until.store(steady, Ordering::Release);
        let store_until = asked_store.saturating_add(usable);
        self.0.store_until.store(store_until, Ordering::Release);
    }

    /// The lease, for saving and giving back under it; its end is that of when it was taken.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.0.lease
    }

    /// The lease's epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.0.lease.epoch
    }

    /// Whether the lease certainly has not ended. Ask it right before each act that only the leader may do.
    #[must_use]
    pub fn holds(&self) -> bool {
        if self.left().is_zero() {
            // A latch: once expired, a lease never reports valid again.
            self.0.over.cancel();
        }
        !self.0.over.is_cancelled()
    }

    /// [`Term::holds`], as an error.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if the lease may have ended.
    pub fn check(&self) -> Result<(), Error> {
        if self.holds() { Ok(()) } else { Err(Error::LeaseLost) }
    }

    /// Whether the store's row still confirms the lease; for cases where an unexpected result casts doubt on it.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if another process took the lease; otherwise the error of reading the row.
    pub async fn confirm(&self) -> Result<(), Error> {
        let lease = &self.0.lease;
        let row = self.0.store.consumer(&lease.key).await?;
        let ours = row.is_some_and(|row| row.lease.owner == lease.owner && row.lease.epoch == lease.epoch);
        if ours { self.check() } else { Err(Error::LeaseLost) }
    }

    /// Waits until it has ended.
    pub fn ended(&self) -> WaitForCancellationFuture<'_> {
        self.0.over.cancelled()
    }

    fn left(&self) -> Duration {
        let steady = Duration::from_micros(self.0.steady_until.load(Ordering::Acquire));
        let steady = steady.saturating_sub(self.0.began.elapsed());
        let store_until = self.0.store_until.load(Ordering::Acquire);
        let by_store = store_until.saturating_sub(self.0.store.lease_clock());
        steady.min(Duration::from_micros(u64::try_from(by_store).unwrap_or(0)))
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Term").field("lease", &self.0.lease).field("left", &self.left()).finish()
    }
}
