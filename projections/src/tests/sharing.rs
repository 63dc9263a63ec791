//! Several processes on one database: their shares, their take-overs, and what others see of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use event_store::partition::{Door, STREAMS, of_stream};
use event_store::record::{Position, StreamId};
use event_store::{EventStore, Feed, Filter, Page, StoreTail};
use servers::Postgres as Server;
use sqlx::Connection as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::databases::{post, postgres, rows_of};
use super::shop::{Shop, TENANT};
use super::workers::{SOON, fresh};
use crate::order_list::{self, Query};
use crate::postgres::Postgres;
use crate::store::{ReadStore, Slot};
use crate::{Error, Feeds, Projection, Projections, Sharing, models, order_detail};

pub(super) const LEASE: Duration = Duration::from_millis(1_500);

pub(super) fn sharing(feeds: Option<Feeds>) -> Sharing {
    Sharing { batch: 40, lease: LEASE, feeds, ..Sharing::default() }
}

/// A process that projects.
pub(super) struct Running {
    pub(super) projections: Arc<Projections>,
    token: CancellationToken,
    task: JoinHandle<()>,
}

async fn start(shop: &Shop, rows: Arc<dyn ReadStore>, feeds: Option<Feeds>) -> Running {
    start_on(shop.log(), rows, feeds).await
}

/// The same, with a separate handle of the log.
pub(super) async fn start_on(log: Arc<dyn EventStore>, rows: Arc<dyn ReadStore>, feeds: Option<Feeds>) -> Running {
    start_with(log, rows, feeds, models::all()).await
}

/// The same, with chosen models.
pub(super) async fn start_with(
    log: Arc<dyn EventStore>,
    rows: Arc<dyn ReadStore>,
    feeds: Option<Feeds>,
    models: Vec<Arc<dyn Projection>>,
) -> Running {
    let projections = Projections::sharing(rows, log, sharing(feeds), models).await.unwrap();
    let token = CancellationToken::new();
    let task = tokio::spawn(Arc::clone(&projections).run(token.clone()));
    Running { projections, token, task }
}

impl Running {
    pub(super) async fn stop(self) {
        self.token.cancel();
        self.task.await.unwrap();
    }

    /// Dies without a word.
    pub(super) fn abort(&self) {
        self.task.abort();
    }

    fn runs(&self) -> usize {
        let standings = self.projections.positions();
        standings.iter().map(|standing| standing.runs.len()).sum()
    }
}

pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < end, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The store's tail; nothing comes through the doors that are shut.
fn tails(log: Arc<dyn EventStore>, open: impl Fn(&Door) -> bool + Send + Sync + 'static) -> Feeds {
    Arc::new(move |door| {
        if open(&door) {
            let log = Arc::clone(&log);
            Box::new(StoreTail::through(log, Filter::default(), door))
        } else {
            Box::new(Shut)
        }
    })
}

struct Shut;

#[async_trait]
impl Feed for Shut {
    fn seek(&mut self, _: Position) {}

    async fn next(&mut self, _: usize) -> Result<Page, event_store::Error> {
        std::future::pending().await
    }
}

