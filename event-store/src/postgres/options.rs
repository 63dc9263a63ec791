//! How a store is opened. Every bound has its reason beside it; no environment is read here.

use std::fmt;
use std::time::Duration;

use crate::clock::Clock;

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// The database: `postgres://user:password@host:port/database?sslmode=verify-full`.
    pub url: String,
    /// The command of this process (`serve`, `copy` …), shown as `application_name` among the server's sessions.
    pub role: String,
    /// Connections for reading and for consumer rows, beside one to write, one to watch the head, one to listen and one to notify.
    pub connections: u32,
    /// The most events that wait on the queue; the next batch is refused as overloaded. About a second's work.
    pub queue_events: usize,
    /// The most bytes that wait on the queue.
    pub queue_bytes: usize,
    /// The most events in one commit: bounds how long the first of them waits, and how long the head is locked.
    pub group_events: usize,
    /// The most bytes in one commit (one batch that is larger goes alone).
    pub group_bytes: usize,
    /// About how many bytes of the newest records are kept in memory for the followers of this process.
    pub recent_bytes: usize,
    /// The most cached stream heads, about 60 bytes each; others are looked up.
    pub heads: usize,
    /// How long a group is retried, and an unknown outcome looked up, while the server cannot be reached: longer than a
    /// restart or a fail-over takes. Together with one more missing answer, callers wait less than 30 s.
    pub patience: Duration,
    /// How long to wait for one answer of the server before the connection counts as lost: a vanished peer never
    /// reports it.
    pub stall: Duration,
    /// How long a read may take, waiting for a connection and trying again included: the caller is answered within that.
    pub answer: Duration,
    /// How often the head is polled without a notification.
    pub poll: Duration,
    /// Where the time comes from in place of the server's clock; for tests.
    pub clock: Option<Clock>,
    /// Whether the store is created with a clock that a test can advance. For writing, it must match the existing
    /// store.
    pub test_clock: bool,
}

impl Options {
    /// The store in the database at `url`, with the server's clock and bounds that suit a few processes at one server.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            role: "writer".into(),
            connections: 8,
            queue_events: 65_536,
            queue_bytes: 128 * 1024 * 1024,
            group_events: 4_096,
            group_bytes: 8 * 1024 * 1024,
            recent_bytes: crate::recent::DEFAULT_BYTES,
            heads: 262_144,
            patience: Duration::from_secs(20),
            stall: Duration::from_secs(10),
            answer: Duration::from_secs(10),
            poll: Duration::from_millis(100),
            clock: None,
            test_clock: false,
        }
    }

    /// Says what this process is.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = role.into();
        self
    }

    /// Takes the time from `clock`, for leases as well.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Makes or opens a store with a clock that a test can advance.
    #[must_use]
    pub fn test_clock(mut self, test_clock: bool) -> Self {
        self.test_clock = test_clock;
        self
    }
}

/// Without the address, which may hold a password.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("role", &self.role)
            .field("connections", &self.connections)
            .field("queue_events", &self.queue_events)
            .field("group_events", &self.group_events)
            .field("recent_bytes", &self.recent_bytes)
            .field("heads", &self.heads)
            .field("patience", &self.patience)
            .field("poll", &self.poll)
            .finish_non_exhaustive()
    }
}
