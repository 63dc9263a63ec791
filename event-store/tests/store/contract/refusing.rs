//! What a store says that cannot take a batch: never, or not now. Nothing of it is written then, and the same batch goes in later.

use event_store::append::{Expectation, Outcome};
use event_store::consumer::{Checkpoint, ConsumerKey};
use event_store::{Class, Error, EventStore};

use crate::contract::{Backend, appended, keyed, stream, versions, write};

/// Appends while the backend cannot write, and again once it can.
async fn refuses_now(store: &dyn EventStore) -> event_store::append::Batch {
    let batch = keyed("later", vec![write(&stream("one"), Expectation::Any, &["b"])]);
    let refused = store.append(batch.clone()).await.unwrap_err();
    assert_eq!(refused.class(), Class::NotNow, "{refused}");
    assert!(matches!(refused, Error::NotNow(_)), "{refused:?}");
    let large = keyed("large", vec![write(&stream("one"), Expectation::Any, &["x".repeat(2 * 1024 * 1024).as_str()])]);
    let never = store.append(large).await.unwrap_err();
    assert_eq!(never.class(), Class::Never, "what never fits is told at once, whatever the disk does: {never}");
    batch
}

async fn takes(store: &dyn EventStore, batch: event_store::append::Batch) {
    assert_eq!(store.command(batch.command_id).await.unwrap(), None, "not now means not written");
    appended(store.append(batch.clone()).await.unwrap());
    assert!(matches!(store.append(batch).await.unwrap(), Outcome::AlreadyAppended(_)));
    assert_eq!(versions(store, &stream("one")).await, [1, 2]);
}

pub(crate) async fn a_log_that_is_locked_takes_nothing_now_and_the_same_later(backend: &impl Backend) {
    let store = backend.open_impatient().await;
    appended(store.append(keyed("first", vec![write(&stream("one"), Expectation::NoStream, &["a"])])).await.unwrap());
    let lock = backend.lock().await;
    let batch = refuses_now(&*store).await;
    assert_eq!(versions(&*store, &stream("one")).await, [1], "what is there can be read meanwhile");
    drop(lock);
    takes(&*store, batch).await;
    store.close().await.unwrap();
}

pub(crate) async fn a_full_disk_takes_nothing_now_and_the_same_later(backend: &impl Backend) {
    let store = backend.open_impatient().await;
    appended(store.append(keyed("first", vec![write(&stream("one"), Expectation::NoStream, &["a"])])).await.unwrap());
    let key = ConsumerKey { name: "sagas".into(), partition: 0 };
    let lease = store.acquire(&key, "o", 3_600_000_000).await.unwrap().unwrap().lease;
    let at = Checkpoint { position: 1, ..Checkpoint::default() };
    backend.fill(true).await;
    let batch = refuses_now(&*store).await;
    let refused = store.save(&lease, at.clone()).await.unwrap_err();
    assert_eq!(refused.class(), Class::NotNow, "{refused}");
    backend.fill(false).await;
    takes(&*store, batch).await;
    store.save(&lease, at.clone()).await.unwrap();
    assert_eq!(store.consumer(&key).await.unwrap().unwrap().checkpoint, at);
    store.close().await.unwrap();
}
