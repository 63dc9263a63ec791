//! The contract of a database for read models: rows and checkpoint change in one transaction, by compare-and-set.
//! It must never move a checkpoint without the rows, nor let a reader see half a model.

use std::pin::Pin;

use async_trait::async_trait;
use event_store::record::Position;
use event_store::supervision::Ended;
use uuid::Uuid;

use crate::board::Stop;
use crate::dump::Snapshot;
use crate::held::{Held, HeldChange};
use crate::value::{Row, Spec, Table, Value};

/// What can go wrong with a read model's database.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A read failed, or the data read differs from what was written.
    #[error("the read model cannot be read: {0}")]
    Read(String),
    /// A write failed; nothing of it is there.
    #[error("the read model cannot be written: {0}")]
    Write(String),
    /// The file is not a database any longer, or its pages are inconsistent: it is unusable, and can be rebuilt.
    #[error("the file of the read models is damaged: {0}")]
    Damaged(String),
    /// The checkpoint is not where this worker left it: another one moved it. Nothing was written.
    #[error("the checkpoint of {0} was moved by another worker")]
    Lost(String),
    /// The database is closed.
    #[error("the read models are closed")]
    Closed,
    /// There is no read model of that name.
    #[error("there is no read model `{0}`")]
    Unknown(String),
    /// It is being built from the log and has not caught up yet.
    #[error("the read model {0} is being built and has not caught up yet")]
    Building(String),
    /// It is being rebuilt already.
    #[error("the read model {0} is being rebuilt already")]
    AlreadyRebuilding(String),
    /// It holds the requested stream: a record of it cannot be read or applied.
    #[error("the read model {name} does not show {} from version {} on: the record at position {} ({}) cannot be read or applied: {}",
        held.stream, held.version, held.position, held.kind, held.reason)]
    Held {
        /// The model.
        name: &'static str,
        /// What it holds, and why.
        held: Box<Held>,
    },
    /// It did not reach the position that was asked for in time.
    #[error("the read models are at position {at} and did not reach {wanted} in time")]
    Stale {
        /// The position that was asked for.
        wanted: Position,
        /// Where they are.
        at: Position,
    },
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] event_store::Error),
}

/// Why projecting ended: what the log or the rows cannot do *now* is not a failure.
pub(crate) fn ended(error: Error) -> Ended {
    match error {
        Error::Log(error) => error.into(),
        Error::Read(_) | Error::Write(_) | Error::Closed => Ended::NotNow(error.to_string()),
        other => Ended::Failed(other.to_string()),
    }
}

impl From<streams::Error> for Error {
    fn from(error: streams::Error) -> Self {
        match error {
            streams::Error::Store(error) => Self::Log(error),
            streams::Error::Unreadable(unreadable) => Self::Read(unreadable.to_string()),
        }
    }
}

/// Which tables of a model: the ones that queries read, or the ones that are built beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// What queries read.
    Live,
    /// The tables of a rebuild, which will replace the live ones.
    Next,
}

impl Slot {
    /// What its tables' names end with.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Live => "",
            Self::Next => "__next",
        }
    }

    /// Its name in the checkpoint's key.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Next => "next",
        }
    }
}

/// The position of a model's tables, or of one partition of them. A model that is projected whole has the one row of
/// partition 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The model.
    pub name: String,
    /// The stream partition.
    pub partition: u32,
    /// The version of its tables and its apply.
    pub version: u32,
    /// The last position that its rows show.
    pub position: Position,
    /// The hash of the record there, all zero at position 0.
    pub hash: [u8; 32],
    /// Grows with each change of hands; a commit with an older one is refused.
    pub epoch: u64,
    /// Its owner.
    pub owner: Uuid,
    /// The store that its rows come from.
    pub incarnation: Uuid,
    /// It is built for the first time until here, and not to be read before.
    pub building_to: Position,
    /// The record that stopped it, until it continues.
    pub stopped: Option<Stop>,
}

impl Checkpoint {
    /// Whether the model must not be read yet. A stopped model serves the rows that it has.
    #[must_use]
    pub fn building(&self) -> bool {
        self.position < self.building_to && self.stopped.is_none()
    }
}

