//! A row store that wraps another and changes a commit or a read; all other operations pass through.

use async_trait::async_trait;
use uuid::Uuid;

use crate::board::Stop;
use crate::store::{Checkpoint, Exclusive, Making, Part, ReadStore, Slot, Statement, Takeover};
use crate::value::{Row, Spec};
use crate::{Error, Snapshot};

/// Every layer is a [`ReadStore`].
#[async_trait]
pub(super) trait Layer: Send + Sync + 'static {
    /// The rows below.
    fn below(&self) -> &dyn ReadStore;

    async fn commit(&self, slot: Slot, parts: Vec<Part>) -> Result<(), Error> {
        self.below().commit(slot, parts).await
    }

    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, Error> {
        self.below().read(statements).await
    }
}

#[async_trait]
impl<L: Layer> ReadStore for L {
    async fn checkpoints(&self, name: Option<&str>, slot: Slot) -> Result<Vec<Checkpoint>, Error> {
        self.below().checkpoints(name, slot).await
    }

    async fn create(&self, making: Making) -> Result<Vec<Checkpoint>, Error> {
        self.below().create(making).await
    }

    async fn acquire(&self, name: &str, slot: Slot, partition: u32, owner: Uuid) -> Result<Checkpoint, Error> {
        self.below().acquire(name, slot, partition, owner).await
    }

    async fn commit(&self, slot: Slot, parts: Vec<Part>) -> Result<(), Error> {
        Layer::commit(self, slot, parts).await
    }

    async fn stop(&self, name: &str, partition: u32, epoch: u64, stop: &Stop) -> Result<(), Error> {
        self.below().stop(name, partition, epoch, stop).await
    }

    async fn take_over(&self, spec: &'static Spec, owner: Uuid, partitions: u32) -> Result<Takeover, Error> {
        self.below().take_over(spec, owner, partitions).await
    }

    async fn discard(&self, spec: &'static Spec, owner: Option<Uuid>) -> Result<(), Error> {
        self.below().discard(spec, owner).await
    }

    async fn exclusive(&self) -> Result<Exclusive, Error> {
        self.below().exclusive().await
    }

    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, Error> {
        Layer::read(self, statements).await
    }

    async fn snapshot(&self) -> Result<Snapshot, Error> {
        self.below().snapshot().await
    }

    async fn close(&self) -> Result<(), Error> {
        self.below().close().await
    }
}
