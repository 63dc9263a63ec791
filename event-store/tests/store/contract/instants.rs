//! When something was recorded, and what was there at an instant.

use event_store::Filter;

use super::{Backend, log, put, stream};

const SECOND: i64 = 1_000_000;

pub(crate) async fn recorded_at_grows_whatever_the_clock_does(backend: &impl Backend) {
    let store = backend.open().await;
    let mut last = 0;
    for step in [0, 5 * SECOND, -3600 * SECOND, 0, 10 * SECOND, -SECOND] {
        backend.clock().advance(step);
        let receipt = put(&*store, &stream("one"), &["x"]).await;
        assert!(receipt.recorded_at > last);
        last = receipt.recorded_at;
    }
    store.close().await.unwrap();
    backend.clock().advance(-86_400 * SECOND);
    let store = backend.open().await;
    assert!(put(&*store, &stream("one"), &["x"]).await.recorded_at > last, "also after a restart");
    store.close().await.unwrap();
}

pub(crate) async fn an_instant_has_the_last_position_before_it(backend: &impl Backend) {
    let store = backend.open().await;
    for n in 0..20 {
        backend.clock().advance(SECOND);
        put(&*store, &stream("one"), &vec!["x"; n % 3 + 1]).await;
    }
    let records = log(&*store, &Filter::default(), 100).await;
    assert_eq!(store.position_at(records[0].recorded_at - 1).await.unwrap(), 0);
    assert_eq!(store.position_at(i64::MIN).await.unwrap(), 0);
    for record in &records {
        let last_then = records.iter().rfind(|other| other.recorded_at == record.recorded_at).unwrap().position;
        assert_eq!(store.position_at(record.recorded_at).await.unwrap(), last_then);
        assert_eq!(store.position_at(record.recorded_at + 1).await.unwrap(), last_then);
    }
    assert_eq!(store.position_at(i64::MAX).await.unwrap(), records.len() as u64);
    store.close().await.unwrap();
}

pub(crate) async fn an_answered_instant_stays_answered(backend: &impl Backend) {
    let store = backend.open().await;
    let writers: Vec<_> = (0..4)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..100 {
                    put(&*store, &stream(&format!("s{n}")), &["x"]).await;
                }
            })
        })
        .collect();
    let mut answers = Vec::new();
    while !writers.iter().all(|writer| writer.is_finished()) {
        let now = store.now();
        answers.push((now, store.position_at(now).await.unwrap()));
    }
    for (instant, answer) in answers {
        assert_eq!(store.position_at(instant).await.unwrap(), answer);
    }
    store.close().await.unwrap();
}

pub(crate) async fn an_answered_instant_stays_answered_when_the_clock_is_set_back(backend: &impl Backend) {
    let store = backend.open().await;
    put(&*store, &stream("one"), &["x"]).await;
    backend.clock().advance(60 * SECOND);
    let now = store.now();
    assert_eq!(store.position_at(now).await.unwrap(), 1);
    backend.clock().advance(-60 * SECOND);
    put(&*store, &stream("one"), &["x"]).await;
    assert_eq!(store.position_at(now).await.unwrap(), 1);
    let later = now + 30 * SECOND;
    backend.clock().advance(120 * SECOND);
    assert_eq!(store.position_at(later).await.unwrap(), 2);
    store.close().await.unwrap();
    backend.clock().advance(-600 * SECOND);
    let store = backend.open().await;
    put(&*store, &stream("one"), &["x"]).await;
    assert_eq!(store.position_at(later).await.unwrap(), 2);
    store.close().await.unwrap();
}

pub(crate) async fn asking_about_an_instant_writes_nothing(backend: &impl Backend) {
    let store = backend.open().await;
    put(&*store, &stream("one"), &["x"]).await;
    let before = backend.commits().await;
    let mut answered = Vec::new();
    for n in 0..200 {
        backend.clock().advance(SECOND / 10);
        let instant = store.now() - n % 3;
        answered.push(instant);
        assert_eq!(store.position_at(instant).await.unwrap(), 1);
    }
    assert_eq!(backend.commits().await, before, "200 questions, no commit");
    // The answers stay, also those that no commit has kept: with the clock set back, before and after the store is opened again.
    backend.clock().advance(-3_600 * SECOND);
    put(&*store, &stream("one"), &["x"]).await;
    assert_ne!(backend.commits().await, before);
    let last = answered[answered.len() - 1];
    assert_eq!(store.position_at(last).await.unwrap(), 1);
    backend.clock().advance(7_200 * SECOND);
    let later = store.now();
    assert_eq!(store.position_at(later).await.unwrap(), 2);
    store.close().await.unwrap();
    backend.clock().advance(-3_600 * SECOND);
    let store = backend.open().await;
    assert!(put(&*store, &stream("one"), &["x"]).await.recorded_at > later);
    assert_eq!(store.position_at(later).await.unwrap(), 2);
    for instant in answered {
        assert_eq!(store.position_at(instant).await.unwrap(), 1);
    }
    store.close().await.unwrap();
}
