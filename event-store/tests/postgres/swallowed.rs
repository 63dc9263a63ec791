//! A database whose packets are swallowed: the connections stay open, and neither side learns that they are dead.

use std::time::{Duration, Instant};

use event_store::append::Expectation;
use event_store::consumer::ConsumerKey;
use event_store::postgres::{Options, Store};
use event_store::{Direction, Error, EventStore, Filter};
use servers::{Postgres, Swallow};
use uuid::Uuid;

use super::{check, options};
use crate::contract::{appended, batch, put, stream, write};

const SECOND: Duration = Duration::from_secs(1);

fn hasty(url: &str) -> Options {
    let mut hasty = options(url);
    (hasty.answer, hasty.stall, hasty.patience) = (SECOND, SECOND, 2 * SECOND);
    hasty
}

/// The outcome of something that must end within a time.
async fn ends<T>(what: &str, within: Duration, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(within, work).await.unwrap_or_else(|_| panic!("{what} hangs"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_swallows_packets_lets_nobody_hang() {
    let server = Postgres::shared();
    let url = server.database();
    let proxy = Swallow::before(server.port());
    let store = Store::open(hasty(&proxy.through(&url, server.port()))).await.unwrap();
    let one = stream("one");
    put(&*store, &one, &["x"]).await;
    let (all, key) = (Filter::default(), ConsumerKey { name: "c".into(), partition: 0 });
    let lease = store.acquire(&key, "me", 60_000_000).await.unwrap().unwrap().lease;
    // Every connection of the pool lies idle when it happens.
    let read = || store.read_stream(&one, 1, Direction::Forwards, 10);
    let (a, b, c) = tokio::join!(read(), read(), read());
    assert!(a.is_ok() && b.is_ok() && c.is_ok());

    proxy.begin();
    let began = Instant::now();
    let reads = futures_util::future::join_all((0..12).map(|_| read()));
    for outcome in ends("reading a stream", 20 * SECOND, reads).await {
        assert!(matches!(outcome, Err(Error::Read(_))), "{outcome:?}");
    }
    assert!(began.elapsed() < 10 * SECOND, "each waits for itself, not for all before it: {:?}", began.elapsed());
    assert!(ends("a stream's head", 20 * SECOND, store.stream_head(&one)).await.is_err());
    assert!(ends("reading the log", 20 * SECOND, store.read_log(1, &all, 1)).await.is_err());
    assert!(ends("a consumer's row", 20 * SECOND, store.consumer(&key)).await.is_err());
    assert!(ends("a lease", 20 * SECOND, store.acquire(&key, "me", 60_000_000)).await.is_err());
    assert!(ends("a command", 20 * SECOND, store.command(Uuid::now_v7())).await.is_err());
    let lost = batch(vec![write(&one, Expectation::Any, &["lost"])]);
    assert!(ends("appending", 20 * SECOND, store.append(lost.clone())).await.is_err());
    ends("the news", 20 * SECOND, async {
        while store.away().borrow().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(proxy.swallowed() > 0);

    proxy.end();
    assert_eq!(ends("reading again", 20 * SECOND, read()).await.unwrap().len(), 1);
    appended(ends("appending again", 20 * SECOND, store.append(lost)).await.unwrap());
    ends("coming back", 20 * SECOND, async {
        while store.away().borrow().is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    ends("giving the lease back", 20 * SECOND, store.release(&lease)).await.unwrap();
    assert_eq!(check(&*store).await, 2);
    ends("closing", 20 * SECOND, store.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_whose_caller_has_gone_leaves_its_place_and_its_statement() {
    let server = Postgres::shared();
    let url = server.database();
    let store = Store::open(options(&url)).await.unwrap();
    put(&*store, &stream("one"), &["x"]).await;
    let (locked, free) = (tokio::sync::oneshot::channel(), tokio::sync::oneshot::channel::<()>());
    let address = url.clone();
    let holder = tokio::spawn(async move {
        use sqlx::Connection;
        let mut connection = sqlx::PgConnection::connect(&address).await.unwrap();
        let lock = "BEGIN; LOCK TABLE daybook.events IN ACCESS EXCLUSIVE MODE";
        sqlx::raw_sql(lock).execute(&mut connection).await.unwrap();
        locked.0.send(()).unwrap();
        free.1.await.ok();
    });
    locked.1.await.unwrap();
    for _ in 0..20 {
        let one = stream("one");
        let gone = tokio::time::timeout(Duration::from_millis(50), store.stream_head(&one)).await;
        assert!(gone.is_err(), "the table is locked");
    }
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
        AND query LIKE 'SELECT version, event_id FROM daybook.events%'";
    let began = Instant::now();
    while super::number(&url, sql).await > 0 {
        assert!(began.elapsed() < 20 * SECOND, "statements of callers that have gone still run");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    free.0.send(()).unwrap();
    holder.await.unwrap();
    let one = stream("one");
    let head = store.stream_head(&one);
    assert!(ends("a place", 5 * SECOND, head).await.unwrap().is_some());
    store.close().await.unwrap();
}
