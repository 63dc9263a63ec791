//! Where a follower's records come from: in order of position, whole batches, nothing left out. The store's tail here; a broker
//! elsewhere, which falls back to the store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::partition::Door;
use crate::record::Position;
use crate::store::{Error, EventStore, Filter, Head, Page};

/// A source of records.
#[async_trait]
pub trait Feed: Send + 'static {
    /// Reads on after this position.
    fn seek(&mut self, after: Position);

    /// The next records: at once if there are any, otherwise as soon as there are, or an empty page after a while. The
    /// records of a batch that match one filter always come in one page. `Page::next` is the position up to which
    /// everything was examined, even if no record matched, so a filter without matches does not hold back its consumer.
    /// Dropping the future loses nothing.
    async fn next(&mut self, limit: usize) -> Result<Page, Error>;
}

/// The tail of a store: woken by its head, and a poll in case that a wake-up is lost.
pub struct StoreTail {
    store: Arc<dyn EventStore>,
    head: watch::Receiver<Head>,
    filter: Filter,
    door: Door,
    after: Position,
    poll: Duration,
}

impl StoreTail {
    /// Reads what `filter` wants, from the beginning on.
    pub fn new(store: Arc<dyn EventStore>, filter: Filter) -> Self {
        Self::through(store, filter, Door::All)
    }

    /// The same, through a door.
    pub fn through(store: Arc<dyn EventStore>, filter: Filter, door: Door) -> Self {
        Self { head: store.head(), store, filter, door, after: 0, poll: Duration::from_millis(500) }
    }
}

#[async_trait]
impl Feed for StoreTail {
    fn seek(&mut self, after: Position) {
        self.after = after;
    }

    async fn next(&mut self, limit: usize) -> Result<Page, Error> {
        if self.head.borrow_and_update().position <= self.after {
            // Either way the log is read: a lost wake-up costs one poll and nothing else.
            let woken = tokio::time::timeout(self.poll, self.head.changed()).await;
            if matches!(woken, Ok(Err(_))) {
                return Err(Error::Closed);
            }
        }
        let mut page = self.store.read_log(self.after, &self.filter, limit).await?;
        page.records.retain(|record| self.door.admits(record));
        self.after = page.next.max(self.after);
        Ok(page)
    }
}
