//! One door's feed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream::message::Message;
use async_trait::async_trait;
use event_store::hash::Hash;
use event_store::partition::Door;
use event_store::record::Position;
use event_store::{Error, Feed, Head, Page};
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::bus::{Heard, Shared};
use super::live::{Came, Live};
use super::pending::Pending;
use crate::progress::Progress;
use crate::relay::hash_at;

/// A message is compared with the store at least this often.
const CHECK: Duration = Duration::from_secs(1);
/// If the relay is at most this far behind the position read from the store, the feed returns to the bus and skips the
/// few messages.
const NEAR: u64 = 4_096;
/// The longest pause before the bus is tried again, in silences.
const PATIENCE_MOST: u32 = 32;

type Opening = AbortOnDropHandle<Result<Live, String>>;

/// A feed; see the module above for what it believes.
pub(super) struct DoorFeed {
    shared: Arc<Shared>,
    door: Door,
    head: watch::Receiver<Head>,
    heard: watch::Receiver<Option<Heard>>,
    /// Everything up to here has been handed out.
    after: Position,
    /// Everything up to here has been handed out or is pending.
    seen: Position,
    pending: Pending,
    live: Option<Live>,
    opening: Option<Opening>,
    /// A message showed that something before this position is missing.
    hole: Option<Position>,
    /// A record to be compared with the store before anything is handed out.
    unproved: Option<(Position, Hash)>,
    /// Set while the store is read instead of the bus.
    away: Option<Away>,
    /// When it was last known that nothing was missing.
    advanced: Instant,
    /// How often in a row the bus was tried in vain, and when it may be tried again.
    failures: u32,
    retry: Instant,
}

/// The store is read: no trusted progress was received, or the bus was silent although the relay reported progress.
struct Away {
    relay: Option<Position>,
}

impl DoorFeed {
    pub(super) fn new(shared: Arc<Shared>, door: Door, after: Position) -> Self {
        let now = Instant::now();
        // If the stream has the next record, try it before the store.
        let there = shared.current().is_some_and(|progress| progress.base <= after);
        Self {
            head: shared.store.head(),
            heard: shared.heard.subscribe(),
            shared,
            door,
            after,
            seen: after,
            pending: Pending::default(),
            live: None,
            opening: None,
            hole: None,
            unproved: None,
            away: (!there).then_some(Away { relay: None }),
            advanced: now,
            failures: 0,
            retry: now,
        }
    }

    fn count(&self, of: impl Fn(&super::bus::Counts) -> &AtomicU64, by: u64) {
        of(&self.shared.counts).fetch_add(by, Ordering::Relaxed);
    }

    /// Takes the messages that have already arrived, up to `limit` records.
    fn drain(&mut self, limit: usize) {
        if let Some(opening) = &mut self.opening
            && let Some(opened) = opening.now_or_never()
        {
            self.opened(opened);
        }
        while self.pending.whole() < limit && self.hole.is_none() {
            let Some(live) = &mut self.live else { return };
            let Some(came) = live.message().now_or_never() else {
                return;
            };
            self.take_in(came);
        }
    }

    fn take_in(&mut self, came: Result<Message, String>) {
        let Some(live) = &mut self.live else { return };
        let message = match came {
            Ok(message) => message,
            Err(reason) => {
                tracing::debug!(door = ?self.door, reason, "a subscription ended");
                self.leave();
                return;
            }
        };
        let incarnation = self.shared.store.incarnation();
        match live.judge(message, &self.door, incarnation, self.seen) {
            Came::Next(record, end) => {
                self.seen = record.position;
                self.advanced = Instant::now();
                self.failures = 0;
                if live.checked.is_none_or(|at| at.elapsed() >= CHECK) {
                    live.checked = Some(self.advanced);
                    self.unproved = Some((record.position, record.hash));
                }
                self.pending.push(*record, end);
                self.count(|counts| &counts.from_stream, 1);
                metrics::counter!("daybook_feed_records_total", "source" => "stream").increment(1);
            }
            Came::Seen => self.count(|counts| &counts.repeated, 1),
            Came::Hole(position) => {
                self.hole = Some(position);
                self.count(|counts| &counts.holes, 1);
                metrics::counter!("daybook_feed_holes_total").increment(1);
            }
            Came::Foreign(reason) => {
                let generation = live.generation;
                self.shared.distrust(generation, &reason);
                self.leave();
                self.away = Some(Away { relay: None });
            }
        }
    }

