//! The work during one term of the lease: from the checkpoint on, page by page, until it is cancelled or the lease is
//! lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use domain::time::Timestamp;
use event_store::consumer::Checkpoint;
use event_store::leadership::Term;
use event_store::partition::of_correlation;
use event_store::patience::{Patient, is_worth_waiting};
use event_store::record::Position;
use event_store::{Error, EventStore, Feed, Filter, Page};
use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::append::{Cause, Work};
use super::held::{self, Held};
use super::index::{self, Index, Key, Saved};
use super::left::{self, Left};
use super::load::Loaded;
use super::outbox::{Outbox, Undeliverable};
use super::payments::Payments;
use super::shelf::Shelf;
use super::{Options, Setting};
use crate::holds::Holds;
use crate::log::{durable_head, groups, hash_at};
use crate::meters::{Board, Measures};
use crate::{Stopped, meters};

/// Sagas that are read at once.
pub(super) const LOADING: usize = 32;
/// Sagas that are read before they are looked at.
const LOADED: usize = 1_024;
/// The kinds that are measured even while there is none of them.
const KINDS: [&str; 9] = [
    domain::saga::checkout::KIND,
    domain::saga::fulfilment::KIND,
    domain::saga::cancellation::KIND,
    domain::saga::returns::KIND,
    domain::saga::refund::KIND,
    domain::saga::allocation::KIND,
    domain::saga::amendment::KIND,
    domain::saga::reservation::KIND,
    domain::saga::hold::KIND,
];

pub(super) struct Session {
    /// The store, with retries of reads.
    pub(super) store: Arc<dyn EventStore>,
    /// The same, for what has to be waited for otherwise.
    pub(super) patient: Arc<Patient>,
    pub(super) options: Options,
    pub(super) index: Index,
    pub(super) shelf: Shelf<Loaded>,
    pub(super) payments: Payments,
    pub(super) outbox: Outbox,
    /// Sagas that cannot be read or run here.
    pub(super) left_alone: HashMap<Key, Left>,
    /// Sagas that an earlier process quarantined and that were not checked yet, with their observed positions.
    pub(super) left_before: HashMap<Key, Position>,
    /// Streams that nothing is reacted to of.
    pub(super) held: Held,
    /// Timers whose evidence cannot be read, and when to try again.
    pub(super) postponed: Vec<(Instant, Timestamp, Key, String)>,
    /// Up to here the log was written before this session: what it started may be there already.
    pub(super) written_before: Position,
    /// The `recorded_at` of the last processed record.
    pub(super) seen_at: Timestamp,
    pub(super) caught_up: bool,
    pub(super) term: Term,
    pub(super) cancel: CancellationToken,
    /// All records of this partition up to here were processed.
    pub(super) position: Position,
    /// The hash there, if the record there was seen.
    hash: Option<[u8; 32]>,
    saved: Position,
    board: Arc<Board>,
    pub(super) holds: Holds,
    undeliverable: mpsc::UnboundedReceiver<Undeliverable>,
    saved_at: Instant,
    swept_at: Instant,
    /// When held streams were looked at.
    looked_at: Instant,
    begin_with: Option<bytes::Bytes>,
}

impl Session {
    /// A session that continues from the current checkpoint.
    pub(super) async fn open(setting: &Setting, term: Term, cancel: CancellationToken) -> Result<Self, Error> {
        let options = setting.options.clone();
        let (failed, undeliverable) = mpsc::unbounded_channel();
        let pulse = setting.pulse.clone();
        let patient = Arc::new(Patient::new(setting.store.clone(), term.clone(), cancel.clone(), pulse));
        let row = patient.consumer(&term.lease().key).await?;
        let checkpoint = row.map(|row| row.checkpoint).unwrap_or_default();
        let written_before = durable_head(patient.as_ref()).await?;
        tracing::info!(
            partition = options.partition,
            epoch = term.epoch(),
            position = checkpoint.position,
            "sagas run"
        );
        let now = Instant::now();
        Ok(Self {
            index: Index::default(),
            shelf: Shelf::new(options.sagas),
            payments: Payments::new(options.payments),
            outbox: Outbox::new(
                setting.dispatch.clone(),
                setting.tracker.clone(),
                options.dispatching,
                failed,
                term.clone(),
                cancel.clone(),
            ),
            left_alone: HashMap::new(),
            left_before: HashMap::new(),
            held: Held::default(),
            postponed: Vec::new(),
            written_before,
            seen_at: Timestamp::default(),
            caught_up: false,
            position: checkpoint.position,
            hash: Some(checkpoint.hash),
            saved: checkpoint.position,
            begin_with: Some(checkpoint.state),
            term,
            cancel,
            board: setting.board.clone(),
            holds: setting.holds.clone(),
            store: patient.clone(),
            patient,
            undeliverable,
            saved_at: now,
            swept_at: now,
            looked_at: now,
            options,
        })
    }

