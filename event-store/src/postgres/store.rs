//! The handle of a store: puts work on the writer's queue and reads.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::queue::{Job, Prepared};
use super::shared::Shared;
use super::{consumers, reader, snapshots, test_clock};
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

/// How far this process' idea of the server's clock may be ahead of it, in microseconds: much more than it ever is.
const ESTIMATE: u64 = 1_000_000;

/// How near the head a follower is for whom what is missing in memory is read into it; one that is farther behind reads by itself.
const NEAR: Position = 4_096;

/// An event store on PostgreSQL, open for writing, or for reading only. Any number of processes may have it open at once.
pub struct Store {
    pub(super) shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// With its writer, or without one to read only.
    pub(super) fn new(shared: Arc<Shared>, writer: Option<JoinHandle<()>>) -> Self {
        Self { shared, writer: Mutex::new(writer) }
    }

    /// Refuses what would be written where nothing is.
    fn writes(&self) -> Result<(), Error> {
        if self.shared.reads_only { Err(Error::Never("the store is open for reading only".into())) } else { Ok(()) }
    }

    /// Gets a reason once the store has stopped because the database no longer holds the log that was opened: only a
    /// new process, which reads the database again, can continue.
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.shared.failed.subscribe()
    }

    /// What currently keeps the writer from writing; the writer or its callers retry.
    pub fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.shared.trouble.subscribe()
    }

    /// Becomes the reason while the database cannot be reached or does not answer; none again once it does.
    pub fn away(&self) -> watch::Receiver<Option<String>> {
        self.shared.away.subscribe()
    }

    fn enqueue(&self, batch: Batch) -> Pending {
        if let Err(error) = self.writes() {
            return Pending::ready(Err(error));
        }
        let weight = match limits::weigh(&batch) {
            Ok(weight) => weight,
            Err(error) => return Pending::ready(Err(error)),
        };
        let (reply, receiver) = oneshot::channel();
        let keys = batch.writes.iter().map(|write| key_of(&write.stream)).collect();
        let leaves = hash::leaves(&batch, weight.events);
        let job = Job::Append(Prepared { batch, keys, leaves, reply });
        match self.shared.queue.push(job, weight) {
            Ok(()) => Pending::returning(receiver),
            Err(error) => {
                metrics::counter!("daybook_store_refused_total").increment(1);
                Pending::ready(Err(error))
            }
        }
    }

    /// A page from memory. What another process wrote lately is read once, for all followers of this process.
    async fn recent(&self, after: Position, filter: &Filter, limit: usize, head: Position) -> Option<Page> {
        let recent = &self.shared.recent;
        if limit == 0 || after >= head {
            return None;
        }
        loop {
            let missing = match recent.page(after, filter, limit, head) {
                Found::Page(page) => return Some(page),
                Found::UpTo(position) => position,
            };
            if head - missing > NEAR || self.shared.options.recent_bytes == 0 {
                return None;
            }
            let _alone = self.shared.fetching.lock().await;
            if recent.has(missing + 1) {
                continue;
            }
            metrics::counter!("daybook_store_reads_total", "of" => "page").increment(1);
            // Where a record does not fit, a filter may still pass over it.
            let fetched = reader::page(&self.shared, missing, &Filter::default(), NEAR as usize, head).await.ok()?;
            recent.put(fetched.records);
            if !recent.has(missing + 1) {
                // It was more than is kept.
                return None;
            }
        }
    }

    /// Waits until all appends that are queued now, and those in progress in other processes, are decided; returns the
    /// head and the time at that moment. On a read-only store it returns the current head at once.
    async fn barrier(&self, floor: Option<Micros>) -> Result<(Head, Micros), Error> {
        if self.shared.reads_only {
            return Ok((reader::head(&self.shared).await?, self.now()));
        }
        let (reply, answer) = oneshot::channel();
        let job = Job::Barrier { floor, reply };
        self.shared.queue.push(job, Weight::default())?;
        answer.await.unwrap_or_else(|_| Err(Error::Unknown("the writer stopped before it answered".into())))
    }
}

#[async_trait]
impl TestClock for Store {
    fn ahead(&self) -> Option<Micros> {
        self.shared.clock.ahead.get()
    }

