//! Copies SQLite's write-ahead log into the database file, beside the writer. A thread copies most of it while the
//! writer continues; the writer itself copies the pages that were added meanwhile, because only then can the
//! write-ahead log restart from its beginning. Durability never depends on this.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::shared::Shared;

/// Pages written before the bulk is copied. About 64 MiB: enough that the pages that are written again and again (the head, the
/// edge of the tree) are copied once.
const BULK_PAGES: usize = 16_000;
/// Pages that the writer copies itself at most.
const REST_PAGES: i64 = 2_000;
/// Passes of the thread over what a fast writer adds meanwhile.
const PASSES: usize = 4;

#[derive(Default)]
struct State {
    asked: bool,
    /// The bulk is copied, the rest is for the writer.
    rest: bool,
    stop: bool,
}

/// The shared state of the writer and the thread.
#[derive(Default)]
pub(super) struct Checkpoints {
    state: Mutex<State>,
    changed: Condvar,
}

/// Without it the write-ahead log would grow until the disk is full.
struct Ends<'a>(&'a Shared);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("the copying of the write-ahead log panicked");
        }
    }
}

impl Checkpoints {
    /// The thread's work, until it is stopped.
    pub(super) fn run(&self, shared: &Shared, log: &Connection) {
        let _ends = Ends(shared);
        let mut state = self.lock();
        while !state.stop {
            if !state.asked {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            drop(state);
            let mut left = i64::MAX;
            for _ in 0..PASSES {
                left = copy(log).unwrap_or(i64::MAX);
                if left <= REST_PAGES {
                    break;
                }
            }
            state = self.lock();
            state.asked = false;
            state.rest = left <= REST_PAGES;
        }
    }

    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much the writer has added since the write-ahead log was last copied.
#[derive(Default)]
pub(super) struct Added {
    bytes: usize,
    commits: usize,
}

impl Added {
    /// Notes a commit; requests the copy of the bulk when it is time, and copies the rest after that.
    pub(super) fn commit(&mut self, bytes: usize, shared: &Shared, log: &Connection) {
        self.bytes += bytes;
        self.commits += 1;
        // An estimate: each commit writes its first and last page and the head's beside what its rows fill.
        if self.bytes / 3_500 + self.commits * 3 < BULK_PAGES {
            return;
        }
        let mut state = shared.checkpoints.lock();
        if state.rest {
            state.rest = false;
            drop(state);
            let _ = copy(log);
            *self = Self::default();
        } else if !state.asked {
            state.asked = true;
            drop(state);
            shared.checkpoints.changed.notify_all();
        }
    }
}

/// Copies pages without waiting for any other connection; returns how many pages are left.
fn copy(log: &Connection) -> Option<i64> {
    let copied = log.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let (written, copied): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok(written - copied)
    });
    match copied {
        Ok(left) => Some(left),
        Err(error) => {
            // The write-ahead log stays and grows; the records are durable in it.
            tracing::warn!(
                %error,
                "the write-ahead log could not be copied into the log's file; it is retried, check that the disk has \
                 space"
            );
            None
        }
    }
}