    /// Whether what belongs to this correlation is a matter of this setting.
    pub(super) fn is_ours(&self, tenant: &str, correlation: Uuid) -> bool {
        self.options.partition.is_none_or(|partition| of_correlation(tenant, correlation) == partition)
    }

    pub(super) async fn run(&mut self, feed: &mut dyn Feed, cancel: &CancellationToken) -> Result<(), Stopped> {
        self.reopen().await?;
        // If there is nothing left to read, no page will set this, but timers are due anyway.
        self.caught_up = self.position >= self.written_before;
        feed.seek(self.position);
        let term = self.term.clone();
        while !cancel.is_cancelled() {
            let until = self.next_chore();
            // While too many commands are in flight, no more records are read; everything else continues.
            let outbox = self.outbox.shared();
            let full = outbox.is_full();
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                () = term.ended() => return Err(Error::LeaseLost.into()),
                Some(failed) = self.undeliverable.recv() => self.tell_undeliverable(failed).await?,
                () = outbox.room(), if full => {}
                page = feed.next(self.options.page), if !full => self.page(page?).await?,
                () = tokio::time::sleep_until(until.into()) => {}
            }
            self.fire_timers().await?;
            self.chores().await?;
        }
        self.save().await
    }

    /// Reads every saga that the checkpoint names, and sends their commands that were not accepted.
    async fn reopen(&mut self) -> Result<(), Stopped> {
        let (held, state) = Held::split(self.begin_with.take().unwrap_or_default());
        let (left_before, state) = left::split(state);
        self.left_before = left_before;
        self.reopen_sagas(state).await?;
        let back = std::mem::take(&mut self.left_before);
        if self.position > 0 {
            self.reopen_held(held).await?;
            self.hear_missed(&back, self.position).await?;
        }
        Ok(())
    }

    async fn reopen_sagas(&mut self, state: bytes::Bytes) -> Result<(), Stopped> {
        let open = match index::decode(state, self.options.partition.is_some()) {
            Saved::Open(open) => open,
            Saved::Search => self.search().await?,
            Saved::Foreign => {
                // Written by another version, or for another division of the work: the log has everything, so it is read from the
                // beginning.
                tracing::warn!("the checkpoint is not understood; all of the log is read again, nothing to do");
                (self.position, self.hash, self.saved) = (0, Some([0; 32]), 0);
                return Ok(());
            }
        };
        // A limited number at a time, all of them read before the first is processed: a pending read that is not polled
        // would block the store's readers.
        let mut open = open.into_iter();
        loop {
            let some: Vec<_> = open.by_ref().take(LOADED).collect();
            if some.is_empty() {
                return Ok(());
            }
            let store = &self.store;
            let found: Vec<_> = stream::iter(some)
                .map(|(key, since)| {
                    let store = store.clone();
                    async move {
                        let found = super::load::load(store.as_ref(), &key).await;
                        (key, since, found)
                    }
                })
                .buffered(LOADING)
                .collect()
                .await;
            let mut taken = Vec::with_capacity(found.len());
            for (key, since, found) in found {
                if let Some(loaded) = self.take_in(&key, since, found?).await? {
                    taken.push((key, loaded, since));
                }
            }
            self.adopt_all(taken).await?;
            self.shelf.trim();
        }
    }

    /// The sagas that began up to the checkpoint and have not ended there, and those that could only be parked.
    async fn search(&self) -> Result<Vec<(Key, Timestamp)>, Error> {
        let filter = Filter {
            categories: vec![domain::stream::SAGA.into()],
            kinds: ["SagaStarted", "SagaParked", "SagaEnded"].map(String::from).into(),
            ..Filter::default()
        };
        let (mut open, mut at) = (HashMap::new(), 0);
        while at < self.position {
            let page = self.store.read_log(at, &filter, self.options.page).await?;
            for record in page.records.iter().filter(|record| record.position <= self.position) {
                if !self.is_ours(&record.stream.tenant, crate::log::correlation(record)) {
                    continue;
                }
                let Some(key) = Key::parse(&record.stream) else { continue };
                if &*record.kind == "SagaEnded" {
                    open.remove(&key);
                } else {
                    open.entry(key).or_insert(Timestamp::from_micros(record.recorded_at));
                }
            }
            if page.next <= at {
                break;
            }
            at = page.next;
        }
        Ok(open.into_iter().collect())
    }

    async fn page(&mut self, page: Page) -> Result<(), Stopped> {
        // This process may have been paused since it asked for the page.
        self.term.check()?;
        self.prefetch(&page.records).await?;
        let mut flights = Vec::new();
        for group in groups(&page.records) {
            self.group(&group, &mut flights).await?;
        }
        self.settle(flights).await?;
        let last = page.records.last();
        if let Some(last) = last {
            self.seen_at = Timestamp::from_micros(last.recorded_at);
        }
        if page.next > self.position {
            self.position = page.next;
            self.hash = last.filter(|last| last.position == page.next).map(|last| last.hash);
        }
        self.caught_up = page.next >= page.head;
        self.shelf.trim();
        Ok(())
    }

    pub(super) async fn tell_undeliverable(&mut self, failed: Undeliverable) -> Result<(), Stopped> {
        let at = self.now();
        let work = Work {
            append_id: format!("undeliverable/{}", failed.command_id),
            causation: failed.command_id,
            at,
            cause: Cause::Undeliverable { command_id: failed.command_id, detail: failed.detail },
            key: failed.key,
        };
        let flight = self.attempt(work).await?;
        self.settle(flight.into_iter().collect()).await
    }

    /// The store's clock, and never before the last seen time.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.store.now()).max(self.seen_at)
    }

    fn next_chore(&self) -> Instant {
        let now = Instant::now();
        let mut until = (self.swept_at + self.options.save_every).max(now);
        if let (true, Some(due_at)) = (self.caught_up, self.index.next_timer()) {
            until = until.min(now + super::between(self.now(), due_at));
        }
        until
    }

    async fn chores(&mut self) -> Result<(), Stopped> {
        let now = Instant::now();
        let behind = self.position - self.saved;
        let soon = now - self.saved_at >= self.options.save_every;
        if behind >= self.options.save_records || (behind > 0 && soon) {
            self.save().await?;
        }
        if now - self.swept_at >= self.options.save_every {
            self.swept_at = now;
            self.resend().await?;
            if now - self.looked_at >= self.options.resend_after {
                self.looked_at = now;
                self.look_at_held().await?;
            }
            let measures = Measures {
                position: self.position,
                head: self.store.head().borrow().position,
                ..self.index.measure(self.now(), &KINDS)
            };
            self.show_held();
            self.board.report(self.options.partition, measures);
        }
        Ok(())
    }

    async fn save(&mut self) -> Result<(), Stopped> {
        self.saved_at = Instant::now();
        if self.position == self.saved {
            return Ok(());
        }
        if self.held.len() > held::MOST {
            // The older checkpoint stays true: more is read again after a restart, and nothing is lost.
            tracing::error!(
                streams = self.held.len(),
                "more streams cannot be read than a checkpoint can name; see docs/operations.md, 'A record cannot be \
                 read'"
            );
            return Ok(());
        }
        let state = self.index.encode(&self.left_alone, self.options.partition.is_some());
        let hash = match self.hash {
            Some(hash) => Some(hash),
            None => hash_at(self.store.as_ref(), self.position).await?,
        };
        let Some(hash) = hash else {
            tracing::error!(
                position = self.position,
                "the feed is ahead of the log, so no checkpoint is saved; check that the log was not replaced by an \
                 older copy"
            );
            return Ok(());
        };
        self.hash = Some(hash);
        let state = self.held.encode(left::encode(&self.left_alone, state));
        let checkpoint = Checkpoint { position: self.position, hash, state };
        match self.store.save(self.term.lease(), checkpoint).await {
            Ok(()) => self.saved = self.position,
            // The older checkpoint stays true: more is read again after a restart, and nothing is lost.
            Err(error) if is_worth_waiting(&error) => {
                meters::unsaved();
                tracing::warn!(
                    %error,
                    position = self.position,
                    "the checkpoint of sagas cannot be saved now; it is retried"
                );
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
