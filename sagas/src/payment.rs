//! The payment worker: follows what payments ask for, calls the provider, and records what came of it. After a crash it asks before it
//! calls, and what nobody knows stays unknown until there is evidence. It decides nothing about money.

mod intent;
mod pursue;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use domain::time::Timestamp;
use domain::{Event, outcome, payment, stream};
use event_store::consumer::{Checkpoint, ConsumerKey, ConsumerRow, Lease};
use event_store::record::Position;
use event_store::{Error, EventStore, Feed, Filter, Page, StoreTail};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::intent::{Intent, IntentKey};
use self::pursue::Pursuit;
use crate::dispatch::Dispatch;
use crate::gateway::PaymentGateway;
use crate::log::{decode, groups, tenant};
use crate::{Stopped, meters};

/// The form of the checkpoint's state.
const FORM: u8 = 1;

/// How the worker runs. Every bound has its reason beside it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The consumer row that it leases.
    pub consumer: ConsumerKey,
    /// Who it is; two workers with the same name are taken for one.
    pub owner: String,
    /// How long it may be silent before another takes over.
    pub lease: Duration,
    /// Records that are read at once.
    pub page: usize,
    /// Requests at the provider at once: what one provider takes from one client.
    pub at_once: usize,
    /// After this long without an answer nobody knows what came of a request.
    pub call_timeout: Duration,
    /// For how long a request that the provider has never heard of may still be on its way.
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

