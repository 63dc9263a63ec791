//! The index is a cache: whatever happens to its file, the store opens, accepts no command twice and gives no stream a
//! second beginning.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use event_store::append::{Batch, Expectation, Outcome, Receipt};
use event_store::snapshot::Snapshot;
use event_store::sqlite::{OpenError, Options, Store};
use event_store::{Direction, Error, EventStore, verify};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::contract::{appended, keyed, put, stream, versions, write};
use crate::sqlite::cramped;

const STREAMS: usize = 150;
const INDEX: &str = "index.sqlite";

type Sent = Vec<(Batch, Receipt)>;

/// A store of [`STREAMS`] streams with four events each, closed, and the commands that wrote the first of them.
async fn filled() -> (TempDir, Sent) {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(dir.path());
    options.run = 64;
    let store = Store::open(options).unwrap();
    let mut sent = Sent::new();
    for n in 0..STREAMS {
        let batch = keyed(&format!("k{n}"), vec![write(&stream(&format!("s{n}")), Expectation::NoStream, &["a", "b"])]);
        sent.push((batch.clone(), appended(store.append(batch).await.unwrap())));
    }
    for n in 0..STREAMS {
        put(&*store, &stream(&format!("s{n}")), &["c", "d"]).await;
    }
    store.close().await.unwrap();
    (dir, sent)
}

fn copy(from: &Path) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in ["log.sqlite", INDEX] {
        fs::copy(from.join(file), dir.path().join(file)).unwrap();
    }
    dir
}

fn alter(dir: &Path, sql: &str) {
    let index = Connection::open(dir.join(INDEX)).unwrap();
    index.execute_batch(sql).unwrap();
}

