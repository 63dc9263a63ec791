//! The server settings that opening a store asserts.

use event_store::EventStore;
use event_store::postgres::{OpenError, Store, migrate};
use event_store::record::StreamId;
use event_store::snapshot::Snapshot;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use servers::Postgres;

use super::{execute, number, options};
use crate::contract::{put, stream};

#[tokio::test]
async fn a_server_that_could_lose_what_it_committed_is_refused() {
    for (setting, named) in [
        ("fsync=off", "fsync = off"),
        ("synchronous_commit=off", "synchronous_commit is off"),
        ("synchronous_commit=local", "synchronous_commit is local"),
        ("full_page_writes=off", "full_page_writes = off"),
    ] {
        let server = Postgres::with(&[setting]);
        match Store::open(options(&server.database())).await {
            Err(OpenError::NotDurable(why)) => assert!(why.contains(named), "{why}"),
            other => panic!("{setting}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_setting_that_is_changed_later_is_noticed_by_the_next_connection() {
    let server = Postgres::shared();
    let url = server.database();
    let mut hasty = options(&url).role("changed");
    hasty.patience = std::time::Duration::from_millis(200);
    let store = Store::open(hasty).await.unwrap();
    put(&*store, &stream("one"), &["x"]).await;
    let database = url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    execute(&url, &format!("ALTER DATABASE {database} SET synchronous_commit = off")).await.unwrap();
    execute(
        &url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = 'daybook changed' AND datname = current_database()",
    )
    .await
    .unwrap();
    let one = crate::contract::batch(vec![crate::contract::write(
        &stream("one"),
        event_store::append::Expectation::Any,
        &["y"],
    )]);
    match store.append(one).await {
        Err(event_store::Error::NotNow(why)) => assert!(why.contains("synchronous_commit"), "{why}"),
        other => panic!("{other:?}"),
    }
    execute(&url, &format!("ALTER DATABASE {database} RESET synchronous_commit")).await.unwrap();
    put(&*store, &stream("one"), &["z"]).await;
    assert_eq!(super::check(&*store).await, 2);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_leaves_the_schema_alone() {
    let url = Postgres::shared().database();
    // Many first starts at once make it once.
    let starts: Vec<_> = (0..6)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Store::open(options(&url)).await.unwrap() })
        })
        .collect();
    let mut incarnations = Vec::new();
    for start in starts {
        let store = start.await.unwrap();
        incarnations.push(store.incarnation());
        store.close().await.unwrap();
    }
    assert!(incarnations.iter().all(|incarnation| *incarnation == incarnations[0]));
    let objects = "SELECT sum(oid::bigint + xmin::text::bigint)::bigint FROM pg_class \
                   WHERE relnamespace = 'daybook'::regnamespace";
    let before = number(&url, objects).await;
    migrate(&url, false).await.unwrap();
    Store::open(options(&url)).await.unwrap().close().await.unwrap();
    assert_eq!(number(&url, objects).await, before, "nothing was made anew or altered");
    assert_eq!(number(&url, "SELECT count(*) FROM daybook.migration").await, 3);
}

#[tokio::test]
async fn a_newer_schema_and_other_partitions_are_refused() {
    let url = Postgres::shared().database();
    migrate(&url, false).await.unwrap();
    execute(&url, "UPDATE daybook.store SET stream_partitions = 8").await.unwrap();
    assert!(matches!(Store::open(options(&url)).await, Err(OpenError::Partitions(_))));
    execute(&url, "INSERT INTO daybook.migration VALUES (99)").await.unwrap();
    assert!(matches!(Store::open(options(&url)).await, Err(OpenError::Schema { found: 99, known: 3 })));
}

#[tokio::test]
async fn a_database_that_was_exchanged_stops_the_store() {
    let url = Postgres::shared().database();
    let store = Store::open(options(&url)).await.unwrap();
    put(&*store, &stream("one"), &["x", "y"]).await;
    // As after a restore of an older copy: the same log without its end.
    execute(
        &url,
        "SET session_replication_role = replica; DELETE FROM daybook.events WHERE position = 2; \
         UPDATE daybook.head SET position = 1, hash = (SELECT hash FROM daybook.events WHERE position = 1)",
    )
    .await
    .unwrap();
    let mut failed = store.failed();
    let why = tokio::time::timeout(std::time::Duration::from_secs(60), failed.wait_for(Option::is_some));
    assert!(why.await.unwrap().unwrap().as_deref().unwrap().contains("position 1"));
    assert!(store.command(uuid::Uuid::now_v7()).await.is_err());
    assert!(store.close().await.is_err());
}

#[tokio::test]
async fn the_longest_names_fit_the_indexes() {
    let url = Postgres::shared().database();
    let store = Store::open(options(&url)).await.unwrap();
    let mut random = SmallRng::seed_from_u64(1);
    let mut name = |bytes: usize| -> String {
        // Incompressible text.
        (0..bytes).map(|_| char::from(random.random_range(33..127_u8))).collect()
    };
    let long = StreamId::new(name(255), name(255), name(2_048));
    put(&*store, &long, &["x", "y"]).await;
    let (version, event_id) = store.stream_head(&long).await.unwrap().unwrap();
    let snapshot = Snapshot { fold: 1, version, event_id, state: vec![1].into() };
    store.keep_snapshot(long.clone(), snapshot.clone());
    store.close().await.unwrap();
    let store = Store::open(options(&url)).await.unwrap();
    assert_eq!(store.stream_head(&long).await.unwrap().unwrap().0, 2);
    assert_eq!(store.snapshot(&long, 1).await.unwrap(), Some(snapshot));
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_snapshot_that_was_changed_is_not_answered_and_leaves() {
    let url = Postgres::shared().database();
    let one = stream("one");
    for sql in
        ["state = 'another'", "version = 1", "event_id = gen_random_uuid()", "proof = sha256('x')", "version = 9000"]
    {
        let store = Store::open(options(&url)).await.unwrap();
        put(&*store, &one, &["x", "y"]).await;
        let (version, event_id) = store.stream_head(&one).await.unwrap().unwrap();
        let snapshot = Snapshot { fold: 1, version, event_id, state: vec![1].into() };
        store.keep_snapshot(one.clone(), snapshot.clone());
        store.close().await.unwrap();
        let store = Store::open(options(&url)).await.unwrap();
        assert_eq!(store.snapshot(&one, 1).await.unwrap(), Some(snapshot));
        execute(&url, &format!("UPDATE daybook.snapshot SET {sql}")).await.unwrap();
        assert_eq!(store.snapshot(&one, 1).await.unwrap(), None, "{sql}");
        store.close().await.unwrap();
        assert_eq!(number(&url, "SELECT count(*) FROM daybook.snapshot").await, 0, "{sql}");
    }
}
