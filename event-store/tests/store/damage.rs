//! Damage behind the store's back is found, at the position of the change.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use event_store::append::Expectation;
use event_store::sqlite::{OpenError, Options, Store, back_up};
use event_store::{Direction, Error, EventStore, Filter, verify};
use rusqlite::Connection;

use crate::contract::{appended, batch, put, stream, versions, write};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_record_is_never_served() {
    for (column, value) in [
        ("recorded_at", "recorded_at + 1"),
        ("category", "'other'"),
        ("version", "version + 1"),
        ("command_id", "randomblob(16)"),
        ("fingerprint", "randomblob(32)"),
        ("data", "randomblob(11)"),
        ("data", "x''"),
        ("hash", "randomblob(32)"),
        ("hash", "randomblob(9)"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path()).await;
        alter(dir.path(), &format!("UPDATE log SET {column} = {value} WHERE position = 13"));
        let store = Store::open(Options::new(dir.path())).unwrap();
        let damaged = |error: &Error| matches!(error, Error::Damaged { position: 13, .. });
        let before = store.read_log(0, &Filter::default(), 100).await.unwrap();
        assert_eq!((before.records.len(), before.next), (12, 12), "{column}: what is whole is served");
        for filter in [Filter::default(), Filter { categories: vec!["order".into()], ..Filter::default() }] {
            let read = store.read_log(12, &filter, 100).await;
            assert!(read.as_ref().is_err_and(damaged), "{column}: {read:?}");
        }
        let read = store.read_stream(&stream("s0"), 1, Direction::Forwards, 100).await;
        assert!(read.as_ref().is_err_and(damaged), "{column}: {read:?}");
        assert_eq!(versions(&*store, &stream("s1")).await.len(), 10, "{column}: others are served");
        let until = Instant::now() + Duration::from_secs(30);
        while store.condition().damaged.is_none_or(|(position, _)| position != 13) {
            assert!(Instant::now() < until, "{column}: {:?}", store.condition());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_proved_beside_the_work_without_being_asked() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let store = Store::open(Options::new(dir.path())).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while store.condition().proved_to < 20 {
        assert!(Instant::now() < until, "{:?}", store.condition());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(store.condition().complaint(), None);
    store.close().await.unwrap();
    drop(store);
    alter(dir.path(), "UPDATE log SET data = x'00' WHERE position = 17");
    let store = Store::open(Options::new(dir.path())).unwrap();
    while store.condition().damaged.is_none_or(|(position, _)| position != 17) {
        assert!(Instant::now() < until, "{:?}", store.condition());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(store.condition().complaint().is_some_and(|said| said.contains("position 17")));
    store.close().await.unwrap();
}

/// A proof of all that there is to prove.
async fn whole_proof(dir: &Path, expected: &[(u64, [u8; 32])]) -> verify::Proof {
    let store = Store::open_read_only(dir).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    verify::prove(&*store, None, scratch.path(), expected, |_| {}).await.unwrap()
}

fn violated(proof: &verify::Proof) -> Vec<String> {
    proof.findings.iter().flat_map(|finding| finding.violations.clone()).collect()
}

#[tokio::test]
async fn a_log_that_was_rewritten_or_cut_is_not_the_one_that_was_expected() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let store = Store::open_read_only(dir.path()).unwrap();
    let records = store.read_log(0, &Filter::default(), 100).await.unwrap().records;
    let expected = [(7, records[6].hash), (20, records[19].hash)];
    assert_eq!(violated(&whole_proof(dir.path(), &expected).await), Vec::<String>::new());
    // The end is cut off, and the head says so.
    let hex: String = records[17].hash.iter().map(|byte| format!("{byte:02x}")).collect();
    alter(dir.path(), &format!("DELETE FROM log WHERE position > 18; UPDATE head SET position = 18, hash = x'{hex}'"));
    let cut = whole_proof(dir.path(), &expected).await;
    assert_eq!((cut.proven.position, cut.broken.clone()), (18, None));
    assert!(violated(&cut)[0].contains("position 20 was expected"), "{cut:?}");
    let other = whole_proof(dir.path(), &[(7, [7; 32]), (18, records[17].hash)]).await;
    assert!(violated(&other)[0].contains("position 7 has another hash"), "{other:?}");
}

#[tokio::test]
async fn an_event_id_that_comes_twice_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(dir.path())).unwrap();
    let one = batch(vec![write(&stream("one"), Expectation::Any, &["x"])]);
    let mut other = batch(vec![write(&stream("other"), Expectation::Any, &["y"])]);
    other.writes[0].events[0].event_id = one.writes[0].events[0].event_id;
    appended(store.append(one).await.unwrap());
    appended(store.append(other).await.unwrap());
    store.close().await.unwrap();
    let proof = whole_proof(dir.path(), &[]).await;
    assert_eq!((proof.proven.position, violated(&proof).len()), (2, 1), "{proof:?}");
    assert!(violated(&proof)[0].starts_with("position 2: the event"), "{proof:?}");
}

#[tokio::test]
async fn a_proof_says_how_far_it_came() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    alter(dir.path(), "UPDATE log SET data = x'00' WHERE position = 15");
    let proof = whole_proof(dir.path(), &[]).await;
    assert_eq!((proof.proven.position, proof.broken.as_ref().map(|broken| broken.0)), (14, Some(15)));
    assert_eq!(violated(&proof).len(), 1, "{proof:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_made_beside_the_writer_is_one_state_of_it() {
    let (dir, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(dir.path()).await;
    let store = Store::open(Options::new(dir.path())).unwrap();
    for n in 0..3 {
        let begun = store.head().borrow().position;
        let (from, to) = (dir.path().join("log.sqlite"), copies.path().join(format!("{n}/log.sqlite")));
        fs::create_dir(to.parent().unwrap()).unwrap();
        let target = to.clone();
        let copying = tokio::task::spawn_blocking(move || back_up(&from, &target, |_, _| {}).unwrap());
        while !copying.is_finished() {
            put(&*store, &stream("busy"), &["x", "y"]).await;
        }
        copying.await.unwrap();
        let copied = Store::open_read_only(to.parent().unwrap()).unwrap();
        let proven = verify::chain(&*copied, 0, |_| {}).await.unwrap();
        assert!(proven.position >= begun, "{n}: {} of {begun}", proven.position);
        assert!(back_up(&dir.path().join("log.sqlite"), &to, |_, _| {}).is_err(), "nothing is written over");
    }
    store.close().await.unwrap();
}
