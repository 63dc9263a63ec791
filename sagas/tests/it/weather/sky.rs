//! A store in bad weather: by a seed it refuses, fills up, stalls, and leaves open whether it did what was asked of it. It keeps its word as a
//! real one does: what it says was not done was not done, appends keep their order, and the same id again has the same outcome.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use event_store::append::{Batch, Outcome, Pending, Receipt};
use event_store::consumer::{Checkpoint, ConsumerKey, ConsumerRow, Lease};
use event_store::record::{Micros, Position, Record, StreamId, Version};
use event_store::{Direction, Error, EventStore, Filter, Page};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// What can go wrong. Each has to happen, or nothing is proved about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// An append is refused for now.
    Refused,
    /// An append finds the disk full.
    Full,
    /// There is room again.
    Room,
    /// Nobody knows of an append that was done.
    UnknownDone,
    /// Nobody knows of an append that was not done.
    UnknownNotDone,
    /// An append, and all behind it, waits before it is done.
    Stalled,
    /// An append is done and answered late.
    AnsweredLate,
    /// A read waits.
    ReadStalled,
    /// A read is refused for now.
    ReadRefused,
    /// A lease or a checkpoint is refused for now.
    RowRefused,
    /// Nobody knows of a lease or a checkpoint that was written.
    RowUnknown,
}

/// Those that an append meets.
pub(super) const OF_APPENDS: [Fault; 6] =
    [Fault::Refused, Fault::Full, Fault::UnknownDone, Fault::UnknownNotDone, Fault::Stalled, Fault::AnsweredLate];
/// The others.
pub(super) const OTHERS: [Fault; 5] =
    [Fault::Room, Fault::ReadStalled, Fault::ReadRefused, Fault::RowRefused, Fault::RowUnknown];

/// Whose it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whose {
    /// What a saga decided.
    Saga,
    /// What a service carried out for a saga, the payment worker or a client.
    Service,
    /// A read, a lease or a checkpoint.
    Other,
}

pub(super) type Happened = BTreeMap<(Whose, Fault), u32>;

struct Job {
    batch: Batch,
    answer: oneshot::Sender<Result<Outcome, Error>>,
}

/// The store.
pub(super) struct Weather {
    sky: Arc<Sky>,
    /// Appends are taken one after the other, so that one that stalls keeps its place.
    queue: mpsc::UnboundedSender<Job>,
}

struct Sky {
    inner: Arc<dyn EventStore>,
    clear: AtomicBool,
    random: Mutex<StdRng>,
    full_until: Mutex<Option<Instant>>,
    happened: Mutex<Happened>,
}

impl Weather {
    pub(super) fn new(inner: Arc<dyn EventStore>, seed: u64) -> Arc<Self> {
        let (queue, jobs) = mpsc::unbounded_channel();
        let random = Mutex::new(StdRng::seed_from_u64(seed));
        let (full_until, happened) = Default::default();
        let sky = Arc::new(Sky { inner, clear: AtomicBool::new(false), random, full_until, happened });
        tokio::spawn(sky.clone().appends(jobs));
        Arc::new(Self { sky, queue })
    }

    /// The storm is over.
    pub(super) fn clears(&self) {
        self.sky.clear.store(true, Ordering::SeqCst);
    }

    pub(super) fn happened(&self) -> Happened {
        self.sky.happened.lock().unwrap().clone()
    }
}

impl Sky {
    fn clear(&self) -> bool {
        self.clear.load(Ordering::SeqCst)
    }

    fn count(&self, whose: Whose, fault: Fault) {
        *self.happened.lock().unwrap().entry((whose, fault)).or_default() += 1;
    }

    fn percent(&self) -> u32 {
        self.random.lock().unwrap().random_range(0..100)
    }

