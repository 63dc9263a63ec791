//! The lock file: one process writes to a store. The file names the holder for the messages of other processes; the
//! content itself never locks.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::open::OpenError;

const FILE: &str = "lock";

/// The process that holds a store's lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its command: `serve`, `import` …
    pub role: String,
    /// The address at which another process can ask it to do the work, if it listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} ({})", self.pid, self.role)?;
        self.url.iter().try_for_each(|url| write!(f, " at {url}"))
    }
}

/// The lock, held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    holder: Holder,
}

impl Lock {
    pub(super) fn take(dir: &Path, role: &str) -> Result<Self, OpenError> {
        let path = dir.join(FILE);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Held(read(&path).unwrap_or_default()));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut lock = Self { file, holder: Holder { pid: std::process::id(), role: role.into(), url: None } };
        lock.describe(None)?;
        Ok(lock)
    }

    pub(super) fn describe(&mut self, url: Option<String>) -> io::Result<()> {
        self.holder.url = url;
        let text = serde_json::to_vec(&self.holder)?;
        self.file.rewind()?;
        self.file.write_all(&text)?;
        self.file.set_len(text.len() as u64)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // An empty file names no process. A failure here is harmless, because the lock itself ends with the file
        // handle.
        let _ = self.file.set_len(0);
    }
}

/// The process that holds the lock of the store in `dir`; `None` if no process does.
///
/// # Errors
/// If the lock file can be neither read nor locked for a test.
pub fn holder(dir: impl AsRef<Path>) -> io::Result<Option<Holder>> {
    let path = dir.as_ref().join(FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => read(&path).map(Some),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn read(path: &Path) -> io::Result<Holder> {
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text).unwrap_or_default())
}
