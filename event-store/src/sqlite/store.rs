//! The handle of a store that is open for writing: puts work on the writer's queue and reads. It must not touch the files
//! itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::condition::Condition;
use super::consumers::{self, ConsumerJob};
use super::index_state::Look;
use super::look_up;
use super::queue::{Job, Prepared, Reply};
use super::reader::{Part, Reader, Wanted};
use super::shared::Shared;
use super::snapshots;
use crate::append::{Batch, Pending, Receipt};
use crate::clock::TestClock;
use crate::consumer::{Checkpoint, ConsumerKey, ConsumerRow, Lease};
use crate::gathering::Announcement;
use crate::hash;
use crate::heads::key_of;
use crate::limits::{self, Weight};
use crate::recent::Found;
use crate::record::{Micros, Position, Record, StreamId, Version};
use crate::snapshot::Snapshot;
use crate::store::{Direction, Error, EventStore, Filter, Head, Page, Trouble};

/// An event store on SQLite, open for writing.
pub struct Store {
    shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
}

pub(super) struct Threads {
    pub(super) writer: JoinHandle<()>,
    pub(super) indexer: JoinHandle<()>,
    pub(super) checkpointer: JoinHandle<()>,
    pub(super) prover: JoinHandle<()>,
}

impl Threads {
    /// Waits for the writer, then lets the indexer finish.
    fn join(self, shared: &Shared) {
        shared.proof.stop();
        let _ = self.prover.join();
        let _ = self.writer.join();
        shared.checkpoints.stop();
        let _ = self.checkpointer.join();
        shared.tail.stop();
        let _ = self.indexer.join();
        shared.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Store {
    pub(super) fn new(shared: Arc<Shared>, threads: Threads) -> Self {
        Self { shared, threads: Mutex::new(Some(threads)) }
    }

    /// Writes the address into the lock file at which this process can be asked to do another's work.
    ///
    /// # Errors
    /// If the lock file cannot be written.
    pub fn set_url(&self, url: impl Into<String>) -> std::io::Result<()> {
        let mut lock = self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner);
        lock.as_mut().map_or(Ok(()), |lock| lock.describe(Some(url.into())))
    }

    /// Gets a reason once the writer has stopped unexpectedly: the outcome of its last group is then unknown, and only
    /// a new process, which reads the disk again, can continue.
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.shared.failed.subscribe()
    }

    /// What has been proved of the store since it was opened, and what it cannot do now.
    pub fn condition(&self) -> Condition {
        self.shared.condition()
    }

    /// What currently keeps the writer from writing; the writer or its callers retry.
    pub fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.shared.trouble.subscribe()
    }

    /// The last position that the index has.
    pub fn indexed_to(&self) -> Position {
        self.shared.tail.indexed_to()
    }

    /// Waits, on the calling thread, until the index has everything up to `position`; false if that takes longer than `limit`.
    pub fn wait_indexed(&self, position: Position, limit: Duration) -> bool {
        self.shared.tail.wait_indexed(position, limit)
    }

    fn enqueue(&self, batch: Batch) -> Pending {
        let weight = match limits::weigh(&batch) {
            Ok(weight) => weight,
            Err(error) => return Pending::ready(Err(error)),
        };
        let (reply, receiver) = oneshot::channel();
        let keys = batch.writes.iter().map(|write| key_of(&write.stream)).collect();
        let leaves = hash::leaves(&batch, weight.events);
        match self.shared.queue.push(Job::Append(Prepared { batch, keys, leaves, reply: Reply(reply) }), weight) {
            Ok(()) => Pending::returning(receiver),
            Err(error) => {
                metrics::counter!("daybook_store_refused_total").increment(1);
                Pending::ready(Err(error))
            }
        }
    }

    /// Reads with a connection from the pool.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Reader) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let answer = self.shared.readers.with(work).await;
        answer.inspect_err(|error| self.shared.proof.note(error))
    }

    /// Waits until all that is on the queue now is durable.
    async fn barrier(&self, floor: Option<Micros>) -> Result<Head, Error> {
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Barrier { floor, reply }, answer).await
    }

    async fn ask<T>(&self, job: Job, answer: oneshot::Receiver<Result<T, Error>>) -> Result<T, Error> {
        self.shared.queue.push(job, Weight::default())?;
        answer.await.unwrap_or_else(|_| Err(Error::Unknown("the writer stopped before it answered".into())))
    }
}

#[async_trait]
impl TestClock for Store {
    fn ahead(&self) -> Option<Micros> {
        self.shared.ahead.get()
    }

    async fn advance(&self, by: Micros) -> Result<Micros, Error> {
        self.shared.ahead.check(by)?;
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Advance { by, reply }, answer).await
    }
}

#[async_trait]
impl EventStore for Store {
    fn append(&self, batch: Batch) -> Pending {
        self.enqueue(batch)
    }

    fn announce(&self) -> Option<Announcement> {
        Some(self.shared.queue.announce())
    }