    /// Drops the subscription; each time that nothing arrived the next one starts after a longer pause.
    fn leave(&mut self) {
        self.live = None;
        self.opening = None;
        let patience = 2_u32.saturating_pow(self.failures).min(PATIENCE_MOST);
        self.failures += 1;
        self.retry = Instant::now() + self.shared.options.silence * patience / 4;
    }

    /// Compares the record that is to be proved with the store. Nothing is handed out before.
    async fn prove(&mut self) {
        let Some((position, hash)) = self.unproved else {
            return;
        };
        let head = *self.head.borrow();
        let stored =
            if head.position == position { Ok(Some(head.hash)) } else { hash_at(&*self.shared.store, position).await };
        self.unproved = None;
        // If the store cannot be read now, a later record is checked.
        let Ok(stored) = stored else { return };
        if stored != Some(hash) {
            let generation = self.live.as_ref().map_or(0, |live| live.generation);
            self.shared.distrust(generation, "a record's hash differs from the store's");
            self.leave();
            self.away = Some(Away { relay: None });
            // The other messages of that subscription are not trusted either.
            self.pending.clear();
            self.seen = self.after;
            self.hole = None;
        }
    }

    /// Follows the relay's word: moves on if there is nothing newer for this door, and finds the stream to read.
    fn follow(&mut self, progress: Option<&Arc<Progress>>) {
        let Some(progress) = progress else { return };
        if let Some(last) = progress.last(&self.door)
            && last <= self.seen
            && progress.position > self.seen
            && self.hole.is_none()
        {
            self.seen = progress.position;
            self.advanced = Instant::now();
            self.failures = 0;
        }
        if let Some(live) = &self.live
            && live.generation != progress.generation
        {
            self.live = None;
        }
        let near = match &self.away {
            None => true,
            Some(Away { relay }) => {
                let moved = relay.is_none_or(|then| progress.position > then);
                progress.position >= self.seen || (moved && progress.position + NEAR >= self.seen)
            }
        };
        let begun = self.live.is_some() || self.opening.is_some();
        if near && !begun && self.seen >= progress.base && Instant::now() >= self.retry {
            let (connection, door) = (self.shared.connection.clone(), self.door.clone());
            let open = Live::open(connection, door, Arc::clone(progress), self.seen);
            self.opening = Some(AbortOnDropHandle::new(tokio::spawn(open)));
        }
    }

    fn opened(&mut self, opened: Result<Result<Live, String>, tokio::task::JoinError>) {
        self.opening = None;
        match opened.map_err(|error| error.to_string()).and_then(|live| live) {
            Ok(live) => {
                self.live = Some(live);
                self.away = None;
                self.advanced = Instant::now();
                self.count(|counts| &counts.subscriptions, 1);
                metrics::counter!("daybook_feed_subscriptions_total").increment(1);
            }
            Err(reason) => {
                tracing::debug!(door = ?self.door, reason, "the event stream cannot be read now");
                self.leave();
            }
        }
    }