    fn wait(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.random.lock().unwrap().random_range(least..=most))
    }

    /// Whether the disk is full. It fills up now and then.
    fn is_full(&self) -> bool {
        if self.clear() {
            return false;
        }
        let mut full = self.full_until.lock().unwrap();
        match *full {
            Some(until) if Instant::now() < until => return true,
            Some(_) => {
                self.count(Whose::Other, Fault::Room);
                *full = None;
            }
            None if self.percent() < 1 => *full = Some(Instant::now() + self.wait(40, 160)),
            None => {}
        }
        full.is_some()
    }

    async fn appends(self: Arc<Self>, mut jobs: mpsc::UnboundedReceiver<Job>) {
        while let Some(job) = jobs.recv().await {
            self.append(job).await;
        }
    }

    async fn append(self: &Arc<Self>, Job { batch, answer }: Job) {
        let saga = batch.writes.iter().any(|write| &*write.stream.category == domain::stream::SAGA);
        let whose = if saga { Whose::Saga } else { Whose::Service };
        let mut late = None;
        let mut unknown = false;
        let refused = if self.clear() {
            None
        } else if self.is_full() {
            Some((Fault::Full, Error::NotNow("the disk is full".into())))
        } else {
            match self.percent() {
                0..6 => Some((Fault::Refused, Error::NotNow("a lock was not to be had".into()))),
                6..11 => Some((Fault::UnknownNotDone, Error::Unknown("the connection broke before it".into()))),
                11..18 => {
                    unknown = true;
                    None
                }
                18..21 => {
                    self.count(whose, Fault::Stalled);
                    tokio::time::sleep(self.wait(5, 60)).await;
                    None
                }
                21..26 => {
                    self.count(whose, Fault::AnsweredLate);
                    late = Some(self.wait(5, 120));
                    None
                }
                _ => None,
            }
        };
        if let Some((fault, error)) = refused {
            self.count(whose, fault);
            // Nobody may wait for it any more.
            let _gone = answer.send(Err(error));
            return;
        }
        let pending = self.inner.append(batch);
        let sky = self.clone();
        tokio::spawn(async move {
            let mut outcome = pending.await;
            if let Some(late) = late {
                tokio::time::sleep(late).await;
            }
            if unknown && matches!(outcome, Ok(Outcome::Appended(_))) {
                sky.count(whose, Fault::UnknownDone);
                outcome = Err(Error::Unknown("the connection broke after it".into()));
            }
            let _gone = answer.send(outcome);
        });
    }

    /// Before a read.
    async fn reads(&self) -> Result<(), Error> {
        if self.clear() {
            return Ok(());
        }
        match self.percent() {
            0..3 => {
                self.count(Whose::Other, Fault::ReadStalled);
                tokio::time::sleep(self.wait(5, 60)).await;
                Ok(())
            }
            3..5 => {
                self.count(Whose::Other, Fault::ReadRefused);
                Err(Error::Read("the connection is lost".into()))
            }
            _ => Ok(()),
        }
    }

    /// Before a lease or a checkpoint is written: whether nobody will know that it was.
    fn writes_row(&self) -> Result<bool, Error> {
        if self.clear() {
            return Ok(false);
        }
        if self.is_full() || self.percent() < 8 {
            self.count(Whose::Other, Fault::RowRefused);
            return Err(Error::NotNow("the disk is full".into()));
        }
        Ok(self.percent() < 25)
    }

    fn row<T>(&self, unknown: bool, written: Result<T, Error>) -> Result<T, Error> {
        if unknown && written.is_ok() {
            self.count(Whose::Other, Fault::RowUnknown);
            return Err(Error::Unknown("the connection broke after it".into()));
        }
        written
    }
}

#[async_trait]
impl event_store::Layer for Weather {
    fn below(&self) -> &dyn EventStore {
        &*self.sky.inner
    }

    fn append(&self, batch: Batch) -> Pending {
        let (answer, pending) = oneshot::channel();
        self.queue.send(Job { batch, answer }).unwrap();
        Pending::waiting(pending)
    }

    async fn command(&self, command_id: Uuid) -> Result<Option<Receipt>, Error> {
        self.sky.reads().await?;
        self.sky.inner.command(command_id).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Record>, Error> {
        self.sky.reads().await?;
        self.sky.inner.read_stream(stream, from, direction, limit).await
    }

    async fn stream_head(&self, stream: &StreamId) -> Result<Option<(Version, Uuid)>, Error> {
        self.sky.reads().await?;
        self.sky.inner.stream_head(stream).await
    }

    async fn read_log(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, Error> {
        self.sky.reads().await?;
        self.sky.inner.read_log(after, filter, limit).await
    }

    async fn position_at(&self, instant: Micros) -> Result<Position, Error> {
        self.sky.reads().await?;
        self.sky.inner.position_at(instant).await
    }

    async fn acquire(&self, key: &ConsumerKey, owner: &str, lease_us: Micros) -> Result<Option<ConsumerRow>, Error> {
        let unknown = self.sky.writes_row()?;
        let row = self.sky.inner.acquire(key, owner, lease_us).await;
        self.sky.row(unknown, row)
    }

    async fn save(&self, lease: &Lease, checkpoint: Checkpoint) -> Result<(), Error> {
        let unknown = self.sky.writes_row()?;
        let saved = self.sky.inner.save(lease, checkpoint).await;
        self.sky.row(unknown, saved)
    }

    async fn consumer(&self, key: &ConsumerKey) -> Result<Option<ConsumerRow>, Error> {
        self.sky.reads().await?;
        self.sky.inner.consumer(key).await
    }

    async fn consumers(&self, name: &str) -> Result<Vec<ConsumerRow>, Error> {
        self.sky.reads().await?;
        self.sky.inner.consumers(name).await
    }
}