    async fn command(&self, command_id: Uuid) -> Result<Option<Receipt>, Error> {
        self.barrier(None).await?;
        let shared = Arc::clone(&self.shared);
        self.read(move |reader| {
            let Reader { log, index, names, .. } = reader;
            look_up::receipt(&shared, index, (log, names), command_id, false)
        })
        .await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Record>, Error> {
        metrics::counter!("daybook_store_reads_total", "of" => "stream").increment(1);
        let (shared, stream) = (Arc::clone(&self.shared), stream.clone());
        let part = Part { from, direction, limit };
        self.read(move |reader| {
            let key = key_of(&stream);
            let tail = shared.tail.stream(key);
            let wanted = Wanted { stream: &stream, key, tail: &tail };
            reader.stream(&shared.index, shared.dir(), &wanted, part)
        })
        .await
    }

    async fn stream_head(&self, stream: &StreamId) -> Result<Option<(Version, Uuid)>, Error> {
        let key = key_of(stream);
        if let Some(head) = self.shared.tail.head(key) {
            return Ok(Some((head.version, head.event_id)));
        }
        metrics::counter!("daybook_store_reads_total", "of" => "head").increment(1);
        let shared = Arc::clone(&self.shared);
        let head = self.read(move |reader| look_up::head(&shared, &mut reader.index, key)).await?;
        Ok(head.map(|head| (head.version, head.event_id)))
    }

    async fn read_log(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, Error> {
        let head = self.shared.head.borrow().position;
        if limit == 0 || after >= head {
            return Ok(Page { records: Vec::new(), next: after, head });
        }
        if let Found::Page(page) = self.shared.recent.page(after, filter, limit, head) {
            return Ok(page);
        }
        metrics::counter!("daybook_store_reads_total", "of" => "page").increment(1);
        let filter = filter.clone();
        self.read(move |reader| reader.page(after, &filter, limit, head)).await
    }

    async fn position_at(&self, instant: Micros) -> Result<Position, Error> {
        let mut head = *self.shared.head.borrow();
        if instant >= head.recorded_at {
            // A commit under way may belong before the instant: wait for it, and let none later do.
            head = self.barrier(Some(instant.min(self.now()))).await?;
            if instant >= head.recorded_at {
                return Ok(head.position);
            }
        }
        self.read(move |reader| reader.position_at(instant, head.position)).await
    }

    fn head(&self) -> watch::Receiver<Head> {
        self.shared.head.subscribe()
    }

    fn incarnation(&self) -> Uuid {
        self.shared.incarnation
    }

    fn now(&self) -> Micros {
        self.shared.now()
    }

    fn lease_clock(&self) -> Micros {
        self.shared.lease_clock()
    }

    async fn acquire(&self, key: &ConsumerKey, owner: &str, lease_us: Micros) -> Result<Option<ConsumerRow>, Error> {
        consumers::check_key(key, owner)?;
        let (reply, answer) = oneshot::channel();
        let job = ConsumerJob::Acquire { key: key.clone(), owner: owner.into(), lease_us, reply };
        self.ask(Job::Consumer(job), answer).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Consumer(ConsumerJob::Release { lease: lease.clone(), reply }), answer).await
    }

    async fn save(&self, lease: &Lease, checkpoint: Checkpoint) -> Result<(), Error> {
        consumers::check_size(&checkpoint)?;
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Consumer(ConsumerJob::Save { lease: lease.clone(), checkpoint, reply }), answer).await
    }

    async fn consumer(&self, key: &ConsumerKey) -> Result<Option<ConsumerRow>, Error> {
        let key = key.clone();
        self.shared.readers.with(move |reader| consumers::row(&reader.log, &key)).await
    }

    async fn consumers(&self, name: &str) -> Result<Vec<ConsumerRow>, Error> {
        let name = name.to_owned();
        self.shared.readers.with(move |reader| consumers::rows(&reader.log, &name)).await
    }

    async fn snapshot(&self, stream: &StreamId, fold: u32) -> Result<Option<Snapshot>, Error> {
        if let Some(snapshot) = self.shared.snapshots.get(stream, fold) {
            return Ok(Some(snapshot));
        }
        metrics::counter!("daybook_store_reads_total", "of" => "snapshot").increment(1);
        let (shared, stream) = (Arc::clone(&self.shared), stream.clone());
        self.read(move |reader| {
            let key = key_of(&stream);
            let look = |look: &Look<'_>| Ok(snapshots::stored(look.index(), key, fold)?);
            let Some((snapshot, proof)) = reader.index.look(&shared.index, shared.dir(), look)? else {
                return Ok(None);
            };
            let tail = shared.tail.stream(key);
            let wanted = Wanted { stream: &stream, key, tail: &tail };
            let part = Part { from: snapshot.version, direction: Direction::Forwards, limit: 1 };
            let record = reader.stream(&shared.index, shared.dir(), &wanted, part)?.pop();
            if record.is_some_and(|record| snapshots::holds(&snapshot, &proof, &record)) {
                return Ok(Some(snapshot));
            }
            shared.snapshots.refuse(&stream, fold, snapshot.version);
            Ok(None)
        })
        .await
    }

    fn keep_snapshot(&self, stream: StreamId, snapshot: Snapshot) {
        self.shared.snapshots.keep(stream, snapshot);
    }

    async fn close(&self) -> Result<(), Error> {
        self.shared.queue.close();
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(threads) = threads {
            let shared = Arc::clone(&self.shared);
            let joined = tokio::task::spawn_blocking(move || threads.join(&shared)).await;
            joined.map_err(|error| Error::Read(error.to_string()))?;
        }
        self.shared.recent.close();
        self.shared.readers.close().await;
        match &*self.shared.failed.borrow() {
            Some(reason) => Err(Error::Unknown(reason.clone())),
            None => Ok(()),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.queue.close();
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The queued jobs are written first: their callers may still be waiting.
        if let Some(threads) = threads {
            threads.join(&self.shared);
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", self.shared.dir()).finish_non_exhaustive()
    }
}
