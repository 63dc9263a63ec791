//! The log is append-only for the database as well, and a store needs no right to change it.

use event_store::consumer::{Checkpoint, ConsumerKey};
use event_store::postgres::{OpenError, Store, grant, migrate};
use event_store::snapshot::Snapshot;
use event_store::{EventStore, Filter};
use servers::Postgres;

use super::{check, execute, number, options};
use crate::contract::{log, put, stream};

/// The same database for another role.
fn as_role(url: &str, role: &str) -> String {
    url.replace("postgres@", &format!("{role}@"))
}

async fn code(url: &str, sql: &str) -> Option<String> {
    match execute(url, sql).await {
        Ok(()) => None,
        Err(sqlx::Error::Database(error)) => error.code().map(|code| code.into_owned()),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_role_without_rights_to_change_events_runs_the_store() {
    let url = Postgres::shared().database();
    let role = "daybook app";
    let app = as_role(&url, "daybook%20app");
    execute(&url, "DROP ROLE IF EXISTS \"daybook app\"; CREATE ROLE \"daybook app\" LOGIN").await.unwrap();
    assert!(matches!(Store::open(options(&app)).await, Err(OpenError::Postgres(_))), "it cannot make the schema");
    migrate(&url, false).await.unwrap();
    for _ in 0..2 {
        grant(&url, role).await.unwrap();
    }
    let store = Store::open(options(&app)).await.unwrap();
    let receipt = put(&*store, &stream("one"), &["x", "y"]).await;
    assert_eq!(store.command(receipt.command_id).await.unwrap(), Some(receipt));
    let key = ConsumerKey { name: "relay".into(), partition: 0 };
    let row = store.acquire(&key, "a", 1_000_000).await.unwrap().unwrap();
    store.save(&row.lease, Checkpoint::default()).await.unwrap();
    store.release(&row.lease).await.unwrap();
    let (version, event_id) = store.stream_head(&stream("one")).await.unwrap().unwrap();
    let snapshot = Snapshot { fold: 1, version, event_id, state: vec![1].into() };
    store.keep_snapshot(stream("one"), snapshot);
    store.close().await.unwrap();
    assert_eq!(number(&url, "SELECT count(*) FROM daybook.snapshot").await, 1);

    for sql in [
        "UPDATE daybook.events SET data = ''",
        "DELETE FROM daybook.events",
        "TRUNCATE daybook.events",
        "UPDATE daybook.store SET incarnation = gen_random_uuid()",
        "DELETE FROM daybook.head",
        "ALTER TABLE daybook.events DISABLE TRIGGER ALL",
        "UPDATE daybook.head SET position = 0",
        "UPDATE daybook.head SET ahead_us = 1",
    ] {
        assert_eq!(code(&app, sql).await.as_deref(), Some("42501"), "{sql}");
    }
    let store = Store::open(options(&app)).await.unwrap();
    assert_eq!(check(&*store).await, 2);
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_owner_cannot_change_the_log_by_accident_either() {
    let url = Postgres::shared().database();
    let store = Store::open(options(&url)).await.unwrap();
    put(&*store, &stream("one"), &["x"]).await;
    for sql in [
        "UPDATE daybook.events SET data = ''",
        "DELETE FROM daybook.events",
        "TRUNCATE daybook.events",
        "DELETE FROM daybook.head",
        "UPDATE daybook.head SET position = 0",
    ] {
        assert_eq!(code(&url, sql).await.as_deref(), Some("42501"), "{sql}");
    }
    assert_eq!(log(&*store, &Filter::default(), 10).await.len(), 1);
    store.close().await.unwrap();
}
