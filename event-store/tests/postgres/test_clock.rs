//! The clock of a test, where several processes share a store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use event_store::EventStore;
use event_store::clock::TestClock;
use event_store::postgres::{OpenError, Store, grant, migrate};
use servers::Postgres;

use super::{execute, options};
use crate::contract::{put, stream};

const DAY: i64 = 86_400 * 1_000_000;
/// All of them see an advance within it.
const SEEN_WITHIN: Duration = Duration::from_secs(1);

async fn open(url: &str) -> Arc<Store> {
    Store::open(options(url).test_clock(true)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_advances_the_others_see_at_once() {
    let url = Postgres::shared().database();
    let stores = [open(&url).await, open(&url).await, open(&url).await];
    for (n, store) in (1..).zip(&stores) {
        let asked = Instant::now();
        store.advance(DAY).await.unwrap();
        for other in &stores {
            while other.ahead() != Some(n * DAY) {
                assert!(asked.elapsed() < SEEN_WITHIN, "{:?} of {n} days", other.ahead());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    let nows = stores.each_ref().map(|store| store.now());
    assert!(nows.iter().max().unwrap() - nows.iter().min().unwrap() < 1_000_000, "{nows:?}");
    for store in stores {
        store.close().await.unwrap();
    }
}

/// Every writer reads the clock with the lock: an answer about an instant stays true even if another process has not
/// seen the advance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_recorded_before_an_instant_that_was_answered_after_an_advance() {
    let url = Postgres::shared().database();
    let (one, other) = (open(&url).await, open(&url).await);
    for n in 0..30 {
        let name = stream(&format!("s{n}"));
        let writing = put(&*other, &name, &["x"]);
        let answering = async {
            one.advance(DAY).await.unwrap();
            let instant = one.now();
            (instant, one.position_at(instant).await.unwrap())
        };
        let (receipt, (instant, position)) = tokio::join!(writing, answering);
        let late = put(&*other, &name, &["y"]).await;
        assert!(late.recorded_at > instant, "the one that comes later is recorded later");
        assert_eq!(receipt.recorded_at > instant, receipt.last_position > position, "{n}");
        assert_eq!(one.position_at(instant).await.unwrap(), position, "{n}");
    }
    one.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_role_that_may_only_add_advances_the_clock_that_the_owner_made() {
    let url = Postgres::shared().database();
    let app = url.replace("postgres@", "clock_app@");
    execute(&url, "DROP ROLE IF EXISTS clock_app; CREATE ROLE clock_app LOGIN").await.unwrap();
    migrate(&url, true).await.unwrap();
    grant(&url, "clock_app").await.unwrap();
    let store = open(&app).await;
    assert_eq!(store.advance(DAY).await.unwrap(), DAY);
    put(&*store, &stream("one"), &["x"]).await;
    store.close().await.unwrap();
    for sql in ["UPDATE daybook.head SET ahead_us = 0", "UPDATE daybook.head SET ahead_us = NULL"] {
        assert!(execute(&app, sql).await.is_err(), "{sql}");
    }
    assert!(matches!(Store::open(options(&app)).await, Err(OpenError::Clock(_))));
}
