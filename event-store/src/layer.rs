//! A store that wraps another and changes a part of its behaviour; all other operations pass through.

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use crate::append::{Batch, Pending, Receipt};
use crate::consumer::{Checkpoint, ConsumerKey, ConsumerRow, Lease};
use crate::gathering::Announcement;
use crate::record::{Micros, Position, Record, StreamId, Version};
use crate::snapshot::Snapshot;
use crate::{Direction, Error, EventStore, Filter, Head, Page};

/// A store that wraps another one. Each operation calls the wrapped store unless the layer overrides it, so a layer
/// implements only its changes. Every layer is an [`EventStore`]; semantics and errors of the operations are those of
/// the contract.
#[async_trait]
#[expect(missing_docs, reason = "each operation is documented at the contract")]
pub trait Layer: Send + Sync + 'static {
    /// The store below.
    fn below(&self) -> &dyn EventStore;

    fn append(&self, batch: Batch) -> Pending {
        self.below().append(batch)
    }

    fn announce(&self) -> Option<Announcement> {
        self.below().announce()
    }

    async fn command(&self, command_id: Uuid) -> Result<Option<Receipt>, Error> {
        self.below().command(command_id).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Record>, Error> {
        self.below().read_stream(stream, from, direction, limit).await
    }

    async fn stream_head(&self, stream: &StreamId) -> Result<Option<(Version, Uuid)>, Error> {
        self.below().stream_head(stream).await
    }

    async fn read_log(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, Error> {
        self.below().read_log(after, filter, limit).await
    }

    async fn position_at(&self, instant: Micros) -> Result<Position, Error> {
        self.below().position_at(instant).await
    }

    fn head(&self) -> watch::Receiver<Head> {
        self.below().head()
    }

    fn incarnation(&self) -> Uuid {
        self.below().incarnation()
    }

    fn now(&self) -> Micros {
        self.below().now()
    }

    fn lease_clock(&self) -> Micros {
        self.below().lease_clock()
    }

    async fn acquire(&self, key: &ConsumerKey, owner: &str, lease_us: Micros) -> Result<Option<ConsumerRow>, Error> {
        self.below().acquire(key, owner, lease_us).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        self.below().release(lease).await
    }

    async fn save(&self, lease: &Lease, checkpoint: Checkpoint) -> Result<(), Error> {
        self.below().save(lease, checkpoint).await
    }

    async fn consumer(&self, key: &ConsumerKey) -> Result<Option<ConsumerRow>, Error> {
        self.below().consumer(key).await
    }

    async fn consumers(&self, name: &str) -> Result<Vec<ConsumerRow>, Error> {
        self.below().consumers(name).await
    }

    async fn snapshot(&self, stream: &StreamId, fold: u32) -> Result<Option<Snapshot>, Error> {
        self.below().snapshot(stream, fold).await
    }

    fn keep_snapshot(&self, stream: StreamId, snapshot: Snapshot) {
        self.below().keep_snapshot(stream, snapshot);
    }

    async fn close(&self) -> Result<(), Error> {
        self.below().close().await
    }
}

#[async_trait]
impl<L: Layer> EventStore for L {
    fn append(&self, batch: Batch) -> Pending {
        Layer::append(self, batch)
    }

    fn announce(&self) -> Option<Announcement> {
        Layer::announce(self)
    }

    async fn command(&self, command_id: Uuid) -> Result<Option<Receipt>, Error> {
        Layer::command(self, command_id).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Record>, Error> {
        Layer::read_stream(self, stream, from, direction, limit).await
    }

    async fn stream_head(&self, stream: &StreamId) -> Result<Option<(Version, Uuid)>, Error> {
        Layer::stream_head(self, stream).await
    }

    async fn read_log(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, Error> {
        Layer::read_log(self, after, filter, limit).await
    }

    async fn position_at(&self, instant: Micros) -> Result<Position, Error> {
        Layer::position_at(self, instant).await
    }

    fn head(&self) -> watch::Receiver<Head> {
        Layer::head(self)
    }

    fn incarnation(&self) -> Uuid {
        Layer::incarnation(self)
    }

    fn now(&self) -> Micros {
        Layer::now(self)
    }

    fn lease_clock(&self) -> Micros {
        Layer::lease_clock(self)
    }

    async fn acquire(&self, key: &ConsumerKey, owner: &str, lease_us: Micros) -> Result<Option<ConsumerRow>, Error> {
        Layer::acquire(self, key, owner, lease_us).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        Layer::release(self, lease).await
    }

    async fn save(&self, lease: &Lease, checkpoint: Checkpoint) -> Result<(), Error> {
        Layer::save(self, lease, checkpoint).await
    }

    async fn consumer(&self, key: &ConsumerKey) -> Result<Option<ConsumerRow>, Error> {
        Layer::consumer(self, key).await
    }

    async fn consumers(&self, name: &str) -> Result<Vec<ConsumerRow>, Error> {
        Layer::consumers(self, name).await
    }

    async fn snapshot(&self, stream: &StreamId, fold: u32) -> Result<Option<Snapshot>, Error> {
        Layer::snapshot(self, stream, fold).await
    }

    fn keep_snapshot(&self, stream: StreamId, snapshot: Snapshot) {
        Layer::keep_snapshot(self, stream, snapshot);
    }

    async fn close(&self) -> Result<(), Error> {
        Layer::close(self).await
    }
}
