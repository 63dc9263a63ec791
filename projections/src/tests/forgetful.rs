//! A program that cannot read a record that its rows show: an older version than the one that projected them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use event_store::append::{Expectation, NewEvent, StreamWrite};
use event_store::record::{Position, Record, StreamId, Version};
use event_store::{Direction, Error, EventStore, Filter, Page};
use uuid::Uuid;

use super::shop::Shop;
use super::workers::dump;
use crate::sqlite::Sqlite;
use crate::{Options, Projections, models};

/// A log in which one record has an unknown type from some moment on.
struct Forgetful {
    log: Arc<dyn EventStore>,
    position: Position,
    forgot: AtomicBool,
    /// Whether streams cannot be read just now.
    away: AtomicBool,
    /// How many records of streams were read.
    read: AtomicUsize,
}

impl Forgetful {
    fn of(shop: &Shop, position: Position, forgot: bool) -> Arc<Self> {
        let (forgot, away, read) = (AtomicBool::new(forgot), AtomicBool::new(false), AtomicUsize::new(0));
        Arc::new(Self { log: shop.log(), position, forgot, away, read })
    }

    fn seen(&self, mut records: Vec<Record>) -> Vec<Record> {
        if self.forgot.load(Ordering::Relaxed) {
            let forgotten = records.iter_mut().filter(|record| record.position == self.position);
            forgotten.for_each(|record| record.kind = "NeverHeardOf".into());
        }
        records
    }
}

#[async_trait]
impl event_store::Layer for Forgetful {
    fn below(&self) -> &dyn EventStore {
        &*self.log
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Record>, Error> {
        if self.away.load(Ordering::Relaxed) {
            return Err(Error::NotNow("streams are not to be had".into()));
        }
        let records = self.log.read_stream(stream, from, direction, limit).await?;
        self.read.fetch_add(records.len(), Ordering::Relaxed);
        Ok(self.seen(records))
    }

    async fn read_log(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, Error> {
        let page = self.log.read_log(after, filter, limit).await?;
        Ok(Page { records: self.seen(page.records), ..page })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_show_what_is_set_aside_and_cannot_be_read_any_more_ask_for_a_rebuild() {
    let mut shop = Shop::open();
    shop.trade(6).await;
    let received = shop.receive("MUG", 1_000).await;
    shop.receive("MUG", 3).await;
    let log = Forgetful::of(&shop, received, false);
    let open = async |name: &str| {
        let options = Options::new(shop.folder.path().join(name));
        let projections = Projections::open(options, Arc::clone(&log) as _).await.unwrap();
        projections.catch_up(None).await.unwrap();
        projections
    };
    open("read").await.close().await.unwrap();
    log.forgot.store(true, Ordering::Relaxed);
    shop.set_aside(received).await;
    let projections = open("read").await;
    for name in ["stock_levels", "stock_ledger"] {
        let held = projections.reads().held(name).await.unwrap();
        assert!(held.len() == 1 && held[0].reason.contains("rebuild the read model"), "{name}: {held:?}");
        projections.rebuild(name, None).await.unwrap();
        assert!(projections.reads().held(name).await.unwrap().is_empty(), "{name}");
    }
    projections.rebuild("order_timeline", None).await.unwrap();
    projections.close().await.unwrap();
    open("fresh").await.close().await.unwrap();
    let folder = |name: &str| shop.folder.path().join(name);
    assert_eq!(dump(&folder("read")).await, dump(&folder("fresh")).await);
}

/// More records than several parts of reading on have, in one stream.
const MANY: usize = 5_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_long_stream_that_can_be_read_again_is_read_on_once_and_after_what_waits() {
    let mut shop = Shop::open();
    let first = shop.receive("MUG", 1).await;
    let record = shop.log().read_log(first - 1, &Filter::default(), 1).await.unwrap().records.remove(0);
    let event = || NewEvent {
        event_id: Uuid::now_v7(),
        kind: Arc::clone(&record.kind),
        schema_version: record.schema_version,
        data: record.data.clone(),
        metadata: record.metadata.clone(),
    };
    for _ in 0..10 {
        let events = (0..MANY / 10).map(|_| event()).collect();
        shop.raw(vec![StreamWrite { stream: record.stream.clone(), expected: Expectation::Any, events }]).await;
    }
    let log = Forgetful::of(&shop, first, true);
    let open = async |name: &str| {
        let rows = Sqlite::open(&shop.folder.path().join(name), 2).await.unwrap();
        let models = models::all().into_iter().filter(|model| model.spec().name == "stock_levels").collect();
        Projections::with(rows, Arc::clone(&log) as _, 1_000, models, None).await.unwrap()
    };
    let before = open("read").await;
    before.catch_up(None).await.unwrap();
    assert_eq!(before.reads().held("stock_levels").await.unwrap().len(), 1);
    before.close().await.unwrap();
    log.forgot.store(false, Ordering::Relaxed);
    let projections = open("read").await;
    let behind = shop.write(StreamId::new("acme", "saga", "x"), ("Unknown", 1), "{}", "{}").await;
    log.away.store(true, Ordering::Relaxed);
    assert!(projections.catch_up(None).await.is_err(), "it cannot be read on");
    assert_eq!(projections.positions()[0].position, behind, "what waits was posted first");
    log.away.store(false, Ordering::Relaxed);
    log.read.store(0, Ordering::Relaxed);
    projections.catch_up(None).await.unwrap();
    assert!(projections.reads().held("stock_levels").await.unwrap().is_empty());
    let read = log.read.load(Ordering::Relaxed);
    assert!(read < 3 * MANY, "{read} records were read for {MANY}");
    projections.close().await.unwrap();
}
