//! Opening a store: the lock, the files, the index made to fit the log, the tail into memory, then the threads.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::watch;
use uuid::Uuid;

use super::checkpointer::{Added, Checkpoints};
use super::filter::Filter;
use super::fit::{self, Fitted, Misfit};
use super::group::Judge;
use super::index_state::{IndexReader, IndexState};
use super::lock::{Holder, Lock};
use super::options::Options;
use super::prover::{self, Proof};
use super::queue::Queue;
use super::reader::Reader;
use super::readers::Readers;
use super::rows::Names;
use super::shared::Shared;
use super::snapshots::Kept;
use super::store::{Store, Threads};
use super::tail::Tail;
use super::writer::{self, Writer};
use super::{indexer, rows, schema};
use crate::clock::{Ahead, Mismatch};
use crate::limits::Weight;
use crate::recent::Recent;
use crate::record::{Micros, Position};
use crate::store::Head;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes.
    #[error("the store is in use by {0}")]
    Held(Holder),
    /// There is no store here.
    #[error("there is no store here")]
    Absent,
    /// The store was written by another version.
    #[error("the store has schema {found}, this version knows {known}")]
    Schema {
        /// What the file says.
        found: i64,
        /// What this version reads and writes.
        known: i64,
    },
    /// The files cannot be written durably.
    #[error("the store would not be durable: {0}")]
    NotDurable(String),
    /// Its clock is of another kind.
    #[error(transparent)]
    Clock(#[from] Mismatch),
    /// The stored data differs from what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The directory or a file could not be used.
    #[error("the store's files cannot be used")]
    Io(#[from] io::Error),
    /// SQLite refused.
    #[error("the store's files cannot be used")]
    Sqlite(#[from] rusqlite::Error),
}

impl Store {
    /// Opens the store in a directory for writing; creates it if it is missing. The whole index is read, and rebuilt
    /// from the log if it is damaged.
    ///
    /// # Errors
    /// [`OpenError::Held`] if another process, or another handle of this one, has it open for writing.
    pub fn open(options: Options) -> Result<Arc<Self>, OpenError> {
        fs::create_dir_all(&options.dir)?;
        let lock = Lock::take(&options.dir, &options.role)?;
        let now = (options.clock)();
        let (log, incarnation) = schema::open_log(&options, now)?;
        let ahead = rows::ahead(&log)?;
        Mismatch::check(ahead.is_some(), options.test_clock)?;
        let (head, answered_to) = rows::head(&log)?;
        check_head(&log, &head)?;
        let Fitted { index, sums, heads, streams, commands } = fit::fit(&options, &log, incarnation, head.position)?;
        // New files are only there after a power cut if their directory was synced.
        File::open(&options.dir)?.sync_all()?;

        let tail = Tail::new(sums.position, options.run, options.idle);
        let run = fit::read_run(&log, sums.position, head.position).map_err(Misfit::Log)?;
        let mut judge = Judge {
            heads,
            streams: Filter::new(streams),
            commands: Filter::new(commands),
            index: IndexReader::default(),
            names: Names::default(),
            opened_at: u64::try_from(now / 1_000).unwrap_or(0),
        };
        judge.learn(&run);
        tail.publish(run.entries.iter().copied(), &run.commands);
        let shared = Arc::new(shared(options, incarnation, (tail, IndexState::new(sums)), (head, ahead), lock));
        let indexer = indexer::start(Arc::clone(&shared), index)?;
        let copier = schema::log_beside(shared.dir())?;
        let beside = Arc::clone(&shared);
        let checkpointer =
            thread::Builder::new().name("store-copy".into()).spawn(move || beside.checkpoints.run(&beside, &copier))?;
        let (added, kept_to) = (Added::default(), answered_to);
        let writer = Writer { added, shared: Arc::clone(&shared), log, judge, head, answered_to, kept_to };
        let writer = writer::start(writer)?;
        let prover = prover::start(Arc::clone(&shared), head.position)?;
        tracing::info!(store.dir = %shared.dir().display(), store.head = head.position, "the event store is open");
        Ok(Arc::new(Store::new(shared, Threads { writer, indexer, checkpointer, prover })))
    }
}

fn shared(
    options: Options,
    incarnation: Uuid,
    (tail, index): (Tail, IndexState),
    (head, ahead): (Head, Option<Micros>),
    lock: Lock,
) -> Shared {
    Shared {
        queue: Queue::new(Weight { events: options.queue_events, bytes: options.queue_bytes }),
        readers: Readers::new(options.dir.clone(), options.readers, Reader::open),
        tail,
        recent: Recent::new(options.recent_bytes),
        index,
        proof: Proof::default(),
        head: watch::Sender::new(head),
        ahead: Ahead::new(ahead),
        failed: watch::Sender::new(None),
        trouble: watch::Sender::new(None),
        snapshots: Kept::default(),
        checkpoints: Checkpoints::default(),
        runtime: Handle::try_current().ok(),
        lock: Mutex::new(Some(lock)),
        incarnation,
        options,
    }
}

/// The head and the last record must agree; otherwise the file is damaged.
fn check_head(log: &Connection, head: &Head) -> Result<(), OpenError> {
    let last: Position = log.query_row("SELECT coalesce(max(position), 0) FROM log", [], |row| row.get(0))?;
    if last != head.position || rows::hash_at(log, last)? != Some(head.hash) {
        return Err(OpenError::Damaged(format!(
            "the head is at position {} and the last record at {last}",
            head.position
        )));
    }
    Ok(())
}

/// Opens a reader of a store that another process may be writing.
pub(super) fn reader_beside(dir: &Path) -> Result<Reader, OpenError> {
    if !dir.join(schema::LOG_FILE).exists() {
        return Err(OpenError::Absent);
    }
    Reader::open_beside(dir)
}
