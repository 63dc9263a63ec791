//! A database whose packets are swallowed: queries and workers end within their limits, and continue once it is back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use servers::{Postgres as Server, Swallow};
use tokio_util::sync::CancellationToken;

use super::shop::{Shop, TENANT};
use crate::order_list::{self, PageError, Query};
use crate::postgres::Postgres;
use crate::{Error, Projections};

const PATIENCE: Duration = Duration::from_secs(28);

async fn ends<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what} hangs"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_swallows_packets_keeps_no_query_waiting() {
    let mut shop = Shop::open();
    shop.trade(10).await;
    let server = Server::shared();
    let url = server.database();
    let proxy = Swallow::before(server.port());
    let direct = Postgres::open(&url, 4).await.unwrap();
    super::databases::post(&shop, &direct, 100).await;
    let through = Postgres::open(&proxy.through(&url, server.port()), 2).await.unwrap();
    let reading = Projections::reading(through as _, shop.log()).await.unwrap();
    let token = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&reading).run(token.clone()));
    let query = Query { tenant: TENANT.into(), limit: 10, ..Query::default() };
    let reads = reading.reads();
    assert_eq!(order_list::page(&reads, &query).await.unwrap().value.orders.len(), 10);
    assert_eq!(reading.away(), None);

    proxy.begin();
    let pages = (0..12).map(|_| {
        let (reads, query) = (reads.clone(), query.clone());
        tokio::spawn(async move { order_list::page(&reads, &query).await })
    });
    let pages: Vec<_> = pages.collect();
    for page in pages {
        let page = ends("a query", page).await.unwrap();
        assert!(matches!(page, Err(PageError::Store(Error::Read(_)))), "{page:?}");
    }
    let waiting = reads.wait_for("order_list", shop.head() + 1, Duration::from_millis(300));
    assert!(ends("waiting for a position", waiting).await.is_err());
    let began = Instant::now();
    while reading.away().is_none() {
        assert!(began.elapsed() < PATIENCE, "nobody says that the database is away");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(proxy.swallowed() > 0);

    proxy.end();
    let began = Instant::now();
    while reading.away().is_some() {
        assert!(began.elapsed() < PATIENCE, "it is not noticed that the database is back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let page = ends("a query after it", order_list::page(&reads, &query)).await.unwrap();
    assert_eq!(page.value.orders.len(), 10);
    token.cancel();
    ends("stopping", running).await.unwrap();
}
