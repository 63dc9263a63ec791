//! The embedded store, and the least that SQLite must do for the same rows. Nothing in the baseline may be cleverer or lazier than a
//! prepared insert in a loop.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use event_store::EventStore;
use event_store::record::Position;
use event_store::sqlite::{Options, Store};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::baseline::{Baseline, FINGERPRINT, HASH, KIND, Row, SCHEMA_VERSION, Watch};
use crate::side::Side;
use crate::{cpu, load};

/// The embedded store, in a folder.
pub(crate) struct Embedded {
    _folder: TempDir,
    kept: PathBuf,
    store: PathBuf,
    baseline: PathBuf,
    open: Weak<Store>,
}

impl Embedded {
    pub(crate) fn within(dir: &Path) -> Self {
        let folder = tempfile::tempdir_in(dir).unwrap();
        let place = |name| folder.path().join(name);
        Self {
            kept: place("kept"),
            store: place("store"),
            baseline: place("baseline"),
            _folder: folder,
            open: Weak::new(),
        }
    }
}

#[async_trait]
impl Side for Embedded {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn about(&self) -> String {
        format!(
            "SQLite {} in this process, WAL, synchronous=FULL; a run ends when the index has everything. Baseline: one thread, \
             prepared inserts of every column into the log table, primary key only",
            rusqlite::version()
        )
    }

    fn clear(&mut self) {
        std::fs::remove_dir_all(&self.store).ok();
        std::fs::remove_dir_all(&self.baseline).ok();
    }

    fn empty(&mut self) {
        self.clear();
    }

    fn keep(&mut self) {
        std::fs::remove_dir_all(&self.kept).ok();
        std::fs::rename(&self.store, &self.kept).unwrap();
    }

    fn reset(&mut self) {
        copy(&self.kept, &self.store);
        copy(&self.kept, &self.baseline);
    }

    async fn open(&mut self) -> Arc<dyn EventStore> {
        let store = Store::open(Options::new(&self.store)).unwrap();
        self.open = Arc::downgrade(&store);
        store
    }

    fn settle(&self, position: Position) {
        let store = self.open.upgrade().unwrap();
        let indexed = tokio::task::block_in_place(|| store.wait_indexed(position, Duration::from_secs(60)));
        assert!(indexed, "the index must catch up");
    }

    fn server(&self) -> Option<u32> {
        None
    }

    fn commit_sizes(&self, after: Position) -> Vec<usize> {
        let log = Connection::open(self.store.join("log.sqlite")).unwrap();
        let mut statement = log
            .prepare("SELECT count(*) FROM log WHERE position > ?1 GROUP BY recorded_at ORDER BY recorded_at")
            .unwrap();
        let sizes = statement.query_map([after], |row| row.get(0)).unwrap();
        sizes.collect::<Result<_, _>>().unwrap()
    }

    fn baseline(&mut self, rows: &[Row], sizes: &[usize]) -> Baseline {
        insert(&open_bare(&self.baseline), rows, sizes)
    }
}

/// Copies a store's files and waits until they are on disk, so that no later run pays for writing them.
fn copy(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).ok();
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let copy = to.join(file.file_name());
        std::fs::copy(file.path(), &copy).unwrap();
        std::fs::File::open(&copy).unwrap().sync_all().unwrap();
    }
}

/// Writes the rows in commits of these sizes.
fn insert(log: &Connection, rows: &[Row], sizes: &[usize]) -> Baseline {
    let first: u64 = log.query_row("SELECT coalesce(max(position), 0) FROM log", [], |row| row.get(0)).unwrap();
    let (data, metadata) = (load::data(), load::metadata());
    let mut rows = rows.iter().zip(first + 1..);
    let mut insert = log
        .prepare(
            "INSERT INTO log (position, recorded_at, tenant, category, stream_id, version, event_id, kind, \
             schema_version, command_id, hash, fingerprint, metadata, data) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )
        .unwrap();
    let mut begin = log.prepare("BEGIN IMMEDIATE").unwrap();
    let mut commit = log.prepare("COMMIT").unwrap();
    let cpu_before = cpu::mine();
    let mut watch = Watch::start();
    for &size in sizes {
        begin.raw_execute().unwrap();
        for (row, position) in rows.by_ref().take(size) {
            insert.raw_bind_parameter(1, position as i64).unwrap();
            insert.raw_bind_parameter(2, position as i64).unwrap();
            insert.raw_bind_parameter(3, &*row.stream.tenant).unwrap();
            insert.raw_bind_parameter(4, &*row.stream.category).unwrap();
            insert.raw_bind_parameter(5, &*row.stream.id).unwrap();
            insert.raw_bind_parameter(6, row.version as i64).unwrap();
            insert.raw_bind_parameter(7, &row.event_id.as_bytes()[..]).unwrap();
            insert.raw_bind_parameter(8, KIND).unwrap();
            insert.raw_bind_parameter(9, SCHEMA_VERSION).unwrap();
            insert.raw_bind_parameter(10, &row.command_id.as_bytes()[..]).unwrap();
            insert.raw_bind_parameter(11, &HASH[..]).unwrap();
            insert.raw_bind_parameter(12, &FINGERPRINT[..]).unwrap();
            insert.raw_bind_parameter(13, &metadata[..]).unwrap();
            insert.raw_bind_parameter(14, &data[..]).unwrap();
            insert.raw_execute().unwrap();
        }
        commit.raw_execute().unwrap();
        watch.committed();
    }
    watch.stop(cpu::mine() - cpu_before)
}

/// The log table as the store has it, with the store's settings, and without what guards it against changes.
fn open_bare(dir: &Path) -> Connection {
    let log = Connection::open(dir.join("log.sqlite")).unwrap();
    log.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    log.pragma_update(None, "synchronous", "FULL").unwrap();
    log.pragma_update(None, "wal_autocheckpoint", 32_000).unwrap();
    log.pragma_update(None, "cache_size", -16_384).unwrap();
    log.execute_batch("DROP TRIGGER IF EXISTS log_is_never_changed; DROP TRIGGER IF EXISTS log_is_never_cut").unwrap();
    log
}
