//! A store that was made for a test has a clock that the test can advance; no other store has one.

use std::time::Duration;

use event_store::Error;
use event_store::clock::{MOST_AHEAD, Mismatch};
use event_store::consumer::{Checkpoint, ConsumerKey};
use event_store::record::Micros;

use super::{Backend, put, stream};

const DAY: Micros = 86_400 * 1_000_000;

pub(crate) async fn what_is_recorded_after_an_advance_is_recorded_so_much_later(backend: &impl Backend) {
    let (store, clock) = backend.open_as(true).await.unwrap();
    assert_eq!(clock.ahead(), Some(0));
    let before = put(&*store, &stream("one"), &["x"]).await.recorded_at;
    let (now, leases) = (store.now(), store.lease_clock());
    assert_eq!(clock.advance(DAY).await.unwrap(), DAY);
    assert_eq!(clock.advance(3 * DAY).await.unwrap(), 4 * DAY);
    let gone = store.now() - now;
    assert!((4 * DAY..5 * DAY).contains(&gone), "{gone}");
    assert!(store.lease_clock() - leases < DAY);
    let receipt = put(&*store, &stream("one"), &["y"]).await;
    assert!((4 * DAY..5 * DAY).contains(&(receipt.recorded_at - before)));
    // Instants before and after are distinguished, and the answers stay.
    assert_eq!(store.position_at(before + DAY).await.unwrap(), 1);
    assert_eq!(store.position_at(receipt.recorded_at).await.unwrap(), 2);
    let asked = store.now();
    assert_eq!(store.position_at(asked).await.unwrap(), 2);
    assert!(put(&*store, &stream("one"), &["z"]).await.recorded_at > asked);
}

pub(crate) async fn an_advance_outlives_the_process(backend: &impl Backend) {
    let (store, clock) = backend.open_as(true).await.unwrap();
    clock.advance(DAY).await.unwrap();
    let now = store.now();
    store.close().await.unwrap();
    let (store, clock) = backend.open_as(true).await.unwrap();
    assert_eq!(clock.ahead(), Some(DAY));
    assert!(store.now() >= now);
}

pub(crate) async fn a_store_is_only_opened_as_what_it_was_made(backend: &impl Backend) {
    let (store, clock) = backend.open_as(true).await.unwrap();
    clock.advance(DAY).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(backend.open_as(false).await.err(), Some(Mismatch::HasTestClock));
    assert_eq!(backend.open_as(true).await.unwrap().1.ahead(), Some(DAY));
}

pub(crate) async fn a_store_that_was_made_without_a_test_clock_never_gets_one(backend: &impl Backend) {
    let (store, clock) = backend.open_as(false).await.unwrap();
    assert_eq!(clock.ahead(), None);
    assert!(matches!(clock.advance(DAY).await, Err(Error::Never(_))));
    put(&*store, &stream("one"), &["x"]).await;
    store.close().await.unwrap();
    assert_eq!(backend.open_as(true).await.err(), Some(Mismatch::HasNone));
    let (store, _) = backend.open_as(false).await.unwrap();
    assert_eq!(store.head().borrow().position, 1);
}

pub(crate) async fn a_clock_is_advanced_and_by_a_century_at_most(backend: &impl Backend) {
    let (_store, clock) = backend.open_as(true).await.unwrap();
    for by in [0, -1, Micros::MIN, MOST_AHEAD + 1, Micros::MAX] {
        assert!(matches!(clock.advance(by).await, Err(Error::Never(_))), "{by}");
    }
    assert_eq!(clock.advance(MOST_AHEAD).await.unwrap(), MOST_AHEAD);
    assert!(matches!(clock.advance(1).await, Err(Error::Never(_))));
    assert_eq!(clock.ahead(), Some(MOST_AHEAD));
}

pub(crate) async fn a_lease_is_kept_through_an_advance(backend: &impl Backend) {
    let (store, clock) = backend.open_as(true).await.unwrap();
    let key = ConsumerKey { name: "sagas".into(), partition: 0 };
    let held = store.acquire(&key, "a", 60 * 1_000_000).await.unwrap().unwrap().lease;
    clock.advance(DAY).await.unwrap();
    assert_eq!(store.acquire(&key, "b", 1).await.unwrap(), None, "it has not ended");
    store.save(&held, Checkpoint::default()).await.unwrap();
    let renewed = store.acquire(&key, "a", 1_000_000).await.unwrap().unwrap().lease;
    assert_eq!(renewed.epoch, held.epoch);
    assert!(renewed.lease_until - store.lease_clock() <= 1_000_000, "it ends by the clock that nobody advances");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(store.acquire(&key, "b", 1).await.unwrap().unwrap().lease.epoch, held.epoch + 1);
}
