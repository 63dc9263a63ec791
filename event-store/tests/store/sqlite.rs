//! The contract on SQLite, with the bounds that a server has and with bounds so small that every way out of memory is taken;
//! and what is true of SQLite's files alone.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, io};

use async_trait::async_trait;
use event_store::append::{Expectation, Outcome};
use event_store::clock::{self, Mismatch};
use event_store::sqlite::{Holder, OpenError, Options, Progress, Store, holder};
use event_store::{Direction, Error, EventStore, Filter, verify};
use tempfile::TempDir;

use crate::contract::{Backend, TestClock, appended, batch, keyed, log, put, stream, versions, write};

/// A store in a directory that goes away with it.
pub(crate) struct Sqlite {
    dir: TempDir,
    clock: TestClock,
    full: Arc<AtomicBool>,
}

impl Default for Sqlite {
    fn default() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), clock: TestClock::default(), full: Arc::default() }
    }
}

impl Sqlite {
    /// With its clock, on its disk.
    fn open_with(&self, mut options: Options) -> Arc<dyn EventStore> {
        let full = Arc::clone(&self.full);
        options.before_commit = Some(Arc::new(move || match full.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }));
        Store::open(options.clock(self.clock.as_clock())).unwrap()
    }

    /// As another process locks it: an administrator's open transaction, or a tool that copies it.
    fn lock(&self) -> Box<dyn Send> {
        let other = rusqlite::Connection::open(self.dir.path().join("log.sqlite")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        Box::new(other)
    }
}

#[async_trait]
impl Backend for Sqlite {
    async fn open(&self) -> Arc<dyn EventStore> {
        self.open_with(Options::new(self.dir.path()))
    }

    async fn open_as(&self, test_clock: bool) -> Result<(Arc<dyn EventStore>, Arc<dyn clock::TestClock>), Mismatch> {
        open_as(Options::new(self.dir.path()).test_clock(test_clock))
    }

    fn clock(&self) -> &TestClock {
        &self.clock
    }

    async fn lock(&self) -> Box<dyn Send> {
        self.lock()
    }

    async fn fill(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    async fn commits(&self) -> String {
        commits(self.dir.path())
    }
}

/// A store as its readers and as its test clock.
type Opened = (Arc<dyn EventStore>, Arc<dyn clock::TestClock>);

fn open_as(options: Options) -> Result<Opened, Mismatch> {
    match Store::open(options) {
        Ok(store) => Ok((Arc::clone(&store) as Arc<dyn EventStore>, store)),
        Err(OpenError::Clock(mismatch)) => Err(mismatch),
        Err(other) => panic!("{other}"),
    }
}

/// Each commit goes into the write-ahead log first.
fn commits(dir: &Path) -> String {
    let file = std::fs::metadata(dir.join("log.sqlite-wal")).unwrap();
    format!("{} bytes, {:?}", file.len(), file.modified().unwrap())
}

/// The same with hardly any memory.
#[derive(Default)]
pub(crate) struct Cramped(Sqlite);

#[async_trait]
impl Backend for Cramped {
    async fn open(&self) -> Arc<dyn EventStore> {
        self.0.open_with(cramped(self.0.dir.path()))
    }

    async fn open_as(&self, test_clock: bool) -> Result<(Arc<dyn EventStore>, Arc<dyn clock::TestClock>), Mismatch> {
        open_as(cramped(self.0.dir.path()).test_clock(test_clock))
    }

    fn clock(&self) -> &TestClock {
        &self.0.clock
    }

    async fn lock(&self) -> Box<dyn Send> {
        self.0.lock()
    }

    async fn fill(&self, full: bool) {
        self.0.fill(full).await;
    }

