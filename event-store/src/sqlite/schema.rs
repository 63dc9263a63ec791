//! The two files' tables and settings. The settings for durability are set here and read back: a store that cannot have
//! them must not open.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use super::open::OpenError;
use super::options::Options;

pub(super) const LOG_FILE: &str = "log.sqlite";
/// SQLite's name for the log's write-ahead log.
const LOG_WAL: &str = "log.sqlite-wal";
pub(super) const INDEX_FILE: &str = "index.sqlite";

/// Grows with every change of the log's tables; a store with a newer one is refused.
const LOG_SCHEMA: i64 = 2;
/// Increases with every change of the index's tables; an index with another number is rebuilt.
const INDEX_SCHEMA: i64 = 3;

/// The large columns come last, so that reading the others never touches an overflow page.
const LOG_TABLES: &str = "
CREATE TABLE log (
  position       INTEGER PRIMARY KEY,
  recorded_at    INTEGER NOT NULL,
  tenant         TEXT NOT NULL,
  category       TEXT NOT NULL,
  stream_id      TEXT NOT NULL,
  version        INTEGER NOT NULL,
  event_id       BLOB NOT NULL,
  kind           TEXT NOT NULL,
  schema_version INTEGER NOT NULL,
  command_id     BLOB NOT NULL,
  hash           BLOB NOT NULL,
  fingerprint    BLOB,
  metadata       BLOB NOT NULL,
  data           BLOB NOT NULL
) STRICT;
CREATE TRIGGER log_is_never_changed BEFORE UPDATE ON log BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER log_is_never_cut BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TABLE head (
  one         INTEGER PRIMARY KEY CHECK (one = 1),
  position    INTEGER NOT NULL,
  hash        BLOB NOT NULL,
  recorded_at INTEGER NOT NULL,
  answered_to INTEGER NOT NULL
) STRICT;
CREATE TABLE store (
  one         INTEGER PRIMARY KEY CHECK (one = 1),
  incarnation BLOB NOT NULL,
  created_at  INTEGER NOT NULL
) STRICT;
CREATE TABLE consumer (
  name        TEXT NOT NULL,
  partition   INTEGER NOT NULL,
  owner       TEXT NOT NULL,
  epoch       INTEGER NOT NULL,
  lease_until INTEGER NOT NULL,
  position    INTEGER NOT NULL,
  hash        BLOB NOT NULL,
  state       BLOB NOT NULL,
  PRIMARY KEY (name, partition)
) STRICT;
";

/// Only in a store that was made for a test: the offset of its clock.
const TEST_CLOCK: &str = "
CREATE TABLE test_clock (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  ahead_us INTEGER NOT NULL
) STRICT;
INSERT INTO test_clock VALUES (1, 0);
";

