//! A log that no store would write: a real store's records, changed on the way to the reader.

use std::sync::Arc;

use async_trait::async_trait;
use event_store::append::{Batch, Pending, Receipt};
use event_store::consumer::{Checkpoint, ConsumerKey, ConsumerRow, Lease};
use event_store::record::{Micros, Position, Record, StreamId, Version};
use event_store::snapshot::Snapshot;
use event_store::sqlite::Store;
use event_store::{Direction, Error, EventStore, Filter, Head, Page, hash};
use tokio::sync::watch;
use uuid::Uuid;

use super::given::Given;

/// Shows other records than its store has. All else is the store's.
pub(super) struct Doctored {
    inner: Arc<Store>,
    pub(super) records: Vec<Record>,
    pub(super) head: Position,
    pub(super) damaged: bool,
}

impl Doctored {
    /// The store's own records, so far.
    pub(super) async fn of(given: &Given) -> Self {
        let page = given.store.read_log(0, &Filter::default(), 10_000).await.unwrap();
        Self { inner: Arc::clone(&given.store), records: page.records, head: page.head, damaged: false }
    }

    /// Chains what is there anew, and ends the log where it ends: whoever changed it took care that the hashes fit.
    pub(super) fn rechained(mut self) -> Self {
        let mut previous = hash::START;
        for record in &mut self.records {
            let leaf = hash::leaf_of(record);
            record.hash = hash::chain(&previous, record.position, record.recorded_at, &leaf);
            previous = record.hash;
        }
        self.head = self.records.last().map_or(0, |record| record.position);
        self
    }

    /// Puts a copy of a record at the end, as another event of its own, changed as told.
    pub(super) fn with_copy(mut self, of: usize, change: impl FnOnce(&mut Record)) -> Self {
        let mut copy = self.records[of].clone();
        let last = self.records.last().unwrap();
        copy.position = last.position + 1;
        copy.recorded_at = last.recorded_at + 1;
        copy.event_id = Uuid::now_v7();
        change(&mut copy);
        self.records.push(copy);
        self.rechained()
    }
}

#[async_trait]
impl EventStore for Doctored {
    fn append(&self, batch: Batch) -> Pending {
        self.inner.append(batch)
    }

    async fn command(&self, command_id: Uuid) -> Result<Option<Receipt>, Error> {
        self.inner.command(command_id).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Record>, Error> {
        self.inner.read_stream(stream, from, direction, limit).await
    }

    async fn stream_head(&self, stream: &StreamId) -> Result<Option<(Version, Uuid)>, Error> {
        self.inner.stream_head(stream).await
    }

    async fn read_log(&self, after: Position, _: &Filter, limit: usize) -> Result<Page, Error> {
        if self.damaged {
            return Err(Error::Damaged { position: 1, what: "it says so itself".into() });
        }
        let records: Vec<Record> = self
            .records
            .iter()
            .skip_while(|record| after > 0 && record.position <= after)
            .take(limit)
            .cloned()
            .collect();
        Ok(Page { next: records.last().map_or(after, |record| record.position), records, head: self.head })
    }

    async fn position_at(&self, instant: Micros) -> Result<Position, Error> {
        self.inner.position_at(instant).await
    }

    fn head(&self) -> watch::Receiver<Head> {
        self.inner.head()
    }

    fn incarnation(&self) -> Uuid {
        self.inner.incarnation()
    }

    fn now(&self) -> Micros {
        self.inner.now()
    }

    async fn acquire(&self, key: &ConsumerKey, owner: &str, lease_us: Micros) -> Result<Option<ConsumerRow>, Error> {
        self.inner.acquire(key, owner, lease_us).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        self.inner.release(lease).await
    }

    async fn save(&self, lease: &Lease, checkpoint: Checkpoint) -> Result<(), Error> {
        self.inner.save(lease, checkpoint).await
    }

    async fn consumer(&self, key: &ConsumerKey) -> Result<Option<ConsumerRow>, Error> {
        self.inner.consumer(key).await
    }

    async fn consumers(&self, name: &str) -> Result<Vec<ConsumerRow>, Error> {
        self.inner.consumers(name).await
    }

    async fn snapshot(&self, stream: &StreamId, fold: u32) -> Result<Option<Snapshot>, Error> {
        self.inner.snapshot(stream, fold).await
    }

    fn keep_snapshot(&self, stream: StreamId, snapshot: Snapshot) {
        self.inner.keep_snapshot(stream, snapshot);
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }
}
