//! The contract of an event store. One suite, `contract`, checks every backend against it.

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use crate::append::{Batch, Pending, Receipt};
use crate::consumer::{Checkpoint, ConsumerKey, ConsumerRow, Lease};
use crate::gathering::Announcement;
use crate::record::{Micros, Position, Record, StreamId, Version};
use crate::snapshot::Snapshot;

/// The errors of the store's operations. Callers that branch on an error use its [`Class`]. *Unknown* is never reported
/// as *never* or *not now*, and *not now* never as *never*.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was written, and the same never will be: it is too large or not well-formed.
    #[error("the store never takes this: {0}")]
    Never(String),
    /// Nothing was written, and the same write may succeed later: the disk is full, a lock is held, the database is
    /// unreachable.
    #[error("the store cannot take this now: {0}")]
    NotNow(String),
    /// The write may or may not be in the log; appending the same command id again finds out.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
    /// The bounded queue is full; nothing was written. Come back in a moment.
    #[error("the store's queue is full")]
    Overloaded,
    /// The store is shutting down or has stopped; nothing was written.
    #[error("the store is closed")]
    Closed,
    /// A read failed.
    #[error("the store cannot be read: {0}")]
    Read(String),
    /// The stored data differs from what was written: the chain, a version or a position does not match.
    #[error("the log is damaged at position {position}: {what}")]
    Damaged {
        /// The first position that does not fit.
        position: Position,
        /// What does not fit there.
        what: String,
    },
    /// The lease is lost: its epoch is over, or it ended and another owner took it.
    #[error("the lease is lost")]
    LeaseLost,
}

/// Why a writer could not write, and when it last noticed. The next committed group clears it.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Why.
    pub why: String,
    /// When it last tried.
    pub at: std::time::Instant,
}

impl Trouble {
    pub(crate) fn now(why: &str) -> Option<Self> {
        Some(Self { why: why.to_owned(), at: std::time::Instant::now() })
    }
}

/// What an error means for a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing was done, and trying again unchanged never helps.
    Never,
    /// Nothing was done, and trying again later may help.
    NotNow,
    /// It may or may not have been done: a retry under the same id finds out.
    Unknown,
}

impl Error {
    /// There is no record at a position that has one.
    pub(crate) fn hole(position: Position) -> Self {
        Self::Damaged { position, what: "there is no record".into() }
    }

    /// What it means for a retry. A closed store is *not now*, because the next process opens it again, and so is a
    /// damaged log, because it may be restored; a lost lease is *never*, because its epoch does not come back.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Never(_) | Self::LeaseLost => Class::Never,
            Self::NotNow(_) | Self::Overloaded | Self::Closed | Self::Read(_) | Self::Damaged { .. } => Class::NotNow,
            Self::Unknown(_) => Class::Unknown,
        }
    }
}

/// The durable end of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The last position, 0 in an empty log.
    pub position: Position,
    /// The hash of the last record, all zero in an empty log.
    pub hash: [u8; 32],
    /// When the last group was committed.
    pub recorded_at: Micros,
}

/// Which way a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From old to new.
    Forwards,
    /// From new to old.
    Backwards,
}

/// Which records of the log are wanted; empty lists want everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these tenants.
    pub tenants: Vec<String>,
    /// Only streams of these categories.
    pub categories: Vec<String>,
    /// Only these types.
    pub kinds: Vec<String>,
}

impl Filter {
    /// Whether it wants a record.
    #[must_use]
    pub fn wants(&self, record: &Record) -> bool {
        let wants = |names: &[String], name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
        wants(&self.tenants, &record.stream.tenant)
            && wants(&self.categories, &record.stream.category)
            && wants(&self.kinds, &record.kind)
    }
}

/// Part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The records, in order of position. A batch is never cut in two: the page ends where a batch ends,
    /// even where that makes it longer than the limit.
    pub records: Vec<Record>,
    /// Everything wanted up to here has been seen; read on after it.
    pub next: Position,
    /// The durable head when the page was read.
    pub head: Position,
}

/// An append-only log.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Puts a batch on the writer's queue. Its place there is taken before this returns, so two appends by one task are
    /// judged in their order; the outcome arrives after the sync.
    fn append(&self, batch: Batch) -> Pending;

    /// Says that an append is about to come which follows from one on the queue: the writer lets it come for a moment, so that one
    /// sync carries both. `None`: this store does not.
    fn announce(&self) -> Option<Announcement>;

    /// The receipt of a command; the answer takes all appends in flight into account. `None` means that the command has
    /// not been accepted so far.
    async fn command(&self, command_id: Uuid) -> Result<Option<Receipt>, Error>;

    /// Up to `limit` records of a stream, beginning with version `from` (inclusive; backwards, `u64::MAX` begins at the end).
    async fn read_stream(
        &self,
        stream: &StreamId,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Record>, Error>;

    /// The durable version of a stream's last event and its id, `None` if it has no event.
    async fn stream_head(&self, stream: &StreamId) -> Result<Option<(Version, Uuid)>, Error>;

    /// About `limit` records of the log after `after` that `filter` wants, and never more than the durable head.
    async fn read_log(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, Error>;

    /// The last position recorded at or before an instant, 0 if there is none. The answer for an instant that is not in
    /// the future never changes, whatever is appended later; an instant in the future is answered as of now.
    ///
    /// The query writes nothing. Three things keep the answer for an instant after the head's `recorded_at` valid. It
    /// is given only when all appends in progress are decided. Later appends read the clock afterwards. And if the
    /// clock is set back, this handle records nothing at or before the latest instant that it has answered; that floor
    /// goes to disk with the next group and when the store is closed. Only a crash *and* a clock set back beyond the
    /// instant, before the next group, could record something before it; an answer for an instant at or before the
    /// head's `recorded_at` cannot change even then.
    async fn position_at(&self, instant: Micros) -> Result<Position, Error>;

    /// A watch on the durable head.
    fn head(&self) -> watch::Receiver<Head>;

    /// Identifies the store: a random id that is generated with it and never changes.
    fn incarnation(&self) -> Uuid;

    /// The store's clock.
    fn now(&self) -> Micros;

    /// The clock of leases: the store's, without the test offset. So an advance of the test clock ends no lease.
    fn lease_clock(&self) -> Micros;

    /// Takes or renews a lease: succeeds if the row is free, its lease has ended, or `owner` holds it. `None`: another holds it.
    async fn acquire(&self, key: &ConsumerKey, owner: &str, lease_us: Micros) -> Result<Option<ConsumerRow>, Error>;

    /// Gives a lease back early.
    async fn release(&self, lease: &Lease) -> Result<(), Error>;

    /// Moves a checkpoint, if the lease's epoch is still the row's: else [`Error::LeaseLost`].
    async fn save(&self, lease: &Lease, checkpoint: Checkpoint) -> Result<(), Error>;

    /// A row as it stands.
    async fn consumer(&self, key: &ConsumerKey) -> Result<Option<ConsumerRow>, Error>;

    /// Every row of a name, in order of partition.
    async fn consumers(&self, name: &str) -> Result<Vec<ConsumerRow>, Error>;

    /// The newest snapshot of a stream by this fold, if one is kept.
    async fn snapshot(&self, stream: &StreamId, fold: u32) -> Result<Option<Snapshot>, Error>;

    /// Keeps a snapshot, in place of the stream's older one. Best effort: it may be dropped.
    fn keep_snapshot(&self, stream: StreamId, snapshot: Snapshot);

    /// Accepts no more appends, finishes the queued ones, and closes the files.
    async fn close(&self) -> Result<(), Error>;
}