/// A change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The row is this.
    Put(&'static Table, Vec<Value>),
    /// The row with this key is gone.
    Remove(&'static Table, Vec<Value>),
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Table {}

/// One model's part in a commit.
#[derive(Clone, Debug)]
pub struct Part {
    /// The model.
    pub name: &'static str,
    /// The partition of its checkpoint.
    pub partition: u32,
    /// Where its checkpoint has to be.
    pub from: Position,
    /// Which epoch its checkpoint has to have.
    pub epoch: u64,
    /// Where its checkpoint goes.
    pub to: Position,
    /// The hash of the record there.
    pub hash: [u8; 32],
    /// The changes of its rows.
    pub changes: Vec<Change>,
    /// The changes of its held streams.
    pub held: Vec<HeldChange>,
}

/// A query: SQL that both dialects read, with `$1`, `$2` … for its values, each as often as it likes.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The SQL.
    pub sql: String,
    /// The values of `$1`, `$2` …
    pub values: Vec<Value>,
}

impl Statement {
    /// A query.
    pub fn new(sql: impl Into<String>, values: Vec<Value>) -> Self {
        Self { sql: sql.into(), values }
    }
}

/// What became of a take-over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// The new tables are live; their checkpoint.
    Done(Checkpoint),
    /// The live tables are ahead, at this position; nothing was done.
    Behind(Position),
    /// A long transaction reads the rows (for example, a verification) and would see half of each state; nothing was
    /// done.
    Busy,
}

/// The tables of a model to create.
#[derive(Clone, Copy, Debug)]
pub struct Making {
    /// The model.
    pub spec: &'static Spec,
    /// Which tables.
    pub slot: Slot,
    /// How many checkpoints it has: one, or one for each partition.
    pub partitions: u32,
    /// Their owner.
    pub owner: Uuid,
    /// The store that the rows will come from.
    pub incarnation: Uuid,
    /// They are not to be read before they show this position.
    pub building_to: Position,
}

/// Keeps other processes from creating tables until it is released. If it is dropped instead, they continue as soon as
/// the database notices; a paused process does not block them forever.
pub struct Exclusive(Option<Release>);

/// Releases the lock, and completes when the others can continue.
type Release = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

impl Exclusive {
    /// For a database that one process alone has open.
    pub(crate) const fn alone() -> Self {
        Self(None)
    }

    /// Released by this; the same if it is dropped, but not at once.
    pub(crate) fn until(release: impl Future<Output = Result<(), Error>> + Send + 'static) -> Self {
        Self(Some(Box::pin(release)))
    }

    /// Releases the lock; it is released when this returns.
    ///
    /// # Errors
    /// If the database had released it before: it could not be reached for too long, and tables may have been created
    /// twice.
    pub async fn release(self) -> Result<(), Error> {
        match self.0 {
            Some(release) => release.await,
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Exclusive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exclusive")
    }
}

/// A database for read models. A write finishes once it has begun, even if its caller is dropped; a read is stopped
/// then, and when it takes too long.
#[async_trait]
pub trait ReadStore: Send + Sync + 'static {
    /// The checkpoints of one model or of all, in order of name and partition; none if its tables were never made.
    async fn checkpoints(&self, name: Option<&str>, slot: Slot) -> Result<Vec<Checkpoint>, Error>;

    /// Creates a model's tables again, empty, with checkpoints at position 0 and no held streams. An earlier owner
    /// cannot commit any longer.
    async fn create(&self, making: Making) -> Result<Vec<Checkpoint>, Error>;

    /// Takes over one checkpoint: an earlier owner cannot commit any longer.
    async fn acquire(&self, name: &str, slot: Slot, partition: u32, owner: Uuid) -> Result<Checkpoint, Error>;

    /// Writes the rows and the held streams of all parts, and moves their checkpoints (a part that is already at its
    /// end stays there), or does nothing at all. Committing a part clears its `stopped` mark.
    async fn commit(&self, slot: Slot, parts: Vec<Part>) -> Result<(), Error>;

    /// Records why a live checkpoint does not move, visible to all processes.
    async fn stop(&self, name: &str, partition: u32, epoch: u64, stop: &Stop) -> Result<(), Error>;

    /// Puts the tables built beside the live ones in their place, unless the live ones are ahead; as many checkpoints as said, all at
    /// the position of the new ones.
    async fn take_over(&self, spec: &'static Spec, owner: Uuid, partitions: u32) -> Result<Takeover, Error>;

    /// Drops the tables of unfinished rebuilds: all of them, or only this owner's.
    async fn discard(&self, spec: &'static Spec, owner: Option<Uuid>) -> Result<(), Error>;

    /// Waits until no other process creates tables, and prevents that until it is released.
    async fn exclusive(&self) -> Result<Exclusive, Error>;

    /// Answers queries, all on one state of the database.
    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, Error>;

    /// Takes a snapshot of the current state.
    async fn snapshot(&self) -> Result<Snapshot, Error>;

    /// Finishes the operations in progress and closes the database.
    async fn close(&self) -> Result<(), Error>;
}
