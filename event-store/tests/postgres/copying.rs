//! A log moved from SQLite to PostgreSQL is the same log; and the two, given the same, write the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use event_store::append::{Batch, Expectation, Outcome, Receipt};
use event_store::copy::{self, Source};
use event_store::postgres::{self, Target};
use event_store::sqlite;
use event_store::{EventStore, Filter};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use servers::Postgres;

use super::{check, execute, number, options};
use crate::contract::{appended, batch, keyed, log, put, stream, write};

/// A store on SQLite with some thousand events in batches of all sizes; what was sent and its receipts.
async fn filled(dir: &std::path::Path) -> Vec<(Batch, Receipt)> {
    let store = sqlite::Store::open(sqlite::Options::new(dir)).unwrap();
    let mut random = SmallRng::seed_from_u64(3);
    let mut pending = Vec::new();
    for n in 0..2_500 {
        let texts = vec!["some text"; random.random_range(1..5)];
        let mut writes = vec![write(&stream(&format!("s{}", random.random_range(0..200))), Expectation::Any, &texts)];
        if n % 9 == 0 {
            writes.push(write(&stream(&format!("other\0{n}")), Expectation::NoStream, &["x"]));
        }
        let batch = if n % 2 == 0 { batch(writes) } else { keyed(&format!("{n}"), writes) };
        pending.push((batch.clone(), store.append(batch)));
    }
    let mut sent = Vec::new();
    for (batch, pending) in pending {
        sent.push((batch, appended(pending.await.unwrap())));
    }
    // An instant that has been answered stays answered in the copy.
    store.position_at(store.now()).await.unwrap();
    store.close().await.unwrap();
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_ended_half_way_goes_on_and_is_the_same_log() {
    let dir = tempfile::tempdir().unwrap();
    let sent = filled(dir.path()).await;
    let source = sqlite::Store::open_read_only(dir.path()).unwrap();
    let length = source.end().await.unwrap().head.position;
    let url = Postgres::shared().database();

    // Once dropped in the middle of its work, once its session is ended.
    for ended in ["dropped", "terminated"] {
        let (reached, mut seen) = tokio::sync::watch::channel(0);
        let mut target = Target::open(&url).await.unwrap();
        let from = Arc::clone(&source);
        let copying = tokio::spawn(async move {
            let progress = |progress: copy::Progress| {
                reached.send_replace(progress.position);
                // So that the end comes in the middle.
                std::thread::sleep(Duration::from_millis(50));
            };
            copy::run(&*from, &mut target, progress).await
        });
        let before = number(&url, "SELECT position FROM daybook.head").await.unsigned_abs();
        seen.wait_for(|position| *position > 0 && *position >= before).await.unwrap();
        if ended == "dropped" {
            copying.abort();
            assert!(copying.await.unwrap_err().is_cancelled());
        } else {
            execute(
                &url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE application_name = 'daybook copy' AND datname = current_database()",
            )
            .await
            .unwrap();
            copying.await.unwrap().unwrap_err();
        }
        let there = number(&url, "SELECT count(*) FROM daybook.events").await.unsigned_abs();
        assert!(there > 0 && there < length, "{ended} at {there} of {length}");
    }
    let mut target = Target::open(&url).await.unwrap();
    let head = copy::run(&*source, &mut target, |_| {}).await.unwrap();
    assert_eq!(head, source.end().await.unwrap().head);
    // Again: nothing is left to do.
    assert_eq!(copy::run(&*source, &mut target, |_| {}).await.unwrap(), head);

    let store = postgres::Store::open(options(&url)).await.unwrap();
    assert_eq!(EventStore::incarnation(&*store), EventStore::incarnation(&*source));
    assert_eq!(check(&*store).await, length);
    let all = Filter::default();
    assert_eq!(log(&*store, &all, 500).await, log(&*source, &all, 500).await);
    let mut after = 0;
    while after < length {
        let raws = source.raw(after, 700).await.unwrap();
        assert_eq!(store.raw(after, 700).await.unwrap(), raws);
        after = raws.last().unwrap().position;
    }
    assert_eq!(store.end().await.unwrap(), source.end().await.unwrap());
    for (batch, receipt) in sent.into_iter().step_by(50) {
        assert_eq!(store.append(batch).await.unwrap(), Outcome::AlreadyAppended(receipt));
    }
    put(&*store, &stream("s1"), &["after the copy"]).await;
    assert_eq!(check(&*store).await, length + 1);
    // The copy has gone its own way now.
    let again = copy::run(&*source, &mut target, |_| {}).await;
    assert!(matches!(again, Err(copy::Error::Foreign(_))), "{again:?}");
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_holds_another_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let source = sqlite::Store::open_read_only(dir.path()).unwrap();
    let url = Postgres::shared().database();
    let store = postgres::Store::open(options(&url)).await.unwrap();
    put(&*store, &stream("one"), &["x"]).await;
    let mut target = Target::open(&url).await.unwrap();
    let copied = copy::run(&*source, &mut target, |_| {}).await;
    assert!(matches!(copied, Err(copy::Error::Foreign(_))), "{copied:?}");
    // Nor is the name enough.
    let name = EventStore::incarnation(&*source);
    store.close().await.unwrap();
    execute(&url, &format!("UPDATE daybook.store SET incarnation = '{name}'")).await.unwrap();
    let mut target = Target::open(&url).await.unwrap();
    let copied = copy::run(&*source, &mut target, |_| {}).await;
    assert!(matches!(copied, Err(copy::Error::Foreign(_))), "{copied:?}");
    assert_eq!(number(&url, "SELECT count(*) FROM daybook.events").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_backends_write_the_same_chain() {
    let clock = || {
        let ticks = Arc::new(AtomicI64::new(1_700_000_000_000_000));
        let clock: event_store::clock::Clock = Arc::new(move || ticks.load(Ordering::SeqCst));
        clock
    };
    let dir = tempfile::tempdir().unwrap();
    let one = sqlite::Store::open(sqlite::Options::new(dir.path()).clock(clock())).unwrap();
    let url = Postgres::shared().database();
    let other = postgres::Store::open(options(&url).clock(clock())).await.unwrap();
    for n in 0..50 {
        let names = ["a/b", "nul\0in\0it", "stra\u{df}e"];
        let writes = names.map(|name| write(&stream(name), Expectation::Any, &["x", "y"][..n % 2 + 1]));
        let batch = keyed(&format!("{n}"), writes.into());
        let (first, second) = (one.append(batch.clone()).await, other.append(batch).await);
        assert_eq!(first.unwrap(), second.unwrap());
    }
    let all = Filter::default();
    assert_eq!(log(&*one, &all, 20).await, log(&*other, &all, 20).await);
    assert_eq!(*one.head().borrow(), *other.head().borrow());
    one.close().await.unwrap();
    other.close().await.unwrap();
}
