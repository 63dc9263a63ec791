//! Copying a log from one store into another. The copy is the same log: every position, instant, hash, command id and fingerprint, and
//! the incarnation, so whoever followed the first can follow the second from where it stands, and a command that the first has accepted
//! is known to the second.
//!
//! Consumer rows and snapshots stay behind. A lease names a process that reads the other store, a checkpoint says what such a process
//! has written elsewhere, and what either knows is made again from the log.
//!
//! A copy may end at any moment; run again, it goes on after the last batch that is in the target.

use async_trait::async_trait;
use uuid::Uuid;

use crate::hash;
use crate::record::{Micros, Position, Record};
use crate::store::Head;

/// Where a log ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// The durable head.
    pub head: Head,
    /// Up to which instant it has been answered what was recorded.
    pub answered_to: Micros,
    /// Whether its store has a test clock.
    pub for_a_test: bool,
}

/// A log that can be read as it is stored.
#[async_trait]
pub trait Source: Send + Sync {
    /// Which log it is.
    fn incarnation(&self) -> Uuid;

    /// Where it ends now.
    async fn end(&self) -> Result<End, crate::Error>;

    /// About `limit` records after `after`, from whole batches; none only at the end. Not proven: who copies them proves them.
    async fn raw(&self, after: Position, limit: usize) -> Result<Vec<Record>, crate::Error>;
}

/// A log that is being written by copying. Nobody else may be writing it.
#[async_trait]
pub trait Target: Send {
    /// Becomes the log `incarnation` if it is empty, and must be it already if it is not. Where it ends.
    async fn begin(&mut self, incarnation: Uuid) -> Result<End, Error>;

    /// Writes records after `after`, which is where it ends, all or none of them, durably; it then ends at `end`.
    async fn put(&mut self, after: Head, records: &[Record], end: End) -> Result<(), Error>;

    /// How many records it holds, counted one by one, and where it ends.
    async fn count(&mut self) -> Result<(u64, End), Error>;
}

/// Why a log was not copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The target holds another log, or more of this one than the source.
    #[error("the target is not a beginning of the source: {0}")]
    Foreign(String),
    /// The source goes by a clock that the target has not.
    #[error("the source has a test clock, and what was recorded by it is of no use elsewhere")]
    TestClock,
    /// A store failed, or the source is damaged.
    #[error(transparent)]
    Store(#[from] crate::Error),
}

/// How far a copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The last position that is durable in the target.
    pub position: Position,
    /// The last position of the source.
    pub head: Position,
}

/// Records copied in one transaction.
const PAGE: usize = 4_096;

/// Copies what the target lacks, checking the chain on the way, and compares the ends. Where the source is written meanwhile, the copy
/// ends with what was there when it got there.
///
/// # Errors
/// [`Error::Foreign`] if the target holds anything that the source does not, before anything is written.
pub async fn run(
    source: &dyn Source,
    target: &mut dyn Target,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Head, Error> {
    let mut end = source.end().await?;
    if end.for_a_test {
        return Err(Error::TestClock);
    }
    // The incarnation is a name; what the target holds is compared as well.
    let begun = target.begin(source.incarnation()).await?;
    let mut at = begun.head;
    check_beginning(source, at, end.head.position).await?;
    loop {
        progress(Progress { position: at.position, head: end.head.position });
        let records = source.raw(at.position, PAGE).await?;
        let Some(last) = records.last() else { break };
        let next = Head { position: last.position, hash: last.hash, recorded_at: last.recorded_at };
        check_chain(at, &records)?;
        end = source.end().await?;
        let reached = End { head: next, ..end };
        target.put(at, &records, reached).await?;
        at = next;
    }
    let (count, copied) = target.count().await?;
    if count != at.position || copied.head.position != at.position || copied.head.hash != at.hash {
        return Err(Error::Foreign(format!(
            "it holds {count} records and ends at position {}, where {} were copied",
            copied.head.position, at.position
        )));
    }
    Ok(at)
}

/// The target's last record is the source's at that position; by the chain, so are all before it.
async fn check_beginning(source: &dyn Source, at: Head, end: Position) -> Result<(), Error> {
    if at.position == 0 {
        return Ok(());
    }
    if at.position > end {
        return Err(Error::Foreign(format!("it ends at position {}, the source at {end}", at.position)));
    }
    // From whole batches, so the first may be earlier than what was asked for.
    let found = source.raw(at.position - 1, 1).await?;
    match found.iter().find(|record| record.position == at.position) {
        Some(record) if record.hash == at.hash => Ok(()),
        _ => Err(Error::Foreign(format!("its record at position {} is another", at.position))),
    }
}

/// The records follow the head without a hole, and every hash is the one that its bytes and its predecessor give.
fn check_chain(mut at: Head, records: &[Record]) -> Result<(), Error> {
    for record in records {
        hash::check(record, at.position + 1, &at.hash).map_err(Error::Store)?;
        at = Head { position: record.position, hash: record.hash, recorded_at: record.recorded_at };
    }
    Ok(())
}
