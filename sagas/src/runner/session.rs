//! One holding of the lease: from the checkpoint on, page by page, until it is told to stop or the lease is lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use domain::time::Timestamp;
use event_store::consumer::{Checkpoint, ConsumerRow, Lease};
use event_store::record::Position;
use event_store::{Error, EventStore, Feed, Page};
use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::append::{Cause, Work};
use super::index::{self, Index, Key};
use super::load::Shelf;
use super::outbox::{Outbox, Undeliverable};
use super::payments::Payments;
use super::{Options, Runner, micros};
use crate::log::groups;
use crate::{Stopped, meters};

/// Sagas that are read at once.
pub(super) const LOADING: usize = 32;
/// Sagas that are read before they are looked at.
const LOADED: usize = 1_024;
/// Commands that are sent again at once.
const RESENDING: usize = 512;
/// The kinds that are measured even while there is none of them.
const KINDS: [&str; 8] = [
    domain::saga::checkout::KIND,
    domain::saga::fulfilment::KIND,
    domain::saga::cancellation::KIND,
    domain::saga::returns::KIND,
    domain::saga::refund::KIND,
    domain::saga::allocation::KIND,
    domain::saga::amendment::KIND,
    domain::saga::reservation::KIND,
];

pub(super) struct Session {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) options: Options,
    pub(super) index: Index,
    pub(super) shelf: Shelf,
    pub(super) payments: Payments,
    pub(super) outbox: Outbox,
    /// Sagas that cannot be read or run here, and since when they are open.
    pub(super) left_alone: HashMap<Key, Timestamp>,
    /// Up to here the log was written before this session: what it started may be there already.
    pub(super) written_before: Position,
    /// When the last record that was dealt with was recorded.
    pub(super) seen_at: Timestamp,
    pub(super) caught_up: bool,
    lease: Lease,
    position: Position,
    hash: [u8; 32],
    saved: Position,
    undeliverable: mpsc::UnboundedReceiver<Undeliverable>,
    renewed_at: Instant,
    saved_at: Instant,
    swept_at: Instant,
    begin_with: Option<bytes::Bytes>,
}

impl Session {
    pub(super) fn new(runner: &Runner, row: ConsumerRow, cancel: CancellationToken) -> Self {
        let options = runner.options.clone();
        let (failed, undeliverable) = mpsc::unbounded_channel();
        let now = Instant::now();
        Self {
            index: Index::default(),
            shelf: Shelf::new(options.sagas),
            payments: Payments::new(options.payments),
            outbox: Outbox::new(
                runner.dispatch.clone(),
                runner.tracker.clone(),
                options.dispatching,
                failed,
                cancel,
            ),
            left_alone: HashMap::new(),
            written_before: runner.store.head().borrow().position,
            seen_at: Timestamp::default(),
            caught_up: false,
            position: row.checkpoint.position,
            hash: row.checkpoint.hash,
            saved: row.checkpoint.position,
            begin_with: Some(row.checkpoint.state),
            lease: row.lease,
            store: runner.store.clone(),
            undeliverable,
            renewed_at: now,
            saved_at: now,
            swept_at: now,
            options,
        }
    }