    /// Whether the store has to be read now, and why.
    fn wants_store(&mut self, progress: Option<&Arc<Progress>>) -> Option<&'static str> {
        if self.hole.is_some() {
            return Some("hole");
        }
        if self.head.borrow().position <= self.seen {
            self.advanced = Instant::now();
            return None;
        }
        if self.away.is_some() {
            return Some("away");
        }
        if let Some(progress) = progress {
            if self.seen < progress.base {
                return Some("base");
            }
            // The relay does not know the positions before its start; the store does.
            let last = progress.last(&self.door).unwrap_or(0);
            if last > self.seen && last <= progress.since && !matches!(self.door, Door::All) {
                return Some("since");
            }
        }
        if self.advanced.elapsed() >= self.shared.options.silence {
            self.away = Some(Away { relay: progress.map(|progress| progress.position) });
            self.count(|counts| &counts.silences, 1);
            metrics::counter!("daybook_feed_silences_total").increment(1);
            self.leave();
            return Some("silence");
        }
        None
    }

    /// Reads on in the store; `false` if it has nothing more.
    async fn read_store(&mut self, why: &'static str) -> Result<bool, Error> {
        metrics::counter!("daybook_feed_store_reads_total", "reason" => why).increment(1);
        let chunk = self.shared.pages.read(self.seen).await?;
        let records = chunk.through(&self.door, self.seen);
        let count = self.pending.extend(records);
        self.count(|counts| &counts.from_store, count);
        metrics::counter!("daybook_feed_records_total", "source" => "store").increment(count);
        let moved = chunk.next > self.seen;
        self.seen = self.seen.max(chunk.next);
        if self.hole.is_some_and(|position| position <= self.seen) {
            self.hole = None;
        }
        if moved {
            self.advanced = Instant::now();
        }
        Ok(moved)
    }

    /// Waits for anything to happen, until `deadline`.
    async fn wait(&mut self, deadline: Instant) -> Result<(), Error> {
        let mut until = deadline;
        let behind = self.head.borrow_and_update().position > self.seen;
        if behind && self.away.is_none() {
            until = until.min(self.advanced + self.shared.options.silence);
        }
        if self.live.is_none() && self.opening.is_none() && self.retry > Instant::now() {
            until = until.min(self.retry);
        }
        let opening = async {
            match &mut self.opening {
                Some(opening) => opening.await,
                None => std::future::pending().await,
            }
        };
        let message = async {
            match &mut self.live {
                Some(live) => live.message().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            opened = opening => self.opened(opened),
            came = message => self.take_in(came),
            changed = self.head.changed() => changed.map_err(|_| Error::Closed)?,
            _ = self.heard.changed() => {}
            () = tokio::time::sleep_until(until.into()) => {}
        }
        Ok(())
    }

    fn page(&mut self, limit: usize) -> Page {
        let (records, last) = self.pending.take(limit);
        // After the pending records there may be others of the same command, so their position is not reported as seen.
        let next = match last {
            Some(last) => last,
            None => self.pending.before().unwrap_or(self.seen).max(self.after),
        };
        self.after = next;
        Page { records, next, head: self.head.borrow().position.max(next) }
    }
}

#[async_trait]
impl Feed for DoorFeed {
    fn seek(&mut self, after: Position) {
        *self = Self::new(Arc::clone(&self.shared), self.door.clone(), after);
    }

    async fn next(&mut self, limit: usize) -> Result<Page, Error> {
        let limit = limit.max(1);
        let deadline = Instant::now() + self.shared.options.idle;
        loop {
            self.drain(limit);
            self.prove().await;
            let progress = self.shared.current();
            self.follow(progress.as_ref());
            if self.pending.whole() > 0 {
                return Ok(self.page(limit));
            }
            if let Some(why) = self.wants_store(progress.as_ref())
                && self.read_store(why).await?
            {
                if self.pending.whole() > 0 {
                    return Ok(self.page(limit));
                }
                if Instant::now() < deadline {
                    continue;
                }
            }
            let proven = self.pending.before().unwrap_or(self.seen);
            if proven > self.after || Instant::now() >= deadline {
                return Ok(self.page(limit));
            }
            self.wait(deadline).await?;
        }
    }
}
