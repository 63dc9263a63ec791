//! The answers when a commit stalls or fails: never a yes before the sync, never a no that may be a yes.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use event_store::append::{Batch, Expectation, Outcome};
use event_store::consumer::{Checkpoint, ConsumerKey};
use event_store::sqlite::{Options, Step, Store};
use event_store::{Error, EventStore, verify};

use crate::contract::{after, appended, batch, keyed, put, stream, versions, write};

/// A store whose commits go through `hook`.
fn store_with(dir: &std::path::Path, hook: impl Fn() -> io::Result<()> + Send + Sync + 'static) -> Arc<Store> {
    let mut options = Options::new(dir);
    options.before_commit = Some(Arc::new(hook));
    Store::open(options).unwrap()
}

fn one(id: &str) -> Batch {
    keyed(id, vec![write(&stream(id), Expectation::NoStream, &["x"])])
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_or_seen_before_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let (open, gate) = mpsc::channel();
    let gate = Mutex::new(gate);
    let store = store_with(dir.path(), move || {
        gate.lock().unwrap().recv().unwrap();
        Ok(())
    });
    let mut pending = store.append(one("a"));
    let asked = tokio::spawn({
        let (store, id) = (Arc::clone(&store), one("a").command_id);
        async move { store.command(id).await }
    });
    let early = tokio::time::timeout(Duration::from_millis(200), &mut pending).await;
    assert!(early.is_err(), "answered before the commit: {early:?}");
    assert!(!asked.is_finished(), "a question must wait as well");
    assert_eq!(store.head().borrow().position, 0);
    assert_eq!(store.stream_head(&stream("a")).await.unwrap(), None);
    open.send(()).unwrap();
    appended(pending.await.unwrap());
    assert!(asked.await.unwrap().unwrap().is_some());
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_is_unknown_and_stops_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let commits = AtomicUsize::new(0);
    let store = store_with(dir.path(), move || match commits.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(()),
        _ => Err(io::Error::other("the disk is gone")),
    });
    appended(store.append(one("a")).await.unwrap());
    let failed = store.failed();
    let outcome = store.append(one("b")).await;
    assert!(matches!(&outcome, Err(Error::Unknown(why)) if why.contains("the disk is gone")), "{outcome:?}");
    assert!(failed.borrow().as_ref().unwrap().contains("the disk is gone"));
    assert!(matches!(store.append(one("c")).await, Err(Error::Closed)));
    assert!(matches!(store.acquire(&ConsumerKey { name: "c".into(), partition: 0 }, "o", 1).await, Err(Error::Closed)));
    assert_eq!(versions(&*store, &stream("a")).await, [1], "what was durable can still be read");
    assert!(store.close().await.is_err());
    drop(store);
    let store = Store::open(Options::new(dir.path())).unwrap();
    let again = store.append(one("b")).await.unwrap();
    assert!(matches!(again, Outcome::Appended(_) | Outcome::AlreadyAppended(_)));
    assert_eq!(verify::chain(&*store, 0, |_| {}).await.unwrap().position, 2);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_not_now_and_the_writer_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    const ROOM: usize = 0;
    const FULL: usize = 1;
    const SLOW: usize = 2;
    let disk = Arc::new(AtomicUsize::new(ROOM));
    let (seen, reached) = (Arc::clone(&disk), Arc::new(AtomicUsize::new(0)));
    let slow = Arc::clone(&reached);
    let store = store_with(dir.path(), move || match seen.load(Ordering::SeqCst) {
        ROOM => Ok(()),
        SLOW => {
            slow.fetch_add(1, Ordering::SeqCst);
            while seen.load(Ordering::SeqCst) == SLOW {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        }
        _ => Err(io::ErrorKind::StorageFull.into()),
    });
    let there = one("there");
    // The writer is kept at a sync until all that follows waits for it, so that it is one group.
    disk.store(SLOW, Ordering::SeqCst);
    let before = store.append(there.clone());
    while reached.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The second depends on the first; the third is decided by durable data; the fourth repeats the first.
    let first = one("a");
    let pending = [
        store.append(first.clone()),
        store.append(batch(vec![write(&stream("a"), after(&first, 1), &["y"])])),
        store.append(first.clone()),
        store.append(batch(vec![write(&stream("a"), Expectation::NoStream, &["z"])])),
    ];
    let known = store.append(there);
    disk.store(FULL, Ordering::SeqCst);
    appended(before.await.unwrap());
    for pending in pending {
        let outcome = pending.await;
        assert!(matches!(outcome, Err(Error::NotNow(_))), "{outcome:?}");
    }
    assert!(matches!(known.await.unwrap(), Outcome::AlreadyAppended(_)));
    assert!(store.trouble().borrow().as_ref().is_some_and(|trouble| trouble.why.contains("commit failed")));
    disk.store(ROOM, Ordering::SeqCst);
    let receipt = appended(store.append(first).await.unwrap());
    assert_eq!((receipt.first_position, store.failed().borrow().clone()), (2, None));
    assert!(store.trouble().borrow().is_none());
    assert_eq!(versions(&*store, &stream("a")).await, [1]);
    assert_eq!(verify::chain(&*store, 0, |_| {}).await.unwrap().position, 2);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_durable_when_it_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&fails);
    let store = store_with(dir.path(), move || match seen.load(Ordering::SeqCst) {
        0 => Ok(()),
        _ => Err(io::Error::other("gone")),
    });
    let key = ConsumerKey { name: "sagas".into(), partition: 0 };
    let lease = store.acquire(&key, "o", 60_000_000).await.unwrap().unwrap().lease;
    let at = |position| Checkpoint { position, ..Checkpoint::default() };
    store.save(&lease, at(5)).await.unwrap();
    fails.store(1, Ordering::SeqCst);
    assert!(matches!(store.save(&lease, at(6)).await, Err(Error::Unknown(_))));
    drop(store);
    let store = Store::open(Options::new(dir.path())).unwrap();
    assert_eq!(store.consumer(&key).await.unwrap().unwrap().checkpoint.position, 5);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_dies_leaves_nobody_waiting() {
    for step in [Step::Judged, Step::Written, Step::LogCommitted, Step::Answering, Step::IndexWritten] {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(dir.path());
        options.idle = Duration::from_millis(1);
        options.steps = Some(Arc::new(move |now| {
            if now == step {
                std::panic::resume_unwind(Box::new("stopped by the test"));
            }
        }));
        let store = Store::open(options).unwrap();
        let mut failed = store.failed();
        let pending: Vec<_> = (0..20).map(|n| store.append(one(&format!("s{n}")))).collect();
        for pending in pending {
            match pending.await {
                Ok(Outcome::Appended(_)) => assert_eq!(step, Step::IndexWritten),
                Err(Error::Unknown(_) | Error::Closed) => {}
                other => panic!("{step:?}: {other:?}"),
            }
        }
        failed.wait_for(Option::is_some).await.unwrap();
        assert!(matches!(store.append(one("late")).await, Err(Error::Closed)));
        drop(store);
        let store = Store::open(Options::new(dir.path())).unwrap();
        put(&*store, &stream("after"), &["x"]).await;
        verify::chain(&*store, 0, |_| {}).await.unwrap();
        store.close().await.unwrap();
    }
}
