//! A log that no store would write: a real store's records, changed on the way to the reader.

use std::sync::Arc;

use async_trait::async_trait;
use event_store::record::{Position, Record};
use event_store::sqlite::Store;
use event_store::{Error, EventStore, Filter, Page, hash};
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
impl event_store::Layer for Doctored {
    fn below(&self) -> &dyn EventStore {
        &*self.inner
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
}
