//! Leases and checkpoints.

use event_store::Error;
use event_store::consumer::{Checkpoint, ConsumerKey};

use super::Backend;

const SECOND: i64 = 1_000_000;

fn key(partition: u32) -> ConsumerKey {
    ConsumerKey { name: "sagas".into(), partition }
}

fn at(position: u64) -> Checkpoint {
    Checkpoint { position, hash: [position as u8; 32], state: vec![1, 2, 3].into() }
}

pub(crate) async fn a_lease_keeps_others_out_until_it_ends(backend: &impl Backend) {
    let store = backend.open().await;
    assert_eq!(store.consumer(&key(0)).await.unwrap(), None);
    let first = store.acquire(&key(0), "a", 10 * SECOND).await.unwrap().unwrap();
    assert_eq!((first.lease.epoch, &first.checkpoint), (1, &Checkpoint::default()));
    assert!(store.acquire(&key(0), "b", 10 * SECOND).await.unwrap().is_none());
    backend.clock().advance(8 * SECOND);
    let renewed = store.acquire(&key(0), "a", 10 * SECOND).await.unwrap().unwrap();
    assert_eq!(renewed.lease.epoch, 1, "renewing is no change of hands");
    assert!(renewed.lease.lease_until > first.lease.lease_until);
    backend.clock().advance(8 * SECOND);
    assert!(store.acquire(&key(0), "b", 10 * SECOND).await.unwrap().is_none());
    backend.clock().advance(3 * SECOND);
    let second = store.acquire(&key(0), "b", 10 * SECOND).await.unwrap().unwrap();
    assert_eq!((second.lease.epoch, &*second.lease.owner), (2, "b"));
    store.close().await.unwrap();
}

pub(crate) async fn a_released_lease_is_free(backend: &impl Backend) {
    let store = backend.open().await;
    let first = store.acquire(&key(0), "a", 10 * SECOND).await.unwrap().unwrap();
    store.save(&first.lease, at(5)).await.unwrap();
    store.release(&first.lease).await.unwrap();
    assert!(matches!(store.save(&first.lease, at(6)).await, Err(Error::LeaseLost)));
    assert!(matches!(store.release(&first.lease).await, Err(Error::LeaseLost)));
    let second = store.acquire(&key(0), "b", 10 * SECOND).await.unwrap().unwrap();
    assert_eq!((second.lease.epoch, second.checkpoint), (2, at(5)));
    store.close().await.unwrap();
}

pub(crate) async fn a_save_of_an_older_epoch_is_refused(backend: &impl Backend) {
    let store = backend.open().await;
    let first = store.acquire(&key(0), "a", SECOND).await.unwrap().unwrap();
    backend.clock().advance(2 * SECOND);
    // An ended lease without a successor is still the row's newest.
    store.save(&first.lease, at(1)).await.unwrap();
    let second = store.acquire(&key(0), "b", SECOND).await.unwrap().unwrap();
    assert!(matches!(store.save(&first.lease, at(2)).await, Err(Error::LeaseLost)));
    store.save(&second.lease, at(3)).await.unwrap();
    backend.clock().advance(2 * SECOND);
    let third = store.acquire(&key(0), "a", SECOND).await.unwrap().unwrap();
    assert_eq!(third.lease.epoch, 3);
    assert!(matches!(store.save(&first.lease, at(4)).await, Err(Error::LeaseLost)), "the same owner, but an old epoch");
    assert_eq!(store.consumer(&key(0)).await.unwrap().unwrap().checkpoint, at(3));
    let unknown = event_store::consumer::Lease { key: key(9), ..third.lease };
    assert!(matches!(store.save(&unknown, at(1)).await, Err(Error::LeaseLost)));
    store.close().await.unwrap();
}

pub(crate) async fn a_checkpoint_is_found_again(backend: &impl Backend) {
    let store = backend.open().await;
    let row = store.acquire(&key(0), "a", 3_600 * SECOND).await.unwrap().unwrap();
    let large = Checkpoint { state: vec![9; 4 * 1024 * 1024].into(), ..at(7) };
    store.save(&row.lease, large.clone()).await.unwrap();
    let too_large = Checkpoint { state: vec![9; 4 * 1024 * 1024 + 1].into(), ..at(8) };
    assert!(matches!(store.save(&row.lease, too_large).await, Err(Error::Never(_))));
    store.close().await.unwrap();
    let store = backend.open().await;
    let found = store.consumer(&key(0)).await.unwrap().unwrap();
    assert_eq!((found.checkpoint, found.lease), (large, row.lease));
    store.close().await.unwrap();
}

pub(crate) async fn partitions_are_rows_of_their_own(backend: &impl Backend) {
    let store = backend.open().await;
    let other = ConsumerKey { name: "relay".into(), partition: 0 };
    for key in [key(0), key(1), other.clone()] {
        let row = store.acquire(&key, "a", SECOND).await.unwrap().unwrap();
        store.save(&row.lease, at(u64::from(key.partition) + 1)).await.unwrap();
    }
    assert_eq!(store.consumer(&key(0)).await.unwrap().unwrap().checkpoint, at(1));
    assert_eq!(store.consumer(&key(1)).await.unwrap().unwrap().checkpoint, at(2));
    assert_eq!(store.consumer(&other).await.unwrap().unwrap().lease.key, other);
    store.close().await.unwrap();
}

pub(crate) async fn of_many_who_want_a_lease_one_gets_it(backend: &impl Backend) {
    let store = backend.open().await;
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.acquire(&key(0), &format!("o{n}"), 60 * SECOND).await.unwrap() })
        })
        .collect();
    let mut got = 0;
    for task in tasks {
        got += usize::from(task.await.unwrap().is_some());
    }
    assert_eq!(got, 1);
    store.close().await.unwrap();
}

pub(crate) async fn the_rows_of_a_name_are_listed(backend: &impl Backend) {
    let store = backend.open().await;
    assert_eq!(store.consumers("sagas").await.unwrap(), []);
    for (partition, owner) in [(3, "b"), (1, "a"), (2, "a")] {
        store.acquire(&key(partition), owner, 10 * SECOND).await.unwrap().unwrap();
    }
    let other = ConsumerKey { name: "sagas/other".into(), partition: 0 };
    store.acquire(&other, "c", 10 * SECOND).await.unwrap();
    let rows = store.consumers("sagas").await.unwrap();
    let listed: Vec<_> = rows.iter().map(|row| (row.lease.key.partition, row.lease.owner.as_str())).collect();
    assert_eq!(listed, [(1, "a"), (2, "a"), (3, "b")]);
    assert_eq!(Some(rows[2].clone()), store.consumer(&key(3)).await.unwrap());
}