/// Retries until the store no longer answers *not now*.
async fn settled<T>(mut ask: impl AsyncFnMut() -> Result<T, Error>) -> T {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(Error::Read(_) | Error::NotNow(_)) if Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Every command is known and every stream continues where it ended.
async fn nothing_is_lost(store: &Store, sent: &Sent, length: u64) {
    for (n, (batch, receipt)) in sent.iter().enumerate() {
        let again = settled(|| store.append(batch.clone())).await;
        assert_eq!(again, Outcome::AlreadyAppended(receipt.clone()));
        assert_eq!(settled(|| store.command(batch.command_id)).await.as_ref(), Some(receipt));
        let one = stream(&format!("s{n}"));
        let (version, event_id) = settled(|| store.stream_head(&one)).await.unwrap();
        assert_eq!(version, length);
        let records = settled(|| store.read_stream(&one, 1, Direction::Forwards, 100)).await;
        assert_eq!(records.iter().map(|record| record.version).collect::<Vec<_>>(), (1..=length).collect::<Vec<_>>());
        let next = keyed(&format!("n{n}-{length}"), vec![write(&one, Expectation::At { version, event_id }, &["e"])]);
        appended(settled(|| store.append(next.clone())).await);
    }
}

async fn proof(dir: &Path) -> verify::Proof {
    let store = Store::open_read_only(dir).unwrap();
    let index = event_store::audit::Audit::index(&*store).await.unwrap();
    let scratch = tempfile::tempdir().unwrap();
    verify::prove(&*store, index, scratch.path(), &[], |_| {}).await.unwrap()
}

fn violated(proof: &verify::Proof) -> Vec<&str> {
    proof.findings.iter().filter(|one| one.violated > 0).map(|one| one.name.as_str()).collect()
}

async fn opens_whole(dir: &Path, sent: &Sent) {
    let store = Store::open(Options::new(dir)).unwrap();
    nothing_is_lost(&store, sent, 4).await;
    store.close().await.unwrap();
    drop(store);
    assert_eq!(violated(&proof(dir).await), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_the_index_has_lost_is_not_taken_again() {
    let (dir, sent) = filled().await;
    assert_eq!(violated(&proof(dir.path()).await), Vec::<&str>::new());
    alter(dir.path(), "DELETE FROM command WHERE first = (SELECT min(first) FROM command)");
    assert!(violated(&proof(dir.path()).await)[0].starts_with("index of the log"), "the proof finds it");
    opens_whole(dir.path(), &sent).await;
    assert!(dir.path().join("index.sqlite.damaged").exists(), "it was set aside");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_the_index_has_lost_does_not_begin_again() {
    let (dir, sent) = filled().await;
    for sql in [
        "DELETE FROM command WHERE first < 9; DELETE FROM stream WHERE first < 9",
        "DELETE FROM stream",
        "DELETE FROM entry WHERE version = 4 AND position % 3 = 0",
        "DELETE FROM entry WHERE version = 2",
        "UPDATE entry SET position = position % 600 + 1",
        "UPDATE stream SET version = 3 WHERE first % 5 = 1",
        "UPDATE stream SET first = first + 1",
        "UPDATE command SET first = first + 2 WHERE first > 20",
        "UPDATE indexed SET streams = streams - 1",
        "UPDATE indexed SET position = position - 1",
        "DELETE FROM indexed",
        "DROP TABLE command",
    ] {
        let dir = copy(dir.path());
        alter(dir.path(), sql);
        assert_eq!(violated(&proof(dir.path()).await).len(), 1, "{sql}");
        opens_whole(dir.path(), &sent).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_with_damaged_pages_is_made_again() {
    let (whole, sent) = filled().await;
    let bytes = fs::read(whole.path().join(INDEX)).unwrap();
    for seed in 0..40 {
        let dir = copy(whole.path());
        let mut random = StdRng::seed_from_u64(seed);
        let mut bytes = bytes.clone();
        match seed % 4 {
            0 => bytes.truncate(random.random_range(0..bytes.len())),
            1 => {
                let page = random.random_range(0..bytes.len() / 4096) * 4096;
                bytes[page..page + 4096].fill(random.random());
            }
            _ => {
                for _ in 0..random.random_range(1..40) {
                    let at = random.random_range(0..bytes.len());
                    bytes[at] ^= random.random_range(1..=255_u8);
                }
            }
        }
        fs::write(dir.path().join(INDEX), bytes).unwrap();
        let beside = Store::open_read_only(dir.path()).unwrap();
        let read = beside.read_stream(&stream("s7"), 1, Direction::Forwards, 9).await;
        assert!(read.is_err() || read.is_ok_and(|read| read.len() == 4), "{seed}: no wrong answer beside the writer");
        drop(beside);
        opens_whole(dir.path(), &sent).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_damaged_under_an_open_store_gives_no_wrong_answer() {
    for (n, sql) in [
        "DELETE FROM command",
        "DELETE FROM stream WHERE first % 2 = 1",
        "UPDATE stream SET version = 2, event_id = randomblob(16)",
        "DELETE FROM entry WHERE version > 2",
        "UPDATE entry SET position = position - 1 WHERE position > 2",
        "DROP TABLE entry",
    ]
    .into_iter()
    .enumerate()
    {
        let (dir, sent) = filled().await;
        // Hardly anything in memory: nearly every answer comes from the index.
        let store = Store::open(cramped(dir.path())).unwrap();
        alter(dir.path(), sql);
        nothing_is_lost(&store, &sent, 4).await;
        nothing_is_lost(&store, &sent, 5).await;
        assert_eq!(store.condition().complaint(), None, "{n}: the index was made again");
        assert!(dir.path().join("index.sqlite.damaged").exists(), "{n}: it was set aside");
        store.close().await.unwrap();
        drop(store);
        assert_eq!(violated(&proof(dir.path()).await), Vec::<&str>::new(), "{n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_index_is_made_again_at_start_and_at_work() {
    let (dir, sent) = filled().await;
    fs::remove_file(dir.path().join(INDEX)).unwrap();
    let store = Store::open(cramped(dir.path())).unwrap();
    nothing_is_lost(&store, &sent, 4).await;
    fs::write(dir.path().join(INDEX), b"this is no database, and long enough to be one, if only just so").unwrap();
    nothing_is_lost(&store, &sent, 5).await;
    store.close().await.unwrap();
    drop(store);
    opens_whole_at(dir.path(), &sent, 6).await;
}

async fn opens_whole_at(dir: &Path, sent: &Sent, length: u64) {
    let store = Store::open(Options::new(dir)).unwrap();
    nothing_is_lost(&store, sent, length).await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_cannot_be_written_is_told_and_taken_up_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = cramped(dir.path());
    options.tail = 40;
    let store = Store::open(options).unwrap();
    let index = Connection::open(dir.path().join(INDEX)).unwrap();
    index.busy_timeout(Duration::from_secs(10)).unwrap();
    index.execute_batch("BEGIN IMMEDIATE").unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let mut written = 0;
    while !store.condition().waiting || store.condition().unwritable.is_none() {
        assert!(Instant::now() < until, "{:?}", store.condition());
        let _ = tokio::time::timeout(Duration::from_millis(50), put(&*store, &stream("one"), &["x"])).await;
        written += 1;
    }
    let said = store.condition().complaint().unwrap_or_default();
    assert!(said.contains("cannot be written") && said.contains("nothing is appended"), "{said} after {written}");
    index.execute_batch("ROLLBACK").unwrap();
    while store.condition().complaint().is_some() {
        assert!(Instant::now() < until, "{:?}", store.condition());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    put(&*store, &stream("two"), &["x"]).await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_was_changed_is_not_answered_and_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(dir.path())).unwrap();
    let one = stream("one");
    put(&*store, &one, &["a", "b", "c"]).await;
    let records = store.read_stream(&one, 1, Direction::Forwards, 9).await.unwrap();
    let at = |version: u64| Snapshot {
        fold: 3,
        version,
        event_id: records[version as usize - 1].event_id,
        state: format!("on_hand 199 at {version}").into_bytes().into(),
    };
    for sql in [
        "UPDATE snapshot SET state = CAST(replace(CAST(state AS TEXT), '199', '9199') AS BLOB)",
        "UPDATE snapshot SET version = 3",
        "UPDATE snapshot SET event_id = randomblob(16)",
        "UPDATE snapshot SET proof = randomblob(32)",
        "UPDATE snapshot SET version = 4000000000",
    ] {
        store.keep_snapshot(one.clone(), at(2));
        let there = || {
            let index = Connection::open(dir.path().join(INDEX)).unwrap();
            index.busy_timeout(Duration::from_secs(10)).unwrap();
            let count = index.query_row("SELECT count(*) FROM snapshot", [], |row| row.get::<_, u32>(0)).unwrap();
            (index, count)
        };
        wait_for(|| there().1 == 1).await;
        // From now on it is read from the file.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(store.snapshot(&one, 3).await.unwrap(), Some(at(2)));
        there().0.execute_batch(sql).unwrap();
        assert_eq!(store.snapshot(&one, 3).await.unwrap(), None, "{sql}");
        wait_for(|| there().1 == 0).await;
    }
    store.keep_snapshot(one.clone(), at(3));
    wait_for(|| dir.path().exists()).await;
    assert_eq!(store.snapshot(&one, 3).await.unwrap(), Some(at(3)));
    assert_eq!(versions(&*store, &one).await.len(), 3);
    store.close().await.unwrap();
}

/// Changes the log as its file's owner could.
fn alter_log(dir: &Path, sql: &str) {
    let log = Connection::open(dir.join("log.sqlite")).unwrap();
    log.execute_batch("DROP TRIGGER log_is_never_changed; DROP TRIGGER log_is_never_cut").unwrap();
    log.execute_batch(sql).unwrap();
}

/// The index is the file that it was: a row that only this test has put there is there still.
fn is_marked(dir: &Path) -> bool {
    let index = Connection::open(dir.join(INDEX)).unwrap();
    let count = index.query_row("SELECT count(*) FROM snapshot WHERE fold = 99", [], |row| row.get::<_, u32>(0));
    count.unwrap() == 1 && !dir.join("index.sqlite.damaged").exists()
}

const MARK: &str = "INSERT INTO snapshot VALUES (x'00', 99, 1, x'00', x'00', x'00')";

/// A closed store whose marked index ends well before the log does; and where it ends.
async fn behind() -> (TempDir, Sent, u64) {
    let (dir, sent) = filled().await;
    let old = copy(dir.path());
    let store = Store::open(Options::new(dir.path())).unwrap();
    for n in 0..STREAMS {
        put(&*store, &stream(&format!("s{n}")), &["e", "f"]).await;
    }
    store.close().await.unwrap();
    drop(store);
    fs::copy(old.path().join(INDEX), dir.path().join(INDEX)).unwrap();
    alter(dir.path(), MARK);
    let index = Connection::open(dir.path().join(INDEX)).unwrap();
    let end = index.query_row("SELECT position FROM indexed", [], |row| row.get(0)).unwrap();
    (dir, sent, end)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_in_the_log_is_told_as_such_and_the_index_stays() {
    let (dir, sent) = filled().await;
    alter(dir.path(), MARK);
    // The second record of the batch that began stream 7.
    let hole = sent[7].1.last_position;
    alter_log(dir.path(), &format!("DELETE FROM log WHERE position = {hole}"));
    let store = Store::open(cramped(dir.path())).unwrap();
    let damaged = |error: &Error| matches!(error, Error::Damaged { position, .. } if *position == hole);
    let read = store.read_stream(&stream("s7"), 1, Direction::Forwards, 9).await;
    assert!(read.as_ref().is_err_and(damaged), "{read:?}");
    let known = store.command(sent[7].0.command_id).await;
    assert!(known.as_ref().is_err_and(damaged), "no receipt of half a batch: {known:?}");
    let again = store.append(sent[7].0.clone()).await;
    assert!(again.as_ref().is_err_and(damaged), "{again:?}");
    assert_eq!(store.condition().damaged.map(|(position, _)| position), Some(hole));
    assert_eq!(store.condition().rebuilding, None);
    assert_eq!(versions(&*store, &stream("s6")).await.len(), 4, "others are served");
    store.close().await.unwrap();
    drop(store);
    assert!(is_marked(dir.path()), "the index is as it was");
    let beside = Store::open_read_only(dir.path()).unwrap();
    let read = beside.read_stream(&stream("s7"), 1, Direction::Forwards, 9).await;
    assert!(read.as_ref().is_err_and(damaged), "{read:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_stays_although_the_record_where_it_ends_is_damaged() {
    for change in ["DELETE FROM log", "UPDATE log SET hash = randomblob(32)", "UPDATE log SET data = x'00'"] {
        let (dir, _, end) = behind().await;
        alter_log(dir.path(), &format!("{change} WHERE position = {end}"));
        let store = Store::open(Options::new(dir.path())).unwrap();
        assert_eq!(versions(&*store, &stream("s6")).await.len(), 6, "{change}: others are served");
        store.close().await.unwrap();
        drop(store);
        assert!(is_marked(dir.path()), "{change}: the index is as it was");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_changed_behind_the_index_is_told_and_the_index_stays() {
    for change in ["UPDATE log SET version = 2", "UPDATE log SET stream_id = 's0'", "DELETE FROM log"] {
        let (dir, _, end) = behind().await;
        let at = end + 5;
        alter_log(dir.path(), &format!("{change} WHERE position = {at}"));
        let mut options = Options::new(dir.path());
        options.run = 64;
        match Store::open(options) {
            Err(OpenError::Damaged(what)) => assert!(what.contains(&format!("position {at}")), "{change}: {what}"),
            other => panic!("{change}: {:?}", other.map(|_| ())),
        }
        assert!(is_marked(dir.path()), "{change}: the index is as it was");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_the_log_cannot_replace_is_kept_and_the_log_is_told() {
    let (dir, sent) = filled().await;
    let store = Store::open(cramped(dir.path())).unwrap();
    let hole = sent[7].1.last_position;
    alter_log(dir.path(), &format!("DELETE FROM log WHERE position = {hole}"));
    alter(dir.path(), &format!("{MARK}; DROP TABLE entry"));
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        match store.read_stream(&stream("s9"), 1, Direction::Forwards, 9).await {
            Err(Error::Damaged { position, .. }) if position == hole => break,
            other => assert!(Instant::now() < until, "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(is_marked(dir.path()), "it stays where it is");
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_cannot_be_had_now_is_no_damaged_one() {
    let (dir, sent) = filled().await;
    alter(dir.path(), MARK);
    let index = Connection::open(dir.path().join(INDEX)).unwrap();
    index
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; UPDATE indexed SET one = 1; COMMIT")
        .unwrap();
    let opened = Store::open(Options::new(dir.path()));
    assert!(matches!(opened, Err(OpenError::Sqlite(_))), "{:?}", opened.map(|_| ()));
    drop(index);
    assert!(is_marked(dir.path()), "it stays where it is");
    opens_whole(dir.path(), &sent).await;
    assert!(is_marked(dir.path()), "and is used again");
}

async fn wait_for(mut reached: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !reached() {
        assert!(Instant::now() < until, "it does not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
