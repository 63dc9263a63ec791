//! Copies the write-ahead log of a file that can be made again (`index.sqlite`, the read models) into the file, beside
//! its writer.
//!
//! SQLite's own automatic checkpoint runs inside the commit that crosses its bound: it copies everything at once and syncs
//! twice, and the syncs of the log on the same disk wait behind it. This thread copies little and often, so no commit
//! and no sync waits long. Only a write-ahead log that has become too long makes the writer wait, for the last pages.
//!
//! The log's own file is not copied like this (see `checkpointer`): its commits are synced and its writer must not wait for a
//! reader, so it is copied rarely, and the writer itself copies the last pages.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// Between two copies: some hundreds of pages under load, and a page that is written again and again is copied once.
const PAUSE: Duration = Duration::from_millis(250);
/// How long the last copy of a full write-ahead log waits for readers of older pages; the writer waits as long.
const WAIT: Duration = Duration::from_millis(100);

#[derive(Default)]
struct State {
    /// There are commits that were not copied.
    written: bool,
    /// The write-ahead log is full: the writer begins no transaction until the rest is copied.
    full: bool,
    stop: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a commit and gathers what follows it. False: it is to stop.
    fn next(&self) -> bool {
        let mut state = self.lock();
        while !state.stop && !state.written {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let gathered = self.changed.wait_timeout_while(state, PAUSE, |state| !state.stop);
        let (mut state, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        state.written = false;
        !state.stop
    }
}

/// The writer begins no transaction while this lives.
struct WriterHeld<'a>(&'a Shared);

impl<'a> WriterHeld<'a> {
    fn by(shared: &'a Shared) -> Self {
        shared.lock().full = true;
        Self(shared)
    }
}

impl Drop for WriterHeld<'_> {
    fn drop(&mut self) {
        self.0.lock().full = false;
        self.0.changed.notify_all();
    }
}

/// The thread; dropping it ends the thread, and closes its connection.
#[derive(Debug)]
pub struct Copier {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Copier {
    /// Starts the thread for a file in WAL mode. The writer sets `wal_autocheckpoint = 0` and calls [`Copier::written`] after
    /// each commit. From `most` pages (of 4 KiB) on in the write-ahead log the writer waits for the rest to be copied.
    ///
    /// # Errors
    /// If the file cannot be opened, or the thread cannot be started.
    pub fn start(name: &str, file: &Path, most: u32) -> Result<Self, std::io::Error> {
        let connection = open(file).map_err(std::io::Error::other)?;
        let shared = Arc::new(Shared::default());
        let (beside, file) = (Arc::clone(&shared), file.display().to_string());
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut bound = i64::from(most);
            while beside.next() {
                if let Err(error) = copy(&connection, &beside, i64::from(most), &mut bound) {
                    // Nothing is lost: what is committed is read from the write-ahead log.
                    tracing::warn!(
                        %error,
                        file,
                        "the write-ahead log could not be copied into its file; it is retried with the next commit, check \
                         that the disk has space"
                    );
                }
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Notes a commit, between two transactions. Waits while a full write-ahead log is copied: a writer that begins its next
    /// transaction at once would never leave it the lock.
    pub fn written(&self) {
        let mut state = self.shared.lock();
        if !state.written {
            state.written = true;
            self.shared.changed.notify_all();
        }
        while state.full && !state.stop {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(
                "the thread that copies a write-ahead log panicked; the file is copied at the next start, nothing to do"
            );
        }
    }
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // One sync of the write-ahead log before the copy and one of the file after it, as a checkpoint of the writer would do.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.busy_timeout(WAIT)?;
    Ok(connection)
}

/// Copies what is written. A write-ahead log that has grown beyond `bound` is begun again at its start, while the writer
/// waits. Where a reader still needs older pages, that is tried again after `most` pages more and not each time.
fn copy(connection: &Connection, shared: &Shared, most: i64, bound: &mut i64) -> rusqlite::Result<()> {
    // What the writer adds meanwhile does not count here: `written` is what there was at the beginning.
    let Copied { written, .. } = checkpoint(connection, "PASSIVE")?;
    if written <= *bound {
        return Ok(());
    }
    let held = WriterHeld::by(shared);
    let Copied { written, busy } = checkpoint(connection, "RESTART")?;
    drop(held);
    *bound = if busy { written + most } else { most };
    Ok(())
}

/// What a copy found.
struct Copied {
    /// Pages in the write-ahead log.
    written: i64,
    /// Something kept it from being begun again.
    busy: bool,
}

fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<Copied> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        Ok(Copied { busy: row.get::<_, i64>(0)? != 0, written: row.get(1)? })
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::path::PathBuf;
    use std::time::Instant;

    use super::*;

    const MOST: u32 = 500;

    fn writer() -> (tempfile::TempDir, PathBuf, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rows.sqlite");
        let writer = Connection::open(&file).unwrap();
        writer
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0; \
                 CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT)",
            )
            .unwrap();
        writer.busy_timeout(Duration::from_secs(10)).unwrap();
        (dir, file, writer)
    }

