//! A command is in the log once, however often it is sent.

use event_store::append::{Expectation, Outcome};
use uuid::Uuid;

use super::{Backend, appended, batch, keyed, put, stream, versions, write};

pub(crate) async fn a_repeated_command_gets_its_first_receipt(backend: &impl Backend) {
    let store = backend.open().await;
    let first = keyed("k", vec![write(&stream("one"), Expectation::NoStream, &["a", "b"])]);
    let receipt = appended(store.append(first.clone()).await.unwrap());
    put(&*store, &stream("one"), &["c"]).await;
    assert_eq!(store.append(first.clone()).await.unwrap(), Outcome::AlreadyAppended(receipt.clone()));
    // The repetition names the command and its fingerprint; what else it asks for is not looked at.
    let mut other = first;
    other.writes[0].events.pop();
    assert_eq!(store.append(other).await.unwrap(), Outcome::AlreadyAppended(receipt));
    assert_eq!(versions(&*store, &stream("one")).await, [1, 2, 3]);
    store.close().await.unwrap();
}

pub(crate) async fn a_repeated_command_gets_its_first_receipt_after_reopening(backend: &impl Backend) {
    let store = backend.open().await;
    let writes =
        || vec![write(&stream("x"), Expectation::Any, &["a"]), write(&stream("y"), Expectation::Any, &["b", "c"])];
    let batches = [keyed("k", writes()), batch(writes())];
    let mut receipts = Vec::new();
    for batch in &batches {
        receipts.push(appended(store.append(batch.clone()).await.unwrap()));
    }
    for _ in 0..2 {
        store.close().await.unwrap();
    }
    for _ in 0..2 {
        let store = backend.open().await;
        for (batch, receipt) in batches.iter().zip(&receipts) {
            assert_eq!(store.append(batch.clone()).await.unwrap(), Outcome::AlreadyAppended(receipt.clone()));
        }
        store.close().await.unwrap();
    }
}

pub(crate) async fn a_command_id_with_another_fingerprint_is_refused(backend: &impl Backend) {
    let store = backend.open().await;
    let first = keyed("k", vec![write(&stream("one"), Expectation::Any, &["a"])]);
    let mut second = keyed("k", vec![write(&stream("one"), Expectation::Any, &["a"])]);
    second.fingerprint = [8; 32];
    let (first, early) = (store.append(first), store.append(second.clone()));
    let receipt = appended(first.await.unwrap());
    assert_eq!(early.await.unwrap(), Outcome::CommandIdReused(receipt.clone()));
    assert_eq!(store.append(second.clone()).await.unwrap(), Outcome::CommandIdReused(receipt.clone()));
    store.close().await.unwrap();
    let store = backend.open().await;
    assert_eq!(store.append(second).await.unwrap(), Outcome::CommandIdReused(receipt));
    assert_eq!(store.head().borrow().position, 1);
    store.close().await.unwrap();
}

pub(crate) async fn a_refused_command_leaves_no_trace(backend: &impl Backend) {
    let store = backend.open().await;
    let one = stream("one");
    put(&*store, &one, &["a"]).await;
    let refused = keyed("k", vec![write(&one, Expectation::NoStream, &["b"])]);
    assert!(matches!(store.append(refused.clone()).await.unwrap(), Outcome::Conflict { .. }));
    assert_eq!(store.command(refused.command_id).await.unwrap(), None);
    let again = keyed("k", vec![write(&one, Expectation::Any, &["b"])]);
    appended(store.append(again).await.unwrap());
    store.close().await.unwrap();
}

pub(crate) async fn a_command_can_be_asked_for(backend: &impl Backend) {
    let store = backend.open().await;
    let first = keyed("k", vec![write(&stream("one"), Expectation::Any, &["a"])]);
    assert_eq!(store.command(first.command_id).await.unwrap(), None);
    let pending = store.append(first.clone());
    let asked = store.command(first.command_id).await.unwrap();
    let receipt = appended(pending.await.unwrap());
    assert_eq!(asked, Some(receipt.clone()), "the question goes behind what is in flight");
    store.close().await.unwrap();
    let store = backend.open().await;
    assert_eq!(store.command(first.command_id).await.unwrap(), Some(receipt));
    assert_eq!(store.command(Uuid::now_v7()).await.unwrap(), None);
    store.close().await.unwrap();
}

pub(crate) async fn fifty_equal_commands_in_parallel_are_one(backend: &impl Backend) {
    let store = backend.open().await;
    let one = keyed("k", vec![write(&stream("one"), Expectation::NoStream, &["a", "b"])]);
    let pending: Vec<_> = (0..50).map(|_| store.append(one.clone())).collect();
    let (mut new, mut receipts) = (0, Vec::new());
    for pending in pending {
        match pending.await.unwrap() {
            Outcome::Appended(receipt) => {
                new += 1;
                receipts.push(receipt);
            }
            Outcome::AlreadyAppended(receipt) => receipts.push(receipt),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((new, receipts.len()), (1, 50));
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
    assert_eq!(store.head().borrow().position, 2);
    store.close().await.unwrap();
}
