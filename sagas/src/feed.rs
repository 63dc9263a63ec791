//! Where the records come from: in order of position, whole batches, nothing left out. The store's tail here; a broker elsewhere.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use event_store::record::Position;
use event_store::{Error, EventStore, Filter, Head, Page};
use tokio::sync::watch;

/// A source of records.
#[async_trait]
pub trait Feed: Send + 'static {
    /// Reads on after this position.
    fn seek(&mut self, after: Position);

    /// The next records: at once if there are any, else as soon as there are, or an empty page after a while. Dropping the future
    /// loses nothing.
    async fn next(&mut self, limit: usize) -> Result<Page, Error>;
}

/// The tail of a store: woken by its head, and a poll in case that a wake-up is lost.
pub struct StoreTail {
    store: Arc<dyn EventStore>,
    head: watch::Receiver<Head>,
    filter: Filter,
    after: Position,
    poll: Duration,
}

impl StoreTail {
    /// Reads what `filter` wants, from the beginning on.
    pub fn new(store: Arc<dyn EventStore>, filter: Filter) -> Self {
        Self {
            head: store.head(),
            store,
            filter,
            after: 0,
            poll: Duration::from_millis(500),
        }
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
        let page = self.store.read_log(self.after, &self.filter, limit).await?;
        self.after = page.next.max(self.after);
        Ok(page)
    }
}
