//! Retrying operations that a store cannot do now: with growing pauses and without end, for background parts that no
//! request waits for. A retry ends with the lease under which the work is done, and when the part is cancelled.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::append::Receipt;
use crate::consumer::{ConsumerKey, ConsumerRow};
use crate::feed::Feed;
use crate::leadership::Term;
use crate::record::{Micros, Position, Record, StreamId, Version};
use crate::snapshot::Snapshot;
use crate::store::{Class, Direction, Error, EventStore, Filter, Page};
use crate::supervision::Pulse;

/// The first wait before the store is asked again; doubled each time.
const FIRST: Duration = Duration::from_millis(20);
/// The longest one.
const CAP: Duration = Duration::from_secs(30);

/// Waits that grow: each is twice the one before, up to a longest.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    next: Duration,
}

impl Backoff {
    /// From `first` to `cap`.
    #[must_use]
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, next: first }
    }

    /// The waits between two tries at a store that cannot do something now.
    #[must_use]
    pub fn of_a_store() -> Self {
        Self::new(FIRST, CAP)
    }

    /// The next wait.
    #[must_use]
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.next.min(self.cap);
        self.next = (wait * 2).min(self.cap);
        wait
    }

    /// The first wait is the next again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Whether a retry can help: the error is *not now* or *unknown*, and the store is not closed.
#[must_use]
pub fn is_worth_waiting(error: &Error) -> bool {
    !matches!(error, Error::Closed) && matches!(error.class(), Class::NotNow | Class::Unknown)
}

/// A store whose reads retry temporary failures. Appends, leases and checkpoints return their errors, because each
/// caller has to react in its own way.
pub struct Patient {
    store: Arc<dyn EventStore>,
    term: Term,
    cancel: CancellationToken,
    pulse: Pulse,
}

impl Patient {
    /// `store` with retries, as long as `term` holds and `cancel` is not triggered; `pulse` reports what is waited for.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, term: Term, cancel: CancellationToken, pulse: Pulse) -> Self {
        Self { store, term, cancel, pulse }
    }

    /// Waits after `error`, if a retry can help.
    ///
    /// # Errors
    /// The error itself if a retry cannot help or the part was cancelled; [`Error::LeaseLost`] if the term has ended.
    pub async fn wait(&self, error: Error, backoff: &mut Backoff) -> Result<(), Error> {
        if !is_worth_waiting(&error) {
            return Err(error);
        }
        let wait = backoff.next_wait();
        tracing::warn!(
            %error,
            ?wait,
            "the store cannot do this now; it is retried after a wait, see docs/operations.md, 'A part waits or \
             restarts'"
        );
        metrics::counter!("daybook_store_waits_total").increment(1);
        self.pulse.waits(&error.to_string());
        tokio::select! {
            () = self.cancel.cancelled() => Err(error),
            () = self.term.ended() => Err(Error::LeaseLost),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    /// The part does its work again.
    pub fn goes_on(&self) {
        self.pulse.goes_on();
    }
}

/// Retries until there is an answer.
macro_rules! insist {
    ($patient:expr, $asked:expr) => {{
        let mut backoff = Backoff::of_a_store();
        let mut waited = false;
        loop {
            match $asked.await {
                Ok(answer) => {
                    if waited {
                        $patient.goes_on();
                    }
                    return Ok(answer);
                }
                Err(error) => $patient.wait(error, &mut backoff).await?,
            }
            waited = true;
        }
    }};
}

#[async_trait]
impl crate::Layer for Patient {
    fn below(&self) -> &dyn EventStore {
        &*self.store
    }

    async fn command(&self, command_id: Uuid) -> Result<Option<Receipt>, Error> {
        insist!(self, self.store.command(command_id))
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Record>, Error> {
        insist!(self, self.store.read_stream(stream, from, direction, limit))
    }

    async fn stream_head(&self, stream: &StreamId) -> Result<Option<(Version, Uuid)>, Error> {
        insist!(self, self.store.stream_head(stream))
    }

    async fn read_log(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, Error> {
        insist!(self, self.store.read_log(after, filter, limit))
    }

    async fn position_at(&self, instant: Micros) -> Result<Position, Error> {
        insist!(self, self.store.position_at(instant))
    }

    async fn consumer(&self, key: &ConsumerKey) -> Result<Option<ConsumerRow>, Error> {
        insist!(self, self.store.consumer(key))
    }

    async fn consumers(&self, name: &str) -> Result<Vec<ConsumerRow>, Error> {
        insist!(self, self.store.consumers(name))
    }

    async fn snapshot(&self, stream: &StreamId, fold: u32) -> Result<Option<Snapshot>, Error> {
        insist!(self, self.store.snapshot(stream, fold))
    }
}

/// A feed that retries temporary failures of its store: an empty answer means only that it waited.
pub struct PatientFeed {
    feed: Box<dyn Feed>,
    pulse: Pulse,
    backoff: Backoff,
    /// It is not read again before this instant; kept across dropped futures.
    not_before: Option<Instant>,
}

impl PatientFeed {
    /// `feed` with endless retries; `pulse` reports what is waited for.
    #[must_use]
    pub fn new(feed: Box<dyn Feed>, pulse: Pulse) -> Self {
        Self { feed, pulse, backoff: Backoff::of_a_store(), not_before: None }
    }
}

#[async_trait]
impl Feed for PatientFeed {
    fn seek(&mut self, after: Position) {
        self.feed.seek(after);
    }

    async fn next(&mut self, limit: usize) -> Result<Page, Error> {
        loop {
            if let Some(at) = self.not_before {
                tokio::time::sleep_until(at).await;
            }
            match self.feed.next(limit).await {
                Ok(page) => {
                    if self.not_before.take().is_some() {
                        self.backoff.reset();
                        self.pulse.goes_on();
                    }
                    return Ok(page);
                }
                Err(error) if is_worth_waiting(&error) => {
                    let wait = self.backoff.next_wait();
                    tracing::warn!(
                        %error,
                        ?wait,
                        "the log cannot be read now; it is retried after a wait, see docs/operations.md, 'A part waits \
                         or restarts'"
                    );
                    metrics::counter!("daybook_store_waits_total").increment(1);
                    self.pulse.waits(&error.to_string());
                    self.not_before = Some(Instant::now() + wait);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
