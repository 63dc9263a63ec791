//! Making the tables is for one process at a time, and the others wait for that work alone: not for a connection that lingers, nor for
//! a process that stands still.

use std::sync::Arc;
use std::time::{Duration, Instant};

use servers::Postgres as Server;

use super::databases::rows_of;
use super::sharing::{futures_joined, sharing};
use super::shop::Shop;
use super::workers::{SOON, fresh};
use crate::Projections;
use crate::postgres::Postgres;
use crate::store::ReadStore as _;

/// Longer than the work takes on a busy machine.
const WORK: Duration = Duration::from_secs(60);

/// A separate handle of the database, as each process has one.
async fn process(url: &str) -> Arc<Postgres> {
    Postgres::open(url, 4).await.unwrap()
}

/// The sessions that hold the lock (`true`) or wait for it.
fn locks(url: &str, granted: bool) -> usize {
    let sql = format!(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted = {granted}
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    Server::shared().sql(url, &sql).trim().parse().unwrap()
}

/// Waits until a process waits for the lock.
async fn until_one_waits(url: &str) {
    let end = Instant::now() + SOON;
    while locks(url, false) == 0 {
        assert!(Instant::now() < end, "nobody waits");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_one_makes_tables_as_soon_as_the_one_before_has_made_them() {
    let url = Server::shared().database();
    let (first, second) = (process(&url).await, process(&url).await);
    for released in [true, false] {
        let alone = first.exclusive().await.unwrap();
        let waiting = tokio::spawn({
            let second = Arc::clone(&second);
            async move { second.exclusive().await.unwrap() }
        });
        until_one_waits(&url).await;
        assert_eq!((locks(&url, true), waiting.is_finished()), (1, false));
        if released {
            alone.release().await.unwrap();
        } else {
            drop(alone);
        }
        let next = tokio::time::timeout(WORK, waiting).await;
        let next = next.expect("it is let in").unwrap();
        next.release().await.unwrap();
        // Not soon: now.
        assert_eq!((locks(&url, true), locks(&url, false)), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stands_still_over_its_tables_keeps_the_others_only_for_a_while() {
    let url = Server::shared().database();
    let (first, second) = (process(&url).await, process(&url).await);
    let (begun, most) = (Instant::now(), Duration::from_secs(2));
    let alone = first.exclusive_for(most).await.unwrap();
    let next = tokio::time::timeout(most + WORK, second.exclusive()).await;
    let next = next.expect("it is let in").unwrap();
    assert!(begun.elapsed() >= most, "not before");
    let told = alone.release().await;
    assert!(told.is_err(), "it learns that it was not alone");
    assert_eq!(locks(&url, true), 1, "nor does it let a third one in");
    next.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_open_in_turn_or_at_once_wait_for_the_work_alone() {
    let mut shop = Shop::open();
    shop.trade(5).await;
    let url = Server::shared().database();
    let open = async || {
        let (rows, log) = (process(&url).await, shop.log());
        let opened = Projections::open_on(Arc::clone(&rows) as _, log, sharing(None));
        let opened = tokio::time::timeout(WORK, opened).await;
        (rows, opened.expect("it is let in").unwrap())
    };
    let at_once = async || {
        let opened = futures_joined((0..6).map(|_| open())).await;
        assert_eq!(opened.len(), 6);
        assert_eq!((locks(&url, true), locks(&url, false)), (0, 0));
    };
    // On an empty schema, where one makes the tables; then where there is nothing to do.
    at_once().await;
    for _ in 0..6 {
        drop(open().await);
        assert_eq!((locks(&url, true), locks(&url, false)), (0, 0));
    }
    at_once().await;
    let (rows, opened) = open().await;
    let token = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&opened).run(token.clone()));
    opened.wait_for(shop.head(), SOON).await.unwrap();
    token.cancel();
    running.await.unwrap();
    assert_eq!(rows_of(&rows).await, fresh(&shop, "fresh").await);
}