    async fn commits(&self) -> String {
        commits(self.0.dir.path())
    }
}

/// Few heads in memory, short runs, a short tail: look-ups and waits happen all the time.
pub(crate) fn cramped(dir: &Path) -> Options {
    let mut options = Options::new(dir);
    (options.heads, options.run, options.tail, options.group_events) = (4, 8, 16, 32);
    (options.readers, options.idle, options.recent_bytes) = (1, Duration::from_millis(1), 4_096);
    options.wal_ahead = 100_000;
    options
}

mod roomy {
    crate::contract::contract!(crate::sqlite::Sqlite);
}

mod tight {
    crate::contract::contract!(crate::sqlite::Cramped);
}

#[tokio::test]
async fn a_second_writer_is_refused_and_told_who_holds_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(holder(dir.path()).unwrap(), None);
    let store = Store::open(Options::new(dir.path()).role("serve")).unwrap();
    let expected = Holder { pid: std::process::id(), role: "serve".into(), url: None };
    match Store::open(Options::new(dir.path()).role("import")) {
        Err(OpenError::Held(holder)) => assert_eq!(holder, expected),
        other => panic!("{other:?}"),
    }
    store.set_url("http://127.0.0.1:8080").unwrap();
    let with_url = Holder { url: Some("http://127.0.0.1:8080".into()), ..expected };
    assert_eq!(holder(dir.path()).unwrap(), Some(with_url));
    store.close().await.unwrap();
    assert_eq!(holder(dir.path()).unwrap(), None);
    drop(store);
    Store::open(Options::new(dir.path())).unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_store_that_was_dropped_can_be_opened_again_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..5 {
        let store = Store::open(Options::new(dir.path())).unwrap();
        let pending = store.append(batch(vec![write(&stream("one"), Expectation::Any, &["x"])]));
        drop(store);
        assert_eq!(appended(pending.await.unwrap()).first_position, n + 1, "what was on the queue is written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_index_a_store_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(cramped(dir.path())).unwrap();
    let mut sent = Vec::new();
    for n in 0..200 {
        let one = stream(&format!("s{}", n % 20));
        let batch = keyed(&format!("k{n}"), vec![write(&one, Expectation::Any, &["a", "b"])]);
        sent.push((batch.clone(), appended(store.append(batch).await.unwrap())));
    }
    let before = log(&*store, &Filter::default(), 50).await;
    store.close().await.unwrap();
    drop(store);
    for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = fs::remove_file(dir.path().join(file));
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut options = cramped(dir.path());
    let told = Arc::clone(&seen);
    options.progress = Some(Arc::new(move |progress| told.lock().unwrap().push(progress)));
    let store = Store::open(options).unwrap();
    assert_eq!(seen.lock().unwrap().last(), Some(&Progress { indexed_to: 400, head: 400 }));
    assert_eq!(log(&*store, &Filter::default(), 50).await, before);
    for n in 0..20 {
        let of_stream: Vec<_> = before.iter().filter(|record| *record.stream.id == format!("s{n}")).cloned().collect();
        let one = stream(&format!("s{n}"));
        assert_eq!(store.read_stream(&one, 1, Direction::Forwards, 100).await.unwrap(), of_stream);
        let last = of_stream.last().unwrap();
        assert_eq!(store.stream_head(&one).await.unwrap(), Some((last.version, last.event_id)));
    }
    for (batch, receipt) in sent {
        assert_eq!(store.append(batch).await.unwrap(), Outcome::AlreadyAppended(receipt));
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_index_that_is_spoilt_or_of_another_log_is_made_anew() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&dir, &other] {
        let store = Store::open(cramped(dir.path())).unwrap();
        for _ in 0..30 {
            put(&*store, &stream("one"), &["x"]).await;
        }
        store.close().await.unwrap();
    }
    fs::copy(other.path().join("index.sqlite"), dir.path().join("index.sqlite")).unwrap();
    let store = Store::open(cramped(dir.path())).unwrap();
    assert_eq!(versions(&*store, &stream("one")).await.len(), 30);
    store.close().await.unwrap();
    drop(store);
    fs::write(dir.path().join("index.sqlite"), b"this is no database, and long enough to be one").unwrap();
    let store = Store::open(cramped(dir.path())).unwrap();
    assert_eq!(versions(&*store, &stream("one")).await.len(), 30);
    store.close().await.unwrap();
}

/// What a power cut leaves of a store that was just opened, and of one that has written.
#[tokio::test]
async fn a_write_ahead_log_that_is_written_in_advance_is_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let wal = || fs::metadata(dir.path().join("log.sqlite-wal")).map_or(0, |wal| wal.len());
    let cut = || {
        let left = tempfile::tempdir().unwrap();
        for file in ["log.sqlite", "log.sqlite-wal"] {
            fs::copy(dir.path().join(file), left.path().join(file)).unwrap();
        }
        left
    };
    let store = Store::open(cramped(dir.path())).unwrap();
    assert_eq!(wal(), 100_000);
    let (empty, mut written) = (cut(), Vec::new());
    for n in 0..10 {
        put(&*store, &stream(&n.to_string()), &["x", "y"]).await;
        written.push((cut(), 2 * (n + 1)));
    }
    assert_eq!(wal(), 100_000, "nothing made it longer");
    for (left, records) in [(empty, 0)].into_iter().chain(written) {
        let found = Store::open(cramped(left.path())).unwrap();
        assert_eq!(log(&*found, &Filter::default(), 100).await.len(), records);
        put(&*found, &stream("after"), &["x"]).await;
        found.close().await.unwrap();
    }
    store.close().await.unwrap();
    drop(store);
    assert_eq!(wal(), 0, "it is given back");
}

#[tokio::test]
async fn a_log_put_back_from_an_older_copy_gets_an_index_that_fits() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(cramped(dir.path())).unwrap();
    put(&*store, &stream("one"), &["x"]).await;
    store.close().await.unwrap();
    drop(store);
    fs::copy(dir.path().join("log.sqlite"), copy.path().join("log.sqlite")).unwrap();
    let store = Store::open(cramped(dir.path())).unwrap();
    put(&*store, &stream("lost"), &["x", "y"]).await;
    store.close().await.unwrap();
    drop(store);
    fs::copy(copy.path().join("log.sqlite"), dir.path().join("log.sqlite")).unwrap();
    let store = Store::open(cramped(dir.path())).unwrap();
    assert_eq!(store.stream_head(&stream("lost")).await.unwrap(), None);
    // At the same positions now stands something else, which an index of the lost records would not find.
    put(&*store, &stream("other"), &["x", "y"]).await;
    assert_eq!(versions(&*store, &stream("other")).await, [1, 2]);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_reads_beside_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Store::open_read_only(dir.path()), Err(OpenError::Absent)));
    let mut options = Options::new(dir.path());
    // The index stays empty: concurrent reads must find records in the log.
    options.idle = Duration::from_secs(3_600);
    let store = Store::open(options).unwrap();
    let first = keyed("k", vec![write(&stream("one"), Expectation::Any, &["a", "b"])]);
    let receipt = appended(store.append(first.clone()).await.unwrap());
    let beside = Store::open_read_only(dir.path()).unwrap();
    let mut head = beside.head();
    assert_eq!((head.borrow_and_update().position, beside.incarnation()), (2, store.incarnation()));
    assert_eq!(versions(&*beside, &stream("one")).await, [1, 2]);
    assert_eq!(beside.command(first.command_id).await.unwrap(), Some(receipt));
    put(&*store, &stream("one"), &["c"]).await;
    head.changed().await.unwrap();
    assert_eq!(head.borrow().position, 3);
    let last = beside.read_stream(&stream("one"), u64::MAX, Direction::Backwards, 1).await.unwrap();
    assert_eq!(beside.stream_head(&stream("one")).await.unwrap(), Some((3, last[0].event_id)));
    assert_eq!(verify::chain(&*beside, 0, |_| {}).await.unwrap().position, 3);
    assert_eq!(beside.position_at(last[0].recorded_at - 1).await.unwrap(), 2);
    assert!(matches!(beside.append(first).await, Err(Error::Never(_))));
    store.close().await.unwrap();
    drop(store);
    let alone = Store::open_read_only(dir.path()).unwrap();
    assert_eq!(versions(&*alone, &stream("one")).await, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(dir.path());
    options.queue_events = 10;
    let go = Arc::new(Mutex::new(()));
    let gate = Arc::clone(&go);
    options.before_commit = Some(Arc::new(move || {
        drop(gate.lock().unwrap());
        Ok(())
    }));
    let held = go.lock().unwrap();
    let store = Store::open(options).unwrap();
    let one = |n: usize| store.append(batch(vec![write(&stream(&format!("s{n}")), Expectation::NoStream, &["x"])]));
    let pending: Vec<_> = (0..100).map(one).collect();
    drop(held);
    let (mut taken, mut refused) = (0, 0);
    for pending in pending {
        match pending.await {
            Ok(outcome) => {
                appended(outcome);
                taken += 1;
            }
            Err(Error::Overloaded) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(taken >= 10 && refused >= 70, "{taken} taken, {refused} refused");
    assert_eq!(store.head().borrow().position, taken);
    store.close().await.unwrap();
}