    fn write(writer: &Connection, rows: u32) {
        writer
            .execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
                 INSERT INTO rows (text) SELECT hex(randomblob(1000)) FROM n",
                [rows],
            )
            .unwrap();
    }

    fn wal_pages(file: &Path) -> u64 {
        std::fs::metadata(file.with_extension("sqlite-wal")).map_or(0, |wal| wal.len() / 4_120)
    }

    /// What a connection that opens the file without its write-ahead log finds.
    fn rows_in_file(file: &Path) -> i64 {
        let copy = file.with_extension("copy");
        std::fs::copy(file, &copy).unwrap();
        Connection::open(&copy).unwrap().query_row("SELECT count(*) FROM rows", [], |row| row.get(0)).unwrap_or(-1)
    }

    #[test]
    fn what_is_committed_comes_into_the_file() {
        let (_dir, file, writer) = writer();
        let copier = Copier::start("copy", &file, MOST).unwrap();
        write(&writer, 10);
        assert_eq!(rows_in_file(&file), -1, "no commit copies anything itself");
        copier.written();
        let begun = Instant::now();
        while rows_in_file(&file) != 10 {
            assert!(begun.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_writer_that_never_pauses_has_a_bounded_write_ahead_log() {
        let (_dir, file, writer) = writer();
        let copier = Copier::start("copy", &file, MOST).unwrap();
        let begun = Instant::now();
        let mut written = 0;
        // Each row is half a page, so that is what would be there without the copies. What comes between two of them is not bounded.
        while begun.elapsed() < Duration::from_secs(4) || written / 2 <= 8 * u64::from(MOST) {
            write(&writer, 20);
            written += 20;
            copier.written();
        }
        let (there, unbounded) = (wal_pages(&file), written / 2);
        assert!(there < unbounded / 2, "{there} pages of {unbounded}");
    }

    #[test]
    fn a_reader_of_older_pages_delays_the_restart_and_nobody_else() {
        let (_dir, file, writer) = writer();
        write(&writer, 10);
        let reader = Connection::open(&file).unwrap();
        reader.execute_batch("BEGIN").unwrap();
        let seen = || reader.query_row("SELECT count(*) FROM rows", [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(seen(), 10);
        let copier = Copier::start("copy", &file, 10).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < 4 * PAUSE {
            write(&writer, 20);
            copier.written();
        }
        assert_eq!(seen(), 10);
        reader.execute_batch("COMMIT").unwrap();
        // The salts in its header change each time that it begins again.
        let salts = || std::fs::read(file.with_extension("sqlite-wal")).unwrap()[16..24].to_vec();
        let before = salts();
        for _ in 0..50 {
            write(&writer, 1);
            copier.written();
            std::thread::sleep(PAUSE / 10);
        }
        assert_ne!(salts(), before, "the write-ahead log begins again once the reader has gone");
    }
}
