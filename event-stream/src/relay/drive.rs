//! The active relay at work: finds the end of the stream, publishes the store's records after it, and reports progress.

use std::time::{Duration, Instant};

use event_store::consumer::{Checkpoint, ConsumerRow};
use event_store::record::Position;
use event_store::{Error, Filter, Page};
use tokio::sync::watch;

use super::Relay;
use super::batch::{self, Batch, Failure, Sender, Tail};
use super::generation::{self, Found, Generation};
use super::voice::Voice;

/// Records asked for at a time: one atomic batch.
const PAGE: usize = 1_000;
/// An idle relay looks at the stream this often, so that a lost one is noticed before the next record.
const LOOK: Duration = Duration::from_secs(1);
/// How often the checkpoint is saved. The interval only bounds how much of a loss the next relay overlooks; that is
/// harmless, because it publishes the lost records again.
const SAVE: Duration = Duration::from_secs(5);
/// Between attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// Why a relay stops being the active one.
#[derive(Debug)]
pub(super) enum Stop {
    /// Another is, or may be.
    LeaseLost,
    /// It has got nowhere for as long as the lease lasts.
    GaveUp(String),
}

/// Why an attempt ended.
enum Broken {
    LeaseLost,
    Retry(String),
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        match error {
            Error::LeaseLost => Self::LeaseLost,
            error => Self::Retry(error.to_string()),
        }
    }
}

impl From<String> for Broken {
    fn from(reason: String) -> Self {
        Self::Retry(reason)
    }
}

/// One term as the active relay.
pub(super) struct Drive<'a> {
    relay: &'a Relay,
    row: ConsumerRow,
    until: watch::Receiver<Instant>,
    generation: Option<Generation>,
    /// Whether the generation's stream is known to have been made.
    made: bool,
    /// The last position that the stream is known to have had.
    reached: Position,
    /// Where the stream ended when that was last known.
    tail: Option<Tail>,
    voice: Voice,
    looked: Instant,
    saved: Instant,
    advanced: Instant,
}

impl<'a> Drive<'a> {
    pub(super) fn new(relay: &'a Relay, row: ConsumerRow, until: watch::Receiver<Instant>) -> Self {
        // A state that cannot be read is that of no generation: a new one begins, with a number that no stream has.
        let generation = serde_json::from_slice(&row.checkpoint.state).ok();
        let now = Instant::now();
        Self {
            relay,
            reached: row.checkpoint.position,
            row,
            until,
            made: generation.is_some(),
            generation,
            tail: None,
            voice: Voice::new(),
            looked: now,
            saved: now,
            advanced: now,
        }
    }