/// The position of a stream's first event is in the stream's row, because many streams have no other event; `entry`
/// holds the versions from 2 on.
const INDEX_TABLES: &str = "
CREATE TABLE indexed (
  one         INTEGER PRIMARY KEY CHECK (one = 1),
  incarnation BLOB NOT NULL,
  position    INTEGER NOT NULL,
  hash        BLOB NOT NULL,
  streams     INTEGER NOT NULL,
  stream_sum  BLOB NOT NULL,
  commands    INTEGER NOT NULL,
  command_sum BLOB NOT NULL
) STRICT;
CREATE TABLE stream (
  key      BLOB PRIMARY KEY,
  first    INTEGER NOT NULL,
  version  INTEGER NOT NULL,
  event_id BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE entry (
  key      BLOB NOT NULL,
  version  INTEGER NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (key, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE command (
  id    BLOB PRIMARY KEY,
  first INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE snapshot (
  key      BLOB NOT NULL,
  fold     INTEGER NOT NULL,
  version  INTEGER NOT NULL,
  event_id BLOB NOT NULL,
  proof    BLOB NOT NULL,
  state    BLOB NOT NULL,
  PRIMARY KEY (key, fold)
) STRICT;
";

/// While the index is built whole: successive runs write the same pages again, three or four of them are copied at once.
const INDEX_CHECKPOINT_PAGES: i64 = 48_000;
/// Pages in the index's write-ahead log from which its writer waits until they are copied: 64 MiB.
pub(super) const MOST_INDEX_WAL_PAGES: u32 = 16_000;

/// Opens the log for writing; creates it if it is missing, with a test clock if it is for a test. Returns the store's
/// incarnation.
pub(super) fn open_log(options: &Options, now: i64) -> Result<(Connection, Uuid), OpenError> {
    let Options { dir, test_clock, wal_ahead, .. } = options;
    let log = connect(&dir.join(LOG_FILE), OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    set_wal(&log)?;
    log.pragma_update(None, "synchronous", "FULL")?;
    // Its own thread does that, see `checkpointer`.
    log.pragma_update(None, "wal_autocheckpoint", 0)?;
    log.pragma_update(None, "cache_size", -16_384)?;
    let synchronous: i64 = log.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    if synchronous < 2 {
        return Err(OpenError::NotDurable(format!("synchronous is {synchronous} and not FULL")));
    }
    match user_version(&log)? {
        0 => create_log(&log, now, *test_clock)?,
        LOG_SCHEMA => {}
        newer => {
            return Err(OpenError::Schema { found: newer, known: LOG_SCHEMA });
        }
    }
    // Writes of a crashed process that it did not sync are in the page cache only: this syncs them before any caller
    // learns of them.
    log.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    if let Err(error) = write_ahead(&dir.join(LOG_WAL), *wal_ahead) {
        tracing::debug!(%error, "the write-ahead log is not written in advance; syncs take longer until it has grown");
    }
    let incarnation = incarnation(&log)?;
    Ok((log, incarnation))
}

/// Zeros written at once. The kernel keeps what is written at once as one piece, and writes the whole of it to the disk where a part
/// has changed.
const AT_ONCE: usize = 16 * 1024;

/// Fills an empty write-ahead log with zeros, which SQLite takes for an empty one: it begins with what has a valid header, and
/// ends before the first frame whose checksum is not right (<https://sqlite.org/fileformat2.html#walformat>).
fn write_ahead(wal: &Path, bytes: usize) -> io::Result<()> {
    let mut file = File::options().write(true).open(wal)?;
    if bytes == 0 || file.metadata()?.len() > 0 {
        return Ok(());
    }
    let fill = |file: &mut File| {
        for written in (0..bytes).step_by(AT_ONCE) {
            file.write_all(&[0; AT_ONCE][..AT_ONCE.min(bytes - written)])?;
        }
        file.sync_all()
    };
    fill(&mut file).or_else(|error| file.set_len(0).and(Err(error)))
}

fn create_log(log: &Connection, now: i64, test_clock: bool) -> Result<(), OpenError> {
    log.execute_batch("BEGIN IMMEDIATE")?;
    log.execute_batch(LOG_TABLES)?;
    if test_clock {
        log.execute_batch(TEST_CLOCK)?;
    }
    log.execute("INSERT INTO head VALUES (1, 0, ?1, 0, 0)", [&[0_u8; 32][..]])?;
    let incarnation = Uuid::now_v7();
    log.execute("INSERT INTO store VALUES (1, ?1, ?2)", rusqlite::params![&incarnation.as_bytes()[..], now])?;
    log.pragma_update(None, "user_version", LOG_SCHEMA)?;
    log.execute_batch("COMMIT")?;
    Ok(())
}

/// Opens the log for copying its write-ahead log, which must sync what it copies.
pub(super) fn log_beside(dir: &Path) -> Result<Connection, OpenError> {
    let log = connect(&dir.join(LOG_FILE), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    log.pragma_update(None, "synchronous", "FULL")?;
    Ok(log)
}

/// Opens the log for reading.
pub(super) fn read_log(dir: &Path) -> Result<Connection, OpenError> {
    let log = connect(&dir.join(LOG_FILE), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    match user_version(&log)? {
        LOG_SCHEMA => Ok(log),
        0 => Err(OpenError::Absent),
        newer => Err(OpenError::Schema { found: newer, known: LOG_SCHEMA }),
    }
}

/// Which store the log is.
pub(super) fn incarnation(log: &Connection) -> Result<Uuid, OpenError> {
    let bytes: Vec<u8> = log.query_row("SELECT incarnation FROM store", [], |row| row.get(0))?;
    Uuid::from_slice(&bytes).map_err(|_| OpenError::Damaged("the store's incarnation is not an id".into()))
}

/// Opens the index for writing; creates it if it is missing. Fails on an index with an unknown schema.
pub(super) fn open_index(dir: &Path, incarnation: Uuid) -> Result<Connection, OpenError> {
    let index = connect(&dir.join(INDEX_FILE), OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    set_wal(&index)?;
    // It may lose commits in a power cut, which are rebuilt from the log; it is never inconsistent.
    index.pragma_update(None, "synchronous", "NORMAL")?;
    index.pragma_update(None, "wal_autocheckpoint", INDEX_CHECKPOINT_PAGES)?;
    index.pragma_update(None, "cache_size", -65_536)?;
    match user_version(&index)? {
        0 => {
            index.execute_batch("BEGIN IMMEDIATE")?;
            index.execute_batch(INDEX_TABLES)?;
            index.execute(
                "INSERT INTO indexed VALUES (1, ?1, 0, ?2, 0, ?3, 0, ?3)",
                rusqlite::params![&incarnation.as_bytes()[..], &[0_u8; 32][..], &[0_u8; 16][..]],
            )?;
            index.pragma_update(None, "user_version", INDEX_SCHEMA)?;
            index.execute_batch("COMMIT")?;
        }
        INDEX_SCHEMA => {}
        other => {
            return Err(OpenError::Schema { found: other, known: INDEX_SCHEMA });
        }
    }
    Ok(index)
}

/// Opens the index for reading.
pub(super) fn read_index(dir: &Path) -> Result<Connection, OpenError> {
    let index = connect(&dir.join(INDEX_FILE), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    match user_version(&index)? {
        INDEX_SCHEMA => Ok(index),
        other => Err(OpenError::Schema { found: other, known: INDEX_SCHEMA }),
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

fn set_wal(connection: &Connection) -> Result<(), OpenError> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode == "wal" { Ok(()) } else { Err(OpenError::NotDurable(format!("journal_mode is {mode} and not WAL"))) }
}

fn user_version(connection: &Connection) -> Result<i64, OpenError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}
