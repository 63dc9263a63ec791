//! Batches that become durable together are judged one after the other.

use event_store::append::{Expectation, Outcome};

use super::{Backend, after, appended, batch, event, put, stream, versions, write};

pub(crate) async fn a_conflict_harms_no_other(backend: &impl Backend) {
    let store = backend.open().await;
    let taken = stream("taken");
    put(&*store, &taken, &["a"]).await;
    let pending: Vec<_> = (0..200)
        .map(|n| {
            let stream = if n % 3 == 0 { taken.clone() } else { stream(&format!("s{n}")) };
            (n, store.append(batch(vec![write(&stream, Expectation::NoStream, &["x"])])))
        })
        .collect();
    for (n, pending) in pending {
        match pending.await.unwrap() {
            Outcome::Conflict { actual: Some((1, _)), .. } => assert_eq!(n % 3, 0),
            Outcome::Appended(_) => assert_ne!(n % 3, 0),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(store.head().borrow().position, 1 + 133);
    store.close().await.unwrap();
}

pub(crate) async fn a_chain_of_speculative_batches_goes_in(backend: &impl Backend) {
    let store = backend.open().await;
    let one = stream("one");
    let (mut expected, mut pending) = (Expectation::NoStream, Vec::new());
    for version in 1..=100 {
        let next = batch(vec![write(&one, expected, &["x"])]);
        expected = after(&next, version);
        pending.push(store.append(next));
    }
    for pending in pending {
        appended(pending.await.unwrap());
    }
    assert_eq!(versions(&*store, &one).await, (1..=100).collect::<Vec<_>>());
    store.close().await.unwrap();
}

pub(crate) async fn what_rests_on_a_failed_batch_fails(backend: &impl Backend) {
    let store = backend.open().await;
    let one = stream("one");
    put(&*store, &one, &["there"]).await;
    // The first expects an event that is not there; the second expects the first's event, at the version that is there.
    let failing = batch(vec![write(&one, Expectation::NoStream, &["a"])]);
    let resting =
        batch(vec![write(&stream("two"), Expectation::NoStream, &["b"]), write(&one, after(&failing, 1), &[])]);
    let (failing, resting) = (store.append(failing), store.append(resting));
    assert!(matches!(failing.await.unwrap(), Outcome::Conflict { .. }));
    assert!(matches!(resting.await.unwrap(), Outcome::Conflict { stream, .. } if stream == one));
    assert_eq!(store.stream_head(&stream("two")).await.unwrap(), None);
    store.close().await.unwrap();
}

pub(crate) async fn of_many_writers_of_one_version_one_wins(backend: &impl Backend) {
    let store = backend.open().await;
    let one = stream("one");
    let mut at = Expectation::NoStream;
    for round in 1..=10 {
        let tasks: Vec<_> = (0..32)
            .map(|_| {
                let (store, one) = (store.clone(), one.clone());
                tokio::spawn(async move {
                    let batch = batch(vec![write(&one, at, &["x"])]);
                    let won = matches!(store.append(batch.clone()).await.unwrap(), Outcome::Appended(_));
                    won.then(|| after(&batch, round))
                })
            })
            .collect();
        let mut winners = Vec::new();
        for task in tasks {
            winners.extend(task.await.unwrap());
        }
        assert_eq!(winners.len(), 1);
        at = winners[0];
    }
    assert_eq!(versions(&*store, &one).await.len(), 10);
    store.close().await.unwrap();
}

pub(crate) async fn appends_of_one_task_keep_their_order(backend: &impl Backend) {
    let store = backend.open().await;
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                let pending: Vec<_> = (0..50)
                    .map(|n| {
                        let stream = stream(&format!("{task}-{n}"));
                        store.append(batch(vec![write(&stream, Expectation::NoStream, &["x"])]))
                    })
                    .collect();
                let mut last = 0;
                for pending in pending {
                    let receipt = appended(pending.await.unwrap());
                    assert!(receipt.first_position > last);
                    last = receipt.last_position;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.head().borrow().position, 400);
    store.close().await.unwrap();
}

pub(crate) async fn an_acknowledged_batch_precedes_what_is_sent_after_it(backend: &impl Backend) {
    let store = backend.open().await;
    let mut before = 0;
    for n in 0..20 {
        let mut batch = batch(vec![write(&stream(&format!("s{n}")), Expectation::NoStream, &[])]);
        batch.writes[0].events = vec![event("x")];
        let receipt = appended(store.append(batch).await.unwrap());
        assert!(receipt.first_position > before);
        before = receipt.last_position;
        assert!(store.head().borrow().position >= before, "what is acknowledged can be read");
    }
    store.close().await.unwrap();
}