    pub(super) async fn run(&mut self) -> Stop {
        loop {
            let Err(broken) = self.attempt().await;
            let reason = match broken {
                Broken::LeaseLost => return Stop::LeaseLost,
                Broken::Retry(reason) => reason,
            };
            if self.advanced.elapsed() > self.relay.options.lease {
                return Stop::GaveUp(reason);
            }
            tracing::debug!(reason, "the relay retries");
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn attempt(&mut self) -> Result<std::convert::Infallible, Broken> {
        let mut tail = self.resume().await?;
        let store = &self.relay.store;
        let mut head = store.head();
        let mut ahead: Option<Page> = None;
        loop {
            // Armed before the log is read, so that no wake-up is lost.
            head.borrow_and_update();
            let page = match ahead.take() {
                Some(page) => page,
                None => self.read(tail.position).await?,
            };
            let lag = page.head.saturating_sub(tail.position);
            metrics::gauge!("daybook_relay_lag_events").set(lag as f64);
            if page.records.is_empty() {
                self.idle(&tail, &mut head).await?;
                continue;
            }
            let batches = self.compose(&page, tail.clone())?;
            if page.next < page.head {
                // There is more: it is read while this is on its way.
                let relay = self.relay;
                let filter = Filter::default();
                let reading = relay.store.read_log(page.next, &filter, PAGE);
                let (published, read) = tokio::join!(self.publish(batches), reading);
                tail = published?;
                ahead = Some(read?);
            } else {
                tail = self.publish(batches).await?;
            }
            self.voice.has_news();
            self.say(&tail).await;
            self.save_sometimes().await?;
        }
    }

    async fn read(&self, after: Position) -> Result<Page, Broken> {
        let store = &self.relay.store;
        Ok(store.read_log(after, &Filter::default(), PAGE).await?)
    }

    fn compose(&self, page: &Page, tail: Tail) -> Result<Vec<Batch>, Broken> {
        let sender = Sender {
            generation: self.number(),
            incarnation: self.relay.store.incarnation(),
            epoch: self.row.lease.epoch,
            correlate: &self.relay.correlate,
        };
        let composed = sender.compose(&page.records, tail);
        composed.map_err(|error| Broken::Retry(error.to_string()))
    }

    async fn publish(&mut self, batches: Vec<Batch>) -> Result<Tail, Broken> {
        let mut tail = None;
        for batch in batches {
            // Stopping without a lease loses nothing; the expected sequence below keeps the stream correct.
            if Instant::now() >= *self.until.borrow() {
                return Err(Broken::LeaseLost);
            }
            if let Some(hook) = &self.relay.options.hook {
                hook(self.row.lease.epoch);
            }
            let count = batch.len() as u64;
            let base = self.generation.as_ref().map_or(0, |known| known.base);
            let last = self.reached - base;
            let began = Instant::now();
            match batch::publish(&self.relay.connection, batch, last).await {
                Ok(after) => {
                    self.reached = after.position;
                    self.tail = Some(after.clone());
                    self.advanced = Instant::now();
                    metrics::counter!("daybook_relay_published_total").increment(count);
                    metrics::histogram!("daybook_relay_batch_events").record(count as f64);
                    metrics::histogram!("daybook_relay_publish_seconds").record(began.elapsed().as_secs_f64());
                    self.relay.status.send_modify(|status| {
                        status.published = after.position;
                        status.records += count;
                    });
                    tail = Some(after);
                }
                Err(failure) => return Err(self.failed(failure)),
            }
        }
        tail.ok_or_else(|| Broken::Retry("the relay published nothing".into()))
    }

    fn failed(&self, failure: Failure) -> Broken {
        metrics::counter!("daybook_relay_publish_failures_total").increment(1);
        self.relay.status.send_modify(|status| match failure {
            Failure::Refused => status.refused += 1,
            Failure::No(_) | Failure::Unknown(_) => status.failed += 1,
        });
        tracing::warn!(
            error = %failure,
            relay.epoch = self.row.lease.epoch,
            "a batch was not published; it is retried, see docs/operations.md, 'NATS is away'"
        );
        Broken::Retry(failure.to_string())
    }

    async fn idle(&mut self, tail: &Tail, head: &mut watch::Receiver<event_store::Head>) -> Result<(), Broken> {
        self.advanced = Instant::now();
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            match self.inspect().await? {
                Found::Tail(found) if found.position == tail.position => {}
                Found::Newer(_) => return Err(Broken::LeaseLost),
                found => return Err(Broken::Retry(format!("the stream has changed: {found:?}"))),
            }
        }
        self.say(tail).await;
        self.save_sometimes().await?;
        let wait = self.voice.pause();
        tokio::select! {
            changed = head.changed() => changed.map_err(|_| Broken::Retry("the store is closed".into())),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    /// Where the stream ends; of a new generation if the old one cannot be gone on with.
    async fn resume(&mut self) -> Result<Tail, Broken> {
        self.relay.connection.check().await.map_err(|e| e.to_string())?;
        if !self.made {
            self.begin().await?;
        }
        let mut tail = match self.inspect().await? {
            Found::Tail(tail) => *tail,
            Found::Newer(epoch) => {
                tracing::warn!(
                    relay.epoch = self.row.lease.epoch,
                    newer = epoch,
                    "a newer relay has published; this one stands by, nothing to do"
                );
                return Err(Broken::LeaseLost);
            }
            Found::Unusable(reason) => {
                tracing::warn!(
                    generation = self.number(),
                    reason,
                    "the event stream cannot be continued; a new generation begins from the log, nothing to do"
                );
                self.generation = None;
                self.made = false;
                self.begin().await?;
                match self.inspect().await? {
                    Found::Tail(tail) => *tail,
                    found => {
                        return Err(Broken::Retry(format!("the new stream is not as created: {found:?}")));
                    }
                }
            }
        };
        if let Some(known) = self.tail.take().filter(|known| known.position == tail.position) {
            tail = known;
        }
        self.reached = tail.position;
        self.tail = Some(tail.clone());
        self.looked = Instant::now();
        self.voice.has_news();
        metrics::gauge!("daybook_relay_generation").set(self.number() as f64);
        self.relay.status.send_modify(|status| {
            status.generation = self.number();
            status.base = self.generation.as_ref().map_or(0, |known| known.base);
            status.published = tail.position;
        });
        Ok(tail)
    }

    async fn begin(&mut self) -> Result<(), Broken> {
        let relay = self.relay;
        let generation = match self.generation.take() {
            Some(generation) => generation,
            None => {
                let row: Option<Generation> = serde_json::from_slice(&self.row.checkpoint.state).ok();
                let row = row.map_or(0, |row| row.number);
                let number = generation::next_number(&relay.connection, row).await?;
                let head = *relay.store.head().borrow();
                let generation = generation::at_head(number, head);
                // Saved before the stream is created: a number is never used twice, and a relay that lost its lease is
                // refused here.
                let checkpoint = Checkpoint {
                    position: head.position,
                    hash: head.hash,
                    state: serde_json::to_vec(&generation).unwrap_or_default().into(),
                };
                relay.store.save(&self.row.lease, checkpoint.clone()).await?;
                self.row.checkpoint = checkpoint;
                generation
            }
        };
        self.reached = generation.base;
        self.generation = Some(generation.clone());
        generation.create(&relay.connection, &*relay.store, &relay.options).await?;
        self.made = true;
        tracing::info!(generation = generation.number, base = generation.base, "a new generation of the event stream");
        relay.status.send_modify(|status| status.generations_begun += 1);
        if let Err(reason) = generation::forget_old(&relay.connection, &*relay.store, generation.number).await {
            tracing::warn!(
                reason,
                "old generations could not be deleted now; they stay until the next generation begins or their age \
                 ends, nothing to do"
            );
        }
        Ok(())
    }

    async fn inspect(&self) -> Result<Found, Broken> {
        let Some(generation) = &self.generation else {
            return Ok(Found::Unusable("there is none".into()));
        };
        let relay = self.relay;
        let epoch = self.row.lease.epoch;
        Ok(generation.inspect(&relay.connection, &*relay.store, epoch, self.reached).await?)
    }

    /// Publishes the stream's progress, unless it was published recently.
    async fn say(&mut self, tail: &Tail) {
        if let Some(generation) = &self.generation {
            let epoch = self.row.lease.epoch;
            self.voice.say(self.relay, generation, epoch, tail).await;
        }
    }

    async fn save_sometimes(&mut self) -> Result<(), Broken> {
        if self.saved.elapsed() >= SAVE {
            self.saved = Instant::now();
            self.save().await?;
        }
        Ok(())
    }

    /// Moves the row to where the stream is.
    pub(super) async fn save(&mut self) -> Result<(), Error> {
        let Some(tail) = self.tail.clone() else {
            return Ok(());
        };
        if tail.position == self.row.checkpoint.position {
            return Ok(());
        }
        let checkpoint =
            Checkpoint { position: tail.position, hash: tail.hash, state: self.row.checkpoint.state.clone() };
        self.relay.store.save(&self.row.lease, checkpoint.clone()).await?;
        self.row.checkpoint = checkpoint;
        Ok(())
    }

    fn number(&self) -> u64 {
        self.generation.as_ref().map_or(0, |known| known.number)
    }
}
