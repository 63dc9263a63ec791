//! How a store is opened. Every bound has its reason beside it; no environment is read here.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, system_clock};
use crate::record::Position;

/// How far the rebuilding of the index has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The last position that is indexed.
    pub indexed_to: Position,
    /// The last position of the log.
    pub head: Position,
}

/// The named moments between a batch's judgement and its entry in the index, where a test may stop the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A group has been judged; nothing is written.
    Judged,
    /// The group is in the open transaction; it is not committed.
    Written,
    /// The group is committed and synced; no caller knows it yet.
    LogCommitted,
    /// The group is readable and the head has moved; no caller has been answered.
    Answering,
    /// A run is in the index's open transaction; it is not committed.
    IndexWritten,
    /// The run is committed in the index; it is in memory as well still.
    IndexCommitted,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Step; 6] =
        [Step::Judged, Step::Written, Step::LogCommitted, Step::Answering, Step::IndexWritten, Step::IndexCommitted];
}

/// Called by the writer in place of nothing, right before `COMMIT`. It may stall; an error is treated as the commit's own:
/// [`io::ErrorKind::StorageFull`] as *not now*, everything else as an unknown outcome that stops the writer.
pub type SyncHook = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// Called at every [`Step`].
pub type StepHook = Arc<dyn Fn(Step) + Send + Sync>;

/// Called while the index is rebuilt.
pub type ProgressHook = Arc<dyn Fn(Progress) + Send + Sync>;

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// The directory of the files; created if it is missing.
    pub dir: PathBuf,
    /// The command of this process (`serve`, `import` …), shown to processes that find the lock held.
    pub role: String,
    /// Where the time comes from.
    pub clock: Clock,
    /// Whether the store is created with a clock that a test can advance. It must match the existing store.
    pub test_clock: bool,
    /// Connections for reading: more than a few gain nothing on a page cache that all of them share.
    pub readers: usize,
    /// The most events that wait on the queue; the next batch is refused as overloaded. About a second's work.
    pub queue_events: usize,
    /// The most bytes that wait on the queue.
    pub queue_bytes: usize,
    /// The most events in one commit: bounds how long the first of them waits.
    pub group_events: usize,
    /// The most bytes in one commit (one batch that is larger goes alone).
    pub group_bytes: usize,
    /// The most cached stream heads, about 60 bytes each; others are looked up in the index.
    pub heads: usize,
    /// Entries in one run of the index: with random keys a run writes nearly every page of the index, so twice the run is
    /// half the writing, and the last run is what a restart reads.
    pub run: usize,
    /// The most entries in memory that are not yet in the index, about 100 bytes each; beyond that the writer waits.
    pub tail: usize,
    /// About how many bytes of the newest records are kept in memory for the followers of this process.
    pub recent_bytes: usize,
    /// How many bytes of the log's write-ahead log are written in advance when the store is opened, and given back when it is closed:
    /// a sync that makes the file longer takes several times as long. Where the disk has no room for them, there are none.
    pub wal_ahead: usize,
    /// How long the log must be quiet for a shorter run to be written.
    pub idle: Duration,
    /// Reports the progress of a rebuild of the index.
    pub progress: Option<ProgressHook>,
    /// Called right before each commit; none in production.
    pub before_commit: Option<SyncHook>,
    /// Called at each named step; none in production.
    pub steps: Option<StepHook>,
}

impl Options {
    /// [`Options::wal_ahead`] for a store that is written to for longer than a moment: what the write-ahead log needs.
    pub const WAL_AHEAD: usize = 16 * 1024 * 1024;

    /// The store in `dir`, with the system's clock and the bounds that were measured.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            role: "writer".into(),
            clock: system_clock(),
            test_clock: false,
            readers: 4,
            queue_events: 65_536,
            queue_bytes: 128 * 1024 * 1024,
            group_events: 4_096,
            group_bytes: 8 * 1024 * 1024,
            heads: 1_048_576,
            run: 65_536,
            tail: 4 * 65_536,
            recent_bytes: crate::recent::DEFAULT_BYTES,
            wal_ahead: 0,
            idle: Duration::from_millis(20),
            progress: None,
            before_commit: None,
            steps: None,
        }
    }

    /// Says what this process is.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = role.into();
        self
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes or opens a store with a clock that a test can advance.
    #[must_use]
    pub fn test_clock(mut self, test_clock: bool) -> Self {
        self.test_clock = test_clock;
        self
    }

    pub(super) fn step(&self, step: Step) {
        if let Some(hook) = &self.steps {
            hook(step);
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("dir", &self.dir)
            .field("role", &self.role)
            .field("readers", &self.readers)
            .field("queue_events", &self.queue_events)
            .field("group_events", &self.group_events)
            .field("heads", &self.heads)
            .field("run", &self.run)
            .field("tail", &self.tail)
            .field("recent_bytes", &self.recent_bytes)
            .finish_non_exhaustive()
    }
}