    async fn advance(&self, by: Micros) -> Result<Micros, Error> {
        self.writes()?;
        test_clock::advance(&self.shared, by).await
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
        reader::command(&self.shared, command_id).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Record>, Error> {
        metrics::counter!("daybook_store_reads_total", "of" => "stream").increment(1);
        reader::stream(&self.shared, stream, from, direction, limit).await
    }

    async fn stream_head(&self, stream: &StreamId) -> Result<Option<(Version, Uuid)>, Error> {
        metrics::counter!("daybook_store_reads_total", "of" => "head").increment(1);
        reader::stream_head(&self.shared, stream).await
    }

    async fn read_log(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, Error> {
        let mut head = self.shared.head.borrow().position;
        if after >= head && limit > 0 {
            // The caller may have seen another process's commit before the watcher did.
            head = reader::head(&self.shared).await?.position;
        }
        if let Some(page) = self.recent(after, filter, limit, head).await {
            return Ok(page);
        }
        metrics::counter!("daybook_store_reads_total", "of" => "page").increment(1);
        reader::page(&self.shared, after, filter, limit, head).await
    }

    /// All processes record by the server's clock, read under the head's lock. So once this process has held the lock
    /// with nothing in progress, no process will record anything at an instant that the clock had passed by then, as
    /// long as that clock is not set back. This process's estimate of the clock may be ahead by one message delay; it
    /// then waits and asks again.
    async fn position_at(&self, instant: Micros) -> Result<Position, Error> {
        let mut head = *self.shared.head.borrow();
        if instant >= head.recorded_at {
            let asked = instant.min(self.now());
            loop {
                let (then, now) = self.barrier(Some(asked)).await?;
                head = then;
                let ahead = u64::try_from(asked.saturating_sub(now)).unwrap_or(0);
                // An instant further ahead than any estimation error is in the future, and nothing is promised about
                // it.
                if asked < now || ahead > ESTIMATE {
                    break;
                }
                tokio::time::sleep(Duration::from_micros(ahead + 1_000)).await;
            }
            if instant >= head.recorded_at {
                return Ok(head.position);
            }
        }
        reader::position_at(&self.shared, instant, head.position).await
    }

    fn head(&self) -> watch::Receiver<Head> {
        self.shared.head.subscribe()
    }

    fn incarnation(&self) -> Uuid {
        self.shared.incarnation
    }

    fn now(&self) -> Micros {
        self.shared.clock.now()
    }

    fn lease_clock(&self) -> Micros {
        self.shared.clock.for_leases()
    }

    async fn acquire(&self, key: &ConsumerKey, owner: &str, lease_us: Micros) -> Result<Option<ConsumerRow>, Error> {
        self.writes()?;
        consumers::acquire(&self.shared, key, owner, lease_us).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        self.writes()?;
        consumers::release(&self.shared, lease).await
    }

    async fn save(&self, lease: &Lease, checkpoint: Checkpoint) -> Result<(), Error> {
        self.writes()?;
        consumers::save(&self.shared, lease, checkpoint).await
    }

    async fn consumer(&self, key: &ConsumerKey) -> Result<Option<ConsumerRow>, Error> {
        consumers::row(&self.shared, key).await
    }

    async fn consumers(&self, name: &str) -> Result<Vec<ConsumerRow>, Error> {
        consumers::rows(&self.shared, name).await
    }

    async fn snapshot(&self, stream: &StreamId, fold: u32) -> Result<Option<Snapshot>, Error> {
        metrics::counter!("daybook_store_reads_total", "of" => "snapshot").increment(1);
        snapshots::newest(&self.shared, stream, fold).await
    }

    fn keep_snapshot(&self, stream: StreamId, snapshot: Snapshot) {
        if !self.shared.reads_only {
            self.shared.snapshots.keep(stream, snapshot);
        }
    }

    async fn close(&self) -> Result<(), Error> {
        self.shared.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            writer.await.map_err(|error| Error::Unknown(error.to_string()))?;
        }
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        self.shared.recent.close();
        self.shared.pool.close().await;
        match &*self.shared.failed.borrow() {
            Some(reason) => Err(Error::Unknown(reason.clone())),
            None => Ok(()),
        }
    }
}

/// The writer's task still writes the queue, and then the other tasks end.
impl Drop for Store {
    fn drop(&mut self) {
        self.shared.queue.close();
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let shared = Arc::clone(&self.shared);
        if let (Some(writer), Ok(runtime)) = (writer, tokio::runtime::Handle::try_current()) {
            drop(runtime.spawn(async move {
                let _ = writer.await;
                shared.stop.cancel();
            }));
        } else {
            shared.stop.cancel();
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("incarnation", &self.shared.incarnation).finish_non_exhaustive()
    }
}
