//! Copies SQLite's write-ahead log into the database file, beside the writer. A thread copies most of it while the
//! writer continues; the writer itself copies the pages that were added meanwhile, because only then can the
//! write-ahead log restart from its beginning. Durability never depends on this.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::shared::Shared;

/// Pages written before the thread copies them: few, since the syncs of the log wait while a large copy is synced; and enough
/// that the pages that are written again and again (the head, the edge of the tree) are copied once for many commits.
const SLICE_PAGES: usize = 1_000;
/// Pages in the write-ahead log from which the writer copies the rest, so that it begins again: within what was written in
/// advance, see [`super::Options::wal_ahead`].
const MOST_PAGES: usize = 3_500;
/// Pages that the writer copies itself at most, beside what comes after the thread's last copy.
const REST_PAGES: i64 = 500;
/// Passes of the thread over what a fast writer adds meanwhile.
const PASSES: usize = 4;

#[derive(Default)]
struct State {
    asked: bool,
    /// The thread has copied most of it; the rest is little enough for the writer.
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

/// How many pages the writer has added, about.
#[derive(Default)]
pub(super) struct Added {
    /// Since the thread was asked to copy them.
    slice: usize,
    /// Since the write-ahead log began.
    all: usize,
}

impl Added {
    /// Notes a commit; requests a copy when it is time, and copies the rest when the write-ahead log is to begin again.
    pub(super) fn commit(&mut self, bytes: usize, shared: &Shared, log: &Connection) {
        // An estimate: each commit writes its first and last page and the head's beside what its rows fill.
        let pages = bytes / 3_500 + 3;
        (self.slice, self.all) = (self.slice + pages, self.all + pages);
        if self.slice < SLICE_PAGES && self.all < MOST_PAGES {
            return;
        }
        let mut state = shared.checkpoints.lock();
        if self.all >= MOST_PAGES && state.rest {
            state.rest = false;
            drop(state);
            let _ = copy(log);
            *self = Self::default();
        } else if !state.asked {
            self.slice = 0;
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