impl Default for Options {
    fn default() -> Self {
        Self {
            consumer: ConsumerKey {
                name: "payments".into(),
                partition: 0,
            },
            owner: "payments".into(),
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

/// Follows payments and calls the provider.
pub struct PaymentWorker {
    store: Arc<dyn EventStore>,
    gateway: Arc<dyn PaymentGateway>,
    dispatch: Arc<dyn Dispatch>,
    tracker: TaskTracker,
    feed: Box<dyn Feed>,
    options: Options,
}

/// What the worker reads of the log.
#[must_use]
pub fn filter() -> Filter {
    Filter {
        categories: vec![stream::PAYMENT.into(), stream::OUTCOME.into()],
        ..Filter::default()
    }
}

impl PaymentWorker {
    /// A worker on the tail of `store`, that calls `gateway` in tasks on `tracker`.
    pub fn new(
        store: Arc<dyn EventStore>,
        gateway: Arc<dyn PaymentGateway>,
        dispatch: Arc<dyn Dispatch>,
        tracker: TaskTracker,
        options: Options,
    ) -> Self {
        let feed = Box::new(StoreTail::new(store.clone(), filter()));
        Self {
            store,
            gateway,
            dispatch,
            tracker,
            feed,
            options,
        }
    }

    /// Reads from another feed, which has at least what [`filter`] wants.
    #[must_use]
    pub fn with_feed(self, feed: Box<dyn Feed>) -> Self {
        Self { feed, ..self }
    }

    /// Runs until it is told to stop. Waits while another worker holds the lease, and begins anew if it loses it.
    ///
    /// # Errors
    /// If the store does not serve any more.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), Stopped> {
        while !cancel.is_cancelled() {
            let key = &self.options.consumer;
            let lease = micros(self.options.lease);
            let held = self.store.acquire(key, &self.options.owner, lease).await?;
            let Some(row) = held else {
                tokio::select! {
                    () = cancel.cancelled() => break,
                    () = tokio::time::sleep(self.options.lease / 3) => continue,
                }
            };
            let ours = cancel.child_token();
            let mut session = Session::new(&self, row, ours.clone());
            let ended = session.run(self.feed.as_mut(), &ours).await;
            ours.cancel();
            match ended {
                Ok(()) => {}
                Err(Stopped::Store(Error::LeaseLost)) => {
                    tracing::warn!("another payment worker holds the lease now");
                }
                Err(stopped) => return Err(stopped),
            }
        }
        Ok(())
    }
}

/// A request that is not settled.
struct Open {
    position: Position,
    unknown: bool,
    /// `None` until it is being pursued.
    settled: Option<CancellationToken>,
    intent: Option<Box<Intent>>,
    /// The ids of the commands that record what came of it.
    outcomes: [Uuid; 3],
}

struct Session {
    pursuit: Arc<Pursuit>,
    tracker: TaskTracker,
    options: Options,
    cancel: CancellationToken,
    lease: Lease,
    open: HashMap<IntentKey, Open>,
    outcomes: HashMap<Uuid, IntentKey>,
    /// Up to here the log was written before this session: what was asked may have been sent already.
    written_before: Position,
    position: Position,
    hash: [u8; 32],
    saved: Position,
    saved_at: Instant,
    renewed_at: Instant,
    state: Option<Bytes>,
}

impl Session {
    fn new(worker: &PaymentWorker, row: ConsumerRow, cancel: CancellationToken) -> Self {
        let options = worker.options.clone();
        Self {
            pursuit: Arc::new(Pursuit::new(
                worker.store.clone(),
                worker.gateway.clone(),
                worker.dispatch.clone(),
                options.clone(),
                cancel.clone(),
            )),
            tracker: worker.tracker.clone(),
            options,
            cancel,
            lease: row.lease,
            open: HashMap::new(),
            outcomes: HashMap::new(),
            written_before: worker.store.head().borrow().position,
            position: row.checkpoint.position,
            hash: row.checkpoint.hash,
            saved: row.checkpoint.position,
            saved_at: Instant::now(),
            renewed_at: Instant::now(),
            state: Some(row.checkpoint.state),
        }
    }

    async fn run(
        &mut self,
        feed: &mut dyn Feed,
        cancel: &CancellationToken,
    ) -> Result<(), Stopped> {
        self.reopen().await?;
        feed.seek(self.position);
        let mut read_to = self.position;
        while !cancel.is_cancelled() {
            let chore = self.saved_at + self.options.save_every;
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                page = feed.next(self.options.page) => {
                    let page = page?;
                    self.page(&page);
                    read_to = page.next;
                }
                () = tokio::time::sleep_until(chore.into()) => {}
            }
            if read_to >= self.written_before {
                self.pursue_all();
            }
            self.chores().await?;
        }
        self.save().await?;
        self.pursuit.store.release(&self.lease).await?;
        Ok(())
    }

    /// The requests that were open at the checkpoint.
    async fn reopen(&mut self) -> Result<(), Stopped> {
        let mut state = self.state.take().unwrap_or_default();
        if state.is_empty() {
            return Ok(());
        }
        if state.get_u8() != FORM {
            tracing::warn!("the checkpoint is not understood; all of the log is read again");
            (self.position, self.hash, self.saved) = (0, [0; 32], 0);
            return Ok(());
        }
        while let Ok(position) = state.try_get_u64() {
            let page = self
                .pursuit
                .store
                .read_log(position - 1, &Filter::default(), 1)
                .await?;
            let records: Vec<_> = page.records.into_iter().collect();
            for group in groups(&records) {
                let Some(tenant) = group.records.first().and_then(tenant) else {
                    continue;
                };
                let asked = group.records.iter().find(|it| it.position == position);
                if let Some((record, recorded)) = asked.and_then(|it| Some((it, decode(it)?)))
                    && let Some(intent) = Intent::of(&tenant, record, &recorded)
                {
                    self.asked(intent);
                }
            }
        }
        Ok(())
    }

    fn asked(&mut self, intent: Intent) {
        let key = intent.key.clone();
        let outcomes = intent.outcome_ids();
        for outcome in outcomes {
            self.outcomes.insert(outcome, key.clone());
        }
        self.open.entry(key).or_insert(Open {
            position: intent.position,
            unknown: false,
            settled: None,
            outcomes,
            intent: Some(Box::new(intent)),
        });
    }

    fn page(&mut self, page: &Page) {
        for group in groups(&page.records) {
            let Some(tenant) = group.records.first().and_then(tenant) else {
                continue;
            };
            for record in group.records {
                let ours = &*record.stream.category == stream::PAYMENT
                    || self.outcomes.contains_key(&group.command_id);
                let Some(recorded) = ours.then(|| decode(record)).flatten() else {
                    continue;
                };
                match &recorded.event {
                    Event::Payment(event) => {
                        if let Some(intent) = Intent::of(&tenant, record, &recorded) {
                            self.asked(intent);
                        } else if let Some(key) = intent::settled(&tenant, record, event) {
                            self.settled(&key);
                        } else if let payment::Event::OutcomeUnknown(unknown) = event {
                            let key = intent::key(&tenant, record, unknown.verb);
                            if let Some(open) = key.and_then(|key| self.open.get_mut(&key)) {
                                open.unknown = true;
                            }
                        }
                    }
                    Event::Outcome(outcome::Event::Settled(settled)) => {
                        self.outcome_settled(group.command_id, &settled.verdict);
                    }
                    _ => {}
                }
            }
        }
        if let Some(last) = page.records.last() {
            (self.position, self.hash) = (last.position, last.hash);
        }
    }

    fn settled(&mut self, key: &IntentKey) {
        let Some(open) = self.open.remove(key) else {
            return;
        };
        for outcome in open.outcomes {
            self.outcomes.remove(&outcome);
        }
        if let Some(settled) = open.settled {
            settled.cancel();
        }
    }

    /// The payment did not take what the provider said: somebody has settled it otherwise, or the amounts differ. A person has to look.
    fn outcome_settled(&mut self, command_id: Uuid, verdict: &outcome::Verdict) {
        let Some(key) = self.outcomes.get(&command_id).cloned() else {
            return;
        };
        if let outcome::Verdict::Refused { code, message, .. } = verdict {
            meters::refused_outcome();
            tracing::error!(payment = %key.payment_id, code, message, "a payment refuses what the provider says");
            self.settled(&key);
        }
    }

    /// Pursues what is not pursued yet.
    fn pursue_all(&mut self) {
        for open in self.open.values_mut().filter(|it| it.settled.is_none()) {
            let Some(intent) = open.intent.take() else {
                continue;
            };
            let settled = self.cancel.child_token();
            open.settled = Some(settled.clone());
            let sent_before = open.position <= self.written_before;
            let pursuit = self.pursuit.clone();
            let unknown = open.unknown;
            self.tracker
                .spawn(pursuit.run(*intent, sent_before, unknown, settled));
        }
    }

    async fn chores(&mut self) -> Result<(), Stopped> {
        let now = Instant::now();
        if now - self.renewed_at >= self.options.lease / 3 {
            let (key, owner) = (&self.options.consumer, &self.options.owner);
            let lease = micros(self.options.lease);
            match self.pursuit.store.acquire(key, owner, lease).await? {
                Some(row) if row.lease.epoch == self.lease.epoch => self.lease = row.lease,
                _ => return Err(Error::LeaseLost.into()),
            }
            self.renewed_at = now;
        }
        if now - self.saved_at >= self.options.save_every {
            let unknown = self.open.values().filter(|open| open.unknown).count();
            meters::payments(self.open.len(), unknown);
            let head = self.pursuit.store.head().borrow().position;
            meters::position(&self.options.consumer.name, self.position, head);
            self.save().await?;
        }
        Ok(())
    }

    async fn save(&mut self) -> Result<(), Stopped> {
        self.saved_at = Instant::now();
        if self.position == self.saved {
            return Ok(());
        }
        let mut state = BytesMut::with_capacity(1 + self.open.len() * 8);
        state.put_u8(FORM);
        for open in self.open.values() {
            state.put_u64(open.position);
        }
        let checkpoint = Checkpoint {
            position: self.position,
            hash: self.hash,
            state: state.freeze(),
        };
        self.pursuit.store.save(&self.lease, checkpoint).await?;
        self.saved = self.position;
        Ok(())
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The store's clock as the domain has it.
#[must_use]
pub fn clock(store: Arc<dyn EventStore>) -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
    Arc::new(move || Timestamp::from_micros(store.now()))
}
