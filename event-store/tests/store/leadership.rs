//! Exactly one of several processes is the leader, whatever happens to it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use event_store::clock::TestClock as _;
use event_store::consumer::ConsumerKey;
use event_store::leadership::{Leadership, Term};
use event_store::sqlite::{Options, Store};
use event_store::{Error, EventStore};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::contract::TestClock;

/// Longer than a busy machine delays a renewal.
const LEASE: Duration = Duration::from_secs(2);

fn key() -> ConsumerKey {
    ConsumerKey { name: "ordering".into(), partition: 0 }
}

fn open(dir: &Path, clock: &TestClock) -> Arc<dyn EventStore> {
    Store::open(Options::new(dir).clock(clock.as_clock())).unwrap()
}

struct Candidate {
    active: watch::Receiver<Option<Term>>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), Error>>,
}

impl Candidate {
    fn start(store: &Arc<dyn EventStore>, owner: &str) -> Self {
        let leadership = Leadership::new(store.clone(), key(), owner, LEASE);
        let (active, cancel) = (leadership.active(), CancellationToken::new());
        let task = tokio::spawn(leadership.run(cancel.clone()));
        Self { active, cancel, task }
    }

    /// Waits until it is the active one.
    async fn term(&mut self) -> Term {
        let begun = self.active.wait_for(Option::is_some);
        let begun = tokio::time::timeout(Duration::from_secs(90), begun).await;
        begun.unwrap().unwrap().clone().unwrap()
    }

    fn stands_by(&self) -> bool {
        self.active.borrow().is_none()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_active_and_the_next_begins_as_soon_as_it_stops() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &TestClock::default());
    let mut first = Candidate::start(&store, "a");
    let term = first.term().await;
    let mut second = Candidate::start(&store, "b");
    tokio::time::sleep(LEASE * 2).await;
    assert!(term.holds(), "it is renewed in time");
    assert_eq!(first.term().await.epoch(), term.epoch());
    assert!(second.stands_by());
    term.confirm().await.unwrap();
    let asked = Instant::now();
    first.cancel.cancel();
    first.task.await.unwrap().unwrap();
    assert!(!term.holds());
    term.ended().await;
    let next = second.term().await;
    assert!(next.epoch() > term.epoch());
    assert!(asked.elapsed() < LEASE, "{:?}", asked.elapsed());
    assert!(matches!(term.confirm().await, Err(Error::LeaseLost)));
}

/// A test may advance the store's clock by days without changing the leader.
#[tokio::test(flavor = "multi_thread")]
async fn an_advance_of_the_clock_ends_no_term() {
    let dir = tempfile::tempdir().unwrap();
    let made = Store::open(Options::new(dir.path()).test_clock(true)).unwrap();
    let store: Arc<dyn EventStore> = made.clone();
    let mut first = Candidate::start(&store, "a");
    let term = first.term().await;
    let mut second = Candidate::start(&store, "b");
    for _ in 0..3 {
        made.advance(86_400 * 1_000_000).await.unwrap();
        assert!(term.holds());
        tokio::time::sleep(LEASE / 2).await;
        assert!(term.holds(), "it is renewed in time");
        assert!(second.stands_by());
    }
    first.task.abort();
    let next = second.term().await;
    assert!(!term.holds() && next.epoch() == term.epoch() + 1, "and it ends as it would without");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_is_followed_when_its_lease_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &TestClock::default());
    let mut first = Candidate::start(&store, "a");
    let term = first.term().await;
    let mut second = Candidate::start(&store, "b");
    first.task.abort();
    let next = second.term().await;
    assert!(!term.holds(), "its term ended before the other's began");
    assert_eq!(next.epoch(), term.epoch() + 1);
}

/// A whole process that is paused: its thread stands still, and nothing in it runs.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_paused_knows_at_once_that_its_term_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &TestClock::default());
    let (paused, is_paused) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let theirs = store.clone();
    let process = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let mut first = Candidate::start(&theirs, "a");
            let term = first.term().await;
            assert!(term.holds());
            paused.send(()).unwrap();
            goes_on.recv().unwrap();
            // Nothing else of this process has run since it was paused.
            let stale = first.active.borrow().is_some();
            tell.send((stale, term.holds())).unwrap();
            first.active.wait_for(Option::is_none).await.unwrap();
            assert!(first.stands_by());
            first.cancel.cancel();
            first.task.await.unwrap().unwrap();
        });
    });
    is_paused.recv().unwrap();
    let mut second = Candidate::start(&store, "b");
    let term = second.term().await;
    go_on.send(()).unwrap();
    assert_eq!(told.recv().unwrap(), (true, false));
    tokio::task::spawn_blocking(move || process.join().unwrap()).await.unwrap();
    assert!(term.holds());
}

/// The steady clock of a machine may stand still while it sleeps; the store's does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_term_ends_when_the_stores_clock_has_passed_it() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::default();
    let store = open(dir.path(), &clock);
    let leadership = Leadership::new(store.clone(), key(), "a", Duration::from_secs(3_600));
    let mut active = leadership.active();
    let cancel = CancellationToken::new();
    let task = tokio::spawn(leadership.run(cancel.clone()));
    let begun = active.wait_for(Option::is_some).await.unwrap().clone();
    let term = begun.unwrap();
    clock.advance(3_000_000_000);
    assert!(term.holds());
    clock.advance(500_000_000);
    assert!(!term.holds(), "some of it is left, and is not used");
    clock.advance(-3_000_000_000);
    assert!(!term.holds(), "what is over stays over");
    cancel.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_come_and_go_are_never_active_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &TestClock::default());
    let busy = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for owner in ["a", "b", "c"] {
        let (store, busy) = (store.clone(), busy.clone());
        tasks.push(tokio::spawn(async move {
            let mut terms = 0;
            for _ in 0..4 {
                let mut candidate = Candidate::start(&store, owner);
                let term = candidate.term().await;
                assert!(term.holds());
                assert!(!busy.swap(true, Ordering::SeqCst), "two are active");
                tokio::time::sleep(Duration::from_millis(30)).await;
                busy.store(false, Ordering::SeqCst);
                candidate.cancel.cancel();
                candidate.task.await.unwrap().unwrap();
                terms += 1;
            }
            terms
        }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_serves_no_more_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &TestClock::default());
    let mut only = Candidate::start(&store, "a");
    let term = only.term().await;
    store.close().await.unwrap();
    assert!(matches!(only.task.await.unwrap(), Err(Error::Closed)));
    assert!(!term.holds());
}
