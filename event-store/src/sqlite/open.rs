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
use super::group::Judge;
use super::index::{self, Indexed};
use super::lock::{Holder, Lock};
use super::options::{Options, Progress};
use super::queue::Queue;
use super::reader::Reader;
use super::readers::Readers;
use super::shared::Shared;
use super::snapshots::Kept;
use super::store::Store;
use super::tail::{Entry, Run, Tail};
use super::warm::{self, Bases};
use super::writer::{self, Writer};
use super::{filter::Filter, indexer, rows, schema};
use crate::heads::key_of;
use crate::limits::Weight;
use crate::record::{Position, StreamId};
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
    /// The store was written by a newer version.
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
    /// What is stored is not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The directory or a file could not be used.
    #[error("the store's files cannot be used")]
    Io(#[from] io::Error),
    /// SQLite refused.
    #[error("the store's files cannot be used")]
    Sqlite(#[from] rusqlite::Error),
}

/// Records read at once while the index is rebuilt: large runs touch each page of the index fewer times.
const REBUILD_RUN: u64 = 262_144;

impl Store {
    /// Opens the store in a directory for writing; makes it if it is not there.
    ///
    /// # Errors
    /// [`OpenError::Held`] if another process, or another handle of this one, has it open for writing.
    pub fn open(options: Options) -> Result<Arc<Self>, OpenError> {
        fs::create_dir_all(&options.dir)?;
        let lock = Lock::take(&options.dir, &options.role)?;
        let now = (options.clock)();
        let (log, incarnation) = schema::open_log(&options.dir, now)?;
        let (head, answered_to) = rows::head(&log)?;
        check_head(&log, &head)?;
        let (index, indexed) = fitting_index(&options, &log, incarnation)?;
        // New files are only there after a power cut if their directory was synced.
        File::open(&options.dir)?.sync_all()?;

        let indexed = catch_up(&options, &log, &index, indexed, &head)?;
        let tail = Tail::new(indexed.position, options.run, options.idle);
        let run = read_run(&log, indexed.position, head.position)?;
        let (bases, mut judge) = judge(&options, &index, &indexed, now)?;
        judge.learn(&run);
        tail.publish(&run.entries, &run.commands);
        let shared = Arc::new(shared(options, incarnation, tail, head, lock));
        warm::start(&shared, bases, indexed)?;
        let indexer = indexer::start(Arc::clone(&shared), index)?;
        let copier = schema::log_beside(shared.dir())?;
        let beside = Arc::clone(&shared);
        let checkpointer =
            thread::Builder::new().name("store-copy".into()).spawn(move || beside.checkpoints.run(&copier))?;
        let writer = Writer { added: Added::default(), shared: Arc::clone(&shared), log, judge, head, answered_to };
        let writer = writer::start(writer)?;
        tracing::info!(store.dir = %shared.dir().display(), store.head = head.position, "the event store is open");
        Ok(Arc::new(Store::new(shared, [writer, indexer, checkpointer])))
    }
}

fn shared(options: Options, incarnation: Uuid, tail: Tail, head: Head, lock: Lock) -> Shared {
    Shared {
        queue: Queue::new(Weight { events: options.queue_events, bytes: options.queue_bytes }),
        readers: Readers::new(options.dir.clone(), options.readers, Reader::open),
        tail,
        head: watch::Sender::new(head),
        failed: watch::Sender::new(None),
        snapshots: Kept::default(),
        checkpoints: Checkpoints::default(),
        runtime: Handle::try_current().ok(),
        lock: Mutex::new(Some(lock)),
        incarnation,
        options,
    }
}

fn judge(options: &Options, index: &Connection, indexed: &Indexed, now: i64) -> Result<(Arc<Bases>, Judge), OpenError> {
    let bases = Arc::new(Bases::for_index(indexed));
    let judge = Judge {
        heads: warm::heads(index, indexed, options.heads)?,
        streams: Filter::new(Arc::clone(&bases.streams)),
        commands: Filter::new(Arc::clone(&bases.commands)),
        index: schema::read_index(&options.dir)?,
        opened_at: u64::try_from(now / 1_000).unwrap_or(0),
    };
    Ok((bases, judge))
}

/// The head and the last record say the same, or the file is not what was written.
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

/// The index, if it is of this very log; else a new one. The index is never a reason not to open.
fn fitting_index(options: &Options, log: &Connection, incarnation: Uuid) -> Result<(Connection, Indexed), OpenError> {
    match try_index(options, log, incarnation) {
        Ok(Some(found)) => return Ok(found),
        Ok(None) => tracing::warn!("the index does not fit the log; it is made anew"),
        Err(error) => tracing::warn!(%error, "the index cannot be used; it is made anew"),
    }
    for suffix in ["", "-wal", "-shm"] {
        match fs::remove_file(options.dir.join(format!("{}{suffix}", schema::INDEX_FILE))) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    try_index(options, log, incarnation)?.ok_or_else(|| OpenError::Damaged("a new index does not fit the log".into()))
}

fn try_index(
    options: &Options,
    log: &Connection,
    incarnation: Uuid,
) -> Result<Option<(Connection, Indexed)>, OpenError> {
    let index = schema::open_index(&options.dir, incarnation)?;
    let indexed = index::indexed(&index)?;
    // A log restored from an older copy is another log from there on: the hash tells, where a position would not.
    let fits = indexed.incarnation == incarnation && rows::hash_at(log, indexed.position)? == Some(indexed.hash);
    Ok(fits.then_some((index, indexed)))
}

/// Indexes all but the last of the log, with large runs.
fn catch_up(
    options: &Options,
    log: &Connection,
    index: &Connection,
    mut indexed: Indexed,
    head: &Head,
) -> Result<Indexed, OpenError> {
    let least = options.run as u64;
    while head.position - indexed.position > least {
        let run = read_run(log, indexed.position, head.position.min(indexed.position + REBUILD_RUN))?;
        let last = run.last();
        let hash = rows::hash_at(log, last)?.ok_or_else(|| OpenError::Damaged(format!("no record at {last}")))?;
        index::write_run(index, run, &hash, options)?;
        indexed = index::indexed(index)?;
        if let Some(progress) = &options.progress {
            progress(Progress { indexed_to: indexed.position, head: head.position });
        }
    }
    Ok(indexed)
}

/// What the index needs of the records after `after`, up to `to`.
fn read_run(log: &Connection, after: Position, to: Position) -> Result<Run, OpenError> {
    let mut run = Run { first: after + 1, ..Run::default() };
    let sql = "SELECT position, tenant, category, stream_id, version, event_id, command_id, fingerprint IS NOT NULL \
               FROM log WHERE position > ?1 AND position <= ?2 ORDER BY position";
    let mut statement = log.prepare(sql)?;
    let mut rows = statement.query([after, to])?;
    while let Some(row) = rows.next()? {
        let position: Position = row.get(0)?;
        if position != run.first + run.entries.len() as u64 {
            return Err(OpenError::Damaged(format!("there is no record at position {}", position - 1)));
        }
        let part = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
        let key = key_of(&StreamId::new(part(1)?, part(2)?, part(3)?));
        let event_id = index::uuid(row.get_ref(5)?.as_blob().map_err(rusqlite::Error::from)?);
        run.entries.push(Entry { key, version: row.get(4)?, event_id });
        if row.get(7)? {
            let id = index::uuid(row.get_ref(6)?.as_blob().map_err(rusqlite::Error::from)?);
            run.commands.push((id, position));
        }
    }
    Ok(run)
}

/// Opens a reader of a store that another process may be writing.
pub(super) fn reader_beside(dir: &Path) -> Result<Reader, OpenError> {
    if !dir.join(schema::LOG_FILE).exists() {
        return Err(OpenError::Absent);
    }
    Reader::open_beside(dir)
}
