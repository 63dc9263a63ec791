//! What was altered behind the store's back is found, at the position where it was altered.

use std::fs;
use std::path::Path;

use event_store::sqlite::{OpenError, Options, Store};
use event_store::{Direction, Error, EventStore, verify};
use rusqlite::Connection;

use crate::contract::{put, stream, versions};

/// A store with twenty records in two streams.
async fn filled(dir: &Path) {
    let store = Store::open(Options::new(dir)).unwrap();
    for n in 0..10 {
        put(&*store, &stream(&format!("s{}", n % 2)), &["the payload", "another payload"]).await;
    }
    store.close().await.unwrap();
}

/// Changes the log as its file's owner could.
fn alter(dir: &Path, sql: &str) {
    let log = Connection::open(dir.join("log.sqlite")).unwrap();
    log.execute_batch("DROP TRIGGER log_is_never_changed; DROP TRIGGER log_is_never_cut").unwrap();
    log.execute_batch(sql).unwrap();
}

async fn proof(dir: &Path) -> Result<u64, Error> {
    let store = Store::open_read_only(dir).unwrap();
    verify::chain(&*store, 0, |_| {}).await.map(|proven| proven.position)
}

#[tokio::test]
async fn every_altered_column_is_found() {
    for (column, value) in [
        ("recorded_at", "recorded_at + 1"),
        ("tenant", "'other'"),
        ("category", "'other'"),
        ("stream_id", "'other'"),
        ("version", "version + 1"),
        ("event_id", "randomblob(16)"),
        ("kind", "'Other'"),
        ("schema_version", "schema_version + 1"),
        ("command_id", "randomblob(16)"),
        ("hash", "randomblob(32)"),
        ("fingerprint", "randomblob(32)"),
        ("fingerprint", "NULL"),
        ("metadata", "x'7b207d'"),
        ("data", "randomblob(11)"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path()).await;
        assert_eq!(proof(dir.path()).await.unwrap(), 20);
        alter(dir.path(), &format!("UPDATE log SET {column} = {value} WHERE position = 13"));
        match proof(dir.path()).await {
            Err(Error::Damaged { position: 13, .. }) => {}
            other => panic!("{column}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let path = dir.path().join("log.sqlite");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(11).rposition(|window| window == b"the payload").unwrap();
    bytes[at + 3] ^= 0x10;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(proof(dir.path()).await, Err(Error::Damaged { .. })));
}

#[tokio::test]
async fn a_removed_an_exchanged_and_a_cut_record_are_found() {
    for (sql, at) in [
        ("DELETE FROM log WHERE position = 7", 7),
        (
            "UPDATE log SET position = 99 WHERE position = 7; UPDATE log SET position = 7 WHERE position = 8; \
          UPDATE log SET position = 8 WHERE position = 99",
            7,
        ),
        ("DELETE FROM log WHERE position > 18", 19),
    ] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path()).await;
        alter(dir.path(), sql);
        match proof(dir.path()).await {
            Err(Error::Damaged { position, .. }) => assert_eq!(position, at, "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_log_whose_end_is_missing_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    alter(dir.path(), "DELETE FROM log WHERE position = 20");
    assert!(matches!(Store::open(Options::new(dir.path())), Err(OpenError::Damaged(_))));
}

#[tokio::test]
async fn the_log_refuses_changes() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let log = Connection::open(dir.path().join("log.sqlite")).unwrap();
    for sql in ["UPDATE log SET kind = 'x' WHERE position = 1", "DELETE FROM log WHERE position = 1"] {
        let error = log.execute_batch(sql).unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
}

#[tokio::test]
async fn an_index_that_points_to_the_wrong_record_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let index = Connection::open(dir.path().join("index.sqlite")).unwrap();
    index
        .execute_batch("UPDATE entry SET position = position % 20 + 1; UPDATE stream SET first = first % 20 + 1")
        .unwrap();
    drop(index);
    let store = Store::open(Options::new(dir.path())).unwrap();
    let read = store.read_stream(&stream("s0"), 1, Direction::Forwards, 100).await;
    assert!(matches!(read, Err(Error::Damaged { .. })), "{read:?}");
    store.close().await.unwrap();
    drop(store);
    fs::remove_file(dir.path().join("index.sqlite")).unwrap();
    let store = Store::open(Options::new(dir.path())).unwrap();
    assert_eq!(versions(&*store, &stream("s0")).await.len(), 10);
    store.close().await.unwrap();
}