/// Lets the first partitions continue to the head; returns how many partitions are then ahead of others.
pub(super) async fn some_ahead(shop: &Shop, rows: &Arc<Postgres>, first: u32) -> usize {
    let open = move |door: &Door| matches!(door, Door::Streams(p) if *p < first);
    let running = start(shop, Arc::clone(rows) as _, Some(tails(shop.log(), open))).await;
    let end = Instant::now() + SOON;
    let ahead = loop {
        let found = rows.checkpoints(Some("order_list"), Slot::Live).await;
        let found = found.unwrap();
        let ahead = found.iter().filter(|one| one.position == shop.head());
        let ahead = ahead.count();
        if ahead == first as usize {
            break ahead;
        }
        assert!(Instant::now() < end, "{ahead} partitions are at the head");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    running.stop().await;
    ahead
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_the_work_and_take_over_from_one_that_died() {
    let mut shop = Shop::open();
    shop.trade(30).await;
    let rows = postgres().await;
    // All at once on an empty schema: one makes the tables.
    let starts = (0..3).map(|_| start(&shop, Arc::clone(&rows) as _, None));
    let mut running = Vec::new();
    for one in futures_joined(starts).await {
        running.push(one);
    }
    let all = STREAMS as usize * models::all().len();
    until("an even share", || {
        let shares: Vec<_> = running.iter().map(Running::runs).collect();
        shares.iter().sum::<usize>() == all && shares.iter().all(|share| *share > 0)
    })
    .await;
    shop.trade(10).await;
    let other = Projections::reading(Arc::clone(&rows) as _, shop.log()).await.unwrap();
    other.wait_for(shop.head(), SOON).await.unwrap();
    // One dies, without a word; one stops as it should.
    running[0].abort();
    running.pop().unwrap().stop().await;
    shop.trade(10).await;
    other.wait_for(shop.head(), SOON).await.unwrap();
    until("the whole of the work", || running[1].runs() == all).await;
    assert_eq!(rows_of(&rows).await, fresh(&shop, "fresh").await);
    running.pop().unwrap().stop().await;
}

/// Waits for all, side by side.
pub(super) async fn futures_joined<T: Send + 'static>(
    futures: impl Iterator<Item = impl Future<Output = T>>,
) -> Vec<T> {
    let mut joined = Vec::new();
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => {
                joined.push(value);
                false
            }
            std::task::Poll::Pending => true,
        });
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    joined
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_on_while_leases_cannot_be_renewed() {
    let url = Server::shared().database();
    let mut options = event_store::postgres::Options::new(&url);
    // More than all renewals together hold.
    options.connections = 2 * STREAMS + 8;
    let store = event_store::postgres::Store::open(options).await.unwrap();
    let mut shop = Shop::on(store, tempfile::tempdir().unwrap());
    shop.trade(5).await;
    let rows = postgres().await;
    let running = start(&shop, Arc::clone(&rows) as _, None).await;
    let shown = running.projections.wait_for(shop.head(), SOON).await;
    shown.unwrap();
    let mut locking = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE daybook.consumer IN ACCESS EXCLUSIVE MODE").execute(&mut locking).await.unwrap();
    until("the renewal of every lease", || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'daybook.consumer'::regclass";
        let waiting = Server::shared().sql(&url, waiting);
        waiting.trim().parse::<u32>().unwrap() > STREAMS
    })
    .await;
    shop.trade(5).await;
    // Sooner than the log gives a lock up.
    let soon = Duration::from_secs(5);
    running.projections.wait_for(shop.head(), soon).await.unwrap();
    locking.close().await.unwrap();
    running.stop().await;
    assert_eq!(rows_of(&rows).await, fresh(&shop, "fresh").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_takes_over_all_partitions_while_events_arrive() {
    let mut shop = Shop::open();
    shop.trade(30).await;
    let rows = postgres().await;
    let running = start(&shop, Arc::clone(&rows) as _, None).await;
    running.projections.wait_for(shop.head(), SOON).await.unwrap();
    let other = Projections::reading(Arc::clone(&rows) as _, shop.log()).await.unwrap();
    let token = CancellationToken::new();
    let watching = tokio::spawn({
        let (reads, token) = (other.reads(), token.clone());
        async move {
            let (mut most, mut seen, mut looks) = (0, 0, 0);
            while !token.is_cancelled() {
                let query = Query { tenant: TENANT.into(), limit: 200, count: true, ..Query::default() };
                let answer = order_list::page(&reads, &query).await.unwrap();
                let count = answer.value.count.unwrap().value;
                assert!(count >= 30 && count >= most, "{count} after {most}");
                assert!(answer.position >= seen, "never back");
                (most, seen) = (count, answer.position);
                looks += 1;
            }
            looks
        }
    });
    let epochs = || async {
        let found = rows.checkpoints(Some("order_list"), Slot::Live).await;
        found.unwrap().iter().map(|one| one.epoch).min().unwrap()
    };
    let before = epochs().await;
    let rebuilding = tokio::spawn(async move {
        for _ in 0..2 {
            for name in Projections::names() {
                other.rebuild(name, None).await.unwrap();
            }
        }
    });
    let mut n = 0;
    while !rebuilding.is_finished() {
        // A rebuild must end on any machine: events that arrive as fast as they can be written keep it busy for
        // minutes.
        if n < 400 {
            let id = shop.place("late", &[("MUG", 2)], 50_000_000 + n).await;
            shop.confirm(id).await;
            n += 1;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    rebuilding.await.unwrap();
    assert!(epochs().await > before + 1, "taken over, and taken back");
    running.projections.wait_for(shop.head(), SOON).await.unwrap();
    token.cancel();
    assert!(watching.await.unwrap() > 10);
    running.stop().await;
    assert_eq!(rows_of(&rows).await, fresh(&shop, "fresh").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_one_order_waits_for_its_own_partition_only_and_never_longer_than_told() {
    let mut shop = Shop::open();
    shop.trade(10).await;
    let rows = postgres().await;
    drop(post(&shop, &rows, 50).await);
    let id = shop.place("c-1", &[("MUG", 1)], 1_000).await;
    let stream = StreamId::new(TENANT, "order", id.0.to_string());
    let own = of_stream(&stream);
    let open = move |door: &Door| matches!(door, Door::Streams(p) if *p == own);
    let running = start(&shop, Arc::clone(&rows) as _, Some(tails(shop.log(), open))).await;
    let other = Projections::reading(Arc::clone(&rows) as _, shop.log()).await.unwrap();
    let reads = other.reads();
    let shown = reads.wait_for_stream("order_detail", &stream, shop.head(), SOON);
    assert_eq!(shown.await.unwrap(), shop.head());
    let answer = order_detail::by_id(&reads, TENANT, id).await.unwrap();
    assert_eq!((answer.position, answer.value.is_some()), (shop.head(), true));
    let (waited, limit) = (Instant::now(), Duration::from_millis(300));
    let late = reads.wait_for("order_detail", shop.head(), limit).await;
    assert!(matches!(late, Err(Error::Stale { .. })));
    assert!(waited.elapsed() >= limit && waited.elapsed() < SOON / 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_another_store_are_not_read_and_are_built_anew() {
    let mut shop = Shop::open();
    shop.trade(5).await;
    let url = Server::shared().database();
    let rows = Postgres::open(&url, 8).await.unwrap();
    drop(post(&shop, &rows, 50).await);
    let mut other = Shop::open();
    other.trade(3).await;
    let reading = Projections::reading(Arc::clone(&rows) as _, other.log()).await.unwrap();
    let query = Query { tenant: TENANT.into(), limit: 10, ..Query::default() };
    let early = order_list::page(&reading.reads(), &query).await;
    assert!(matches!(early, Err(order_list::PageError::Store(Error::Building(_)))));
    drop(post(&other, &rows, 50).await);
    assert_eq!(rows_of(&rows).await, fresh(&other, "fresh").await);
    // A history that the log does not have, in one partition of one model: the rows missing there are restored.
    let lose = "DELETE FROM daybook_read.payment; DELETE FROM daybook_read.open_quantity;
        UPDATE daybook_read.checkpoint SET hash = decode(repeat('00', 32), 'hex') WHERE name = 'payments' AND partition = 3";
    Server::shared().sql(&url, lose);
    drop(post(&other, &rows, 50).await);
    let (mut found, mut expected) = (rows_of(&rows).await, fresh(&other, "again").await);
    assert_eq!(found["open_quantity"].len(), 0, "nobody looked there");
    found.remove("open_quantity");
    expected.remove("open_quantity");
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_of_the_database_took_is_posted_again() {
    let mut server = Server::start();
    let mut shop = Shop::open();
    shop.trade(10).await;
    let rows = Postgres::open(&server.database(), 8).await.unwrap();
    let running = start(&shop, Arc::clone(&rows) as _, None).await;
    running.projections.wait_for(shop.head(), SOON).await.unwrap();
    for _ in 0..2 {
        shop.trade(5).await;
        // In the middle of it, as like as not.
        tokio::time::sleep(Duration::from_millis(30)).await;
        server = tokio::task::spawn_blocking(move || {
            server.stop_immediately();
            server
        })
        .await
        .unwrap();
        assert!(!server.runs());
        shop.trade(5).await;
        let refused = rows.checkpoints(None, Slot::Live).await;
        assert!(refused.is_err(), "the server is gone");
        server = tokio::task::spawn_blocking(move || {
            server.start_again();
            server
        })
        .await
        .unwrap();
        let end = Instant::now() + SOON * 2;
        while running.projections.wait_for(shop.head(), Duration::from_secs(1)).await.is_err() {
            assert!(Instant::now() < end, "it goes on");
        }
    }
    running.stop().await;
    assert_eq!(rows_of(&rows).await, fresh(&shop, "fresh").await);
}
