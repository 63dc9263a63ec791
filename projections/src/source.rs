//! The source of a worker's records: the store's log, read when its head moves; or the feed of a partition, whose
//! records may be far apart. A feed's position beyond its last record also moves the checkpoint, but not at every event
//! of other partitions.

use std::time::{Duration, Instant};

use event_store::record::Position;
use event_store::{EventStore, Feed, Filter, Page};

use crate::store::Error;

/// A partition without records moves its checkpoint at most this often: otherwise 16 of them would write at every
/// event. After a pause it moves at once, so that a request that waits for a single write does not wait for this.
const IDLE: Duration = Duration::from_millis(100);

/// Where records come from.
pub(crate) enum Source {
    /// The store's log.
    Log,
    /// A feed.
    Feed(Tail),
}

/// A feed, and what it has seen.
pub(crate) struct Tail {
    feed: Box<dyn Feed>,
    /// The checkpoint after which it reads; unknown at first, and after a page that was not used up.
    base: Option<Position>,
    /// There is nothing for this door after `base` up to here.
    seen: Position,
    head: Position,
    ready: Option<Page>,
    moved: Option<Instant>,
}

impl Source {
    /// Records that come through a door.
    pub(crate) fn feed(feed: Box<dyn Feed>) -> Self {
        Self::Feed(Tail { feed, base: None, seen: 0, head: 0, ready: None, moved: None })
    }

    /// Whether every record of the log comes, one position after the other.
    pub(crate) const fn is_whole(&self) -> bool {
        matches!(self, Self::Log)
    }

    /// The records after a position; an empty page ends where it began.
    pub(crate) async fn page(&mut self, log: &dyn EventStore, from: Position, limit: usize) -> Result<Page, Error> {
        match self {
            Self::Log => Ok(log.read_log(from, &Filter::default(), limit).await?),
            Self::Feed(tail) => tail.page(from, limit).await,
        }
    }

    /// Says how far a page was used.
    pub(crate) fn used(&mut self, page_end: Position, to: Position) {
        if let Self::Feed(tail) = self {
            tail.base = (page_end == to).then_some(to);
            tail.seen = to;
            tail.moved = Some(Instant::now());
        }
    }
}

impl Tail {
    async fn page(&mut self, from: Position, limit: usize) -> Result<Page, Error> {
        if self.base != Some(from) {
            self.feed.seek(from);
            (self.base, self.seen, self.ready) = (Some(from), from, None);
        }
        loop {
            let page = match self.ready.take() {
                Some(page) => page,
                None if self.head > self.seen => self.feed.next(limit).await?,
                None => break,
            };
            let before = self.seen;
            self.seen = self.seen.max(page.next);
            self.head = self.head.max(page.head);
            if !page.records.is_empty() {
                // Until the caller says how far it used the page: a caller that could not use it asks again from its
                // beginning.
                self.base = None;
                return Ok(page);
            }
            if self.seen == before {
                // The head belongs to other partitions; the next record wakes the wait.
                break;
            }
        }
        let next = if self.due().is_none() { self.seen } else { from };
        Ok(Page { records: Vec::new(), next, head: self.head })
    }

    /// How long the checkpoint stays where it is although more has been seen.
    fn due(&self) -> Option<Duration> {
        let left = IDLE.checked_sub(self.moved?.elapsed())?;
        (!left.is_zero()).then_some(left)
    }

    /// Waits until there may be a record.
    pub(crate) async fn wait(&mut self, limit: usize) -> Result<(), Error> {
        let Some(base) = self.base.filter(|_| self.ready.is_none()) else {
            return Ok(());
        };
        let due = if self.seen > base { self.due().unwrap_or_default() } else { Duration::MAX };
        tokio::select! {
            page = self.feed.next(limit) => self.ready = Some(page?),
            () = tokio::time::sleep(due) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use bytes::Bytes;
    use event_store::record::{Record, StreamId};
    use uuid::Uuid;

    use super::*;

    /// A door that has one record, and knows that nothing follows for a while.
    struct Once {
        after: Position,
    }

    #[async_trait]
    impl Feed for Once {
        fn seek(&mut self, after: Position) {
            self.after = after;
        }

        async fn next(&mut self, _: usize) -> Result<Page, event_store::Error> {
            let record = Record {
                position: 3,
                stream: StreamId::new("acme", "order", "a"),
                version: 1,
                event_id: Uuid::nil(),
                kind: Arc::from("Happened"),
                schema_version: 1,
                data: Bytes::new(),
                metadata: Bytes::new(),
                command_id: Uuid::nil(),
                fingerprint: None,
                recorded_at: 1,
                hash: [3; 32],
            };
            let records = (self.after < 3).then_some(record);
            self.after = 9;
            Ok(Page { records: records.into_iter().collect(), next: 9, head: 9 })
        }
    }

    #[tokio::test]
    async fn a_page_that_was_not_used_comes_again() {
        let Source::Feed(mut tail) = Source::feed(Box::new(Once { after: 0 })) else {
            unreachable!("it was made of a feed")
        };
        tail.wait(10).await.unwrap();
        tail.head = 9;
        assert_eq!(tail.page(0, 10).await.unwrap().records.len(), 1);
        // The caller could not continue, because the log could not be read.
        assert_eq!(tail.page(0, 10).await.unwrap().records.len(), 1);
    }
}