    pub(super) async fn run(
        &mut self,
        feed: &mut dyn Feed,
        cancel: &CancellationToken,
    ) -> Result<(), Stopped> {
        self.reopen().await?;
        feed.seek(self.position);
        while !cancel.is_cancelled() {
            let until = self.next_chore();
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some(failed) = self.undeliverable.recv() => self.tell_undeliverable(failed).await?,
                page = feed.next(self.options.page) => self.page(page?).await?,
                () = tokio::time::sleep_until(until.into()) => {}
            }
            self.fire_timers().await?;
            self.chores().await?;
        }
        self.save().await?;
        self.store.release(&self.lease).await?;
        Ok(())
    }

    /// Reads again every saga that the checkpoint names, and sends again what they asked for and nobody accepted.
    async fn reopen(&mut self) -> Result<(), Stopped> {
        let state = self.begin_with.take().unwrap_or_default();
        let Some(open) = index::decode(state) else {
            // Written by another version: the log has everything, so it is read from the beginning.
            tracing::warn!("the checkpoint is not understood; all of the log is read again");
            (self.position, self.hash, self.saved) = (0, [0; 32], 0);
            return Ok(());
        };
        // So many at a time, all of them read before the first is looked at: a read that is under way and not waited for would keep
        // the store's readers from those that are.
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
            for (key, since, found) in found {
                if let Some(loaded) = self.take_in(&key, since, found?).await? {
                    self.adopt(&key, loaded, since).await?;
                }
            }
            self.shelf.trim();
        }
    }

    async fn page(&mut self, page: Page) -> Result<(), Stopped> {
        self.outbox.room().await;
        self.prefetch(&page.records).await?;
        let mut flights = Vec::new();
        for group in groups(&page.records) {
            self.group(&group, &mut flights).await?;
        }
        self.settle(flights).await?;
        if let Some(last) = page.records.last() {
            self.position = last.position;
            self.hash = last.hash;
            self.seen_at = Timestamp::from_micros(last.recorded_at);
        }
        self.caught_up = page.next >= page.head;
        self.shelf.trim();
        Ok(())
    }

    async fn tell_undeliverable(&mut self, failed: Undeliverable) -> Result<(), Stopped> {
        let at = self.now();
        let work = Work {
            append_id: format!("undeliverable/{}", failed.command_id),
            causation: failed.command_id,
            at,
            cause: Cause::Undeliverable {
                command_id: failed.command_id,
                detail: failed.detail,
            },
            key: failed.key,
        };
        let flight = self.attempt(work).await?;
        self.settle(flight.into_iter().collect()).await
    }

    /// The store's clock, and never before what was seen.
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
        if now - self.renewed_at >= self.options.lease / 3 {
            let lease = micros(self.options.lease);
            let row = self
                .store
                .acquire(&self.options.consumer, &self.options.owner, lease)
                .await?;
            match row {
                Some(row) if row.lease.epoch == self.lease.epoch => self.lease = row.lease,
                _ => return Err(Error::LeaseLost.into()),
            }
            self.renewed_at = now;
        }
        let behind = self.position - self.saved;
        let soon = now - self.saved_at >= self.options.save_every;
        if behind >= self.options.save_records || (behind > 0 && soon) {
            self.save().await?;
        }
        if now - self.swept_at >= self.options.save_every {
            self.swept_at = now;
            self.resend().await?;
            self.index.measure(self.now(), &KINDS);
            let head = self.store.head().borrow().position;
            meters::position(&self.options.consumer.name, self.position, head);
        }
        Ok(())
    }

    async fn save(&mut self) -> Result<(), Stopped> {
        self.saved_at = Instant::now();
        let Some(state) = self.index.encode(&self.left_alone) else {
            // The older checkpoint stays true: more is read again after a restart, and nothing is lost.
            meters::checkpoint_too_large();
            tracing::warn!("more sagas are open than a checkpoint can name; it stays where it is");
            return Ok(());
        };
        let checkpoint = Checkpoint {
            position: self.position,
            hash: self.hash,
            state,
        };
        self.store.save(&self.lease, checkpoint).await?;
        self.saved = self.position;
        Ok(())
    }

    /// Sends again what was not answered for long, if the store has not got it.
    async fn resend(&mut self) -> Result<(), Stopped> {
        let Some(before) = Instant::now().checked_sub(self.options.resend_after) else {
            return Ok(());
        };
        for (command_id, key) in self.index.overdue(before, RESENDING) {
            if self.store.command(command_id).await?.is_some() {
                // It was carried out; its answer comes, or came, through the log.
                continue;
            }
            let Some(loaded) = self.find(&key).await? else {
                self.index.answered(command_id);
                continue;
            };
            let asked = loaded.saga.pending().into_iter();
            let letter = asked
                .filter(|(id, _)| *id == command_id)
                .find_map(|(id, command)| self.letter(&key, id, command, id));
            match letter {
                Some(letter) => {
                    meters::resent();
                    self.outbox.send(letter);
                }
                None => self.index.answered(command_id),
            }
        }
        Ok(())
    }
}
