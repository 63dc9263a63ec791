//! A copy of a database file as it is at one moment, beside its writer: by SQLite's own backup, from one consistent
//! state that is held during the read. Copying the files of a running store does not guarantee that.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::open::OpenError;

/// Pages copied in one go.
const PAGES: i32 = 2_048;
/// How long to wait where the file is locked for a moment.
const MOMENT: Duration = Duration::from_millis(20);

/// Copies the database at `from` to `to`, which must not exist, durably; calls `progress` with the number of copied
/// pages and of all pages. After a failure nothing is left at `to`.
///
/// # Errors
/// If `from` cannot be read, or `to` cannot be written or exists already.
pub fn back_up(from: &Path, to: &Path, progress: impl FnMut(u64, u64)) -> Result<(), OpenError> {
    if to.exists() {
        let there =
            std::io::Error::new(std::io::ErrorKind::AlreadyExists, format!("{} is there already", to.display()));
        return Err(there.into());
    }
    let mut name = to.as_os_str().to_owned();
    name.push(".partial");
    let partial = Path::new(&name);
    let done = copy(from, partial, progress).and_then(|()| {
        File::open(partial)?.sync_all()?;
        fs::rename(partial, to)?;
        if let Some(folder) = to.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    });
    if done.is_err() {
        let _ = fs::remove_file(partial);
    }
    done
}

fn copy(from: &Path, to: &Path, mut progress: impl FnMut(u64, u64)) -> Result<(), OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags)?;
    source.busy_timeout(Duration::from_secs(5))?;
    // One state is held until the copy is done: else the copy would begin again with each commit of the writer.
    source.execute_batch("BEGIN")?;
    source.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    let mut target = Connection::open(to)?;
    let backup = Backup::new(&source, &mut target)?;
    loop {
        match backup.step(PAGES)? {
            StepResult::Done => break,
            StepResult::More => {}
            _ => thread::sleep(MOMENT),
        }
        let at = backup.progress();
        let count = |pages: i32| u64::try_from(pages).unwrap_or(0);
        progress(count(at.pagecount - at.remaining), count(at.pagecount));
    }
    drop(backup);
    // One file, without a write-ahead log beside it; a process that opens the copy for writing sets that again.
    target.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0))?;
    target.close().map_err(|(_, error)| OpenError::Sqlite(error))
}
