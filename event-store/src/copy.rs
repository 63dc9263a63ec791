//! Copying a log from one store into another. The copy is the same log: every position, instant, hash, command id and
//! fingerprint, and the incarnation are equal. So a consumer of the first log can continue with the second from its
//! checkpoint, and the second knows every command that the first accepted.
//!
//! Consumer rows and snapshots are not copied. A lease names a process that reads the other store, a checkpoint
//! describes what such a process has written elsewhere, and both are rebuilt from the log.
//!
//! A copy may end at any moment; the next run continues after the last batch in the target.

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
    /// The latest instant for which the log has answered a query about recorded events.
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

    /// About `limit` records after `after`, from whole batches; none only at the end. They are not checked; the caller
    /// checks them.
    async fn raw(&self, after: Position, limit: usize) -> Result<Vec<Record>, crate::Error>;
}

/// A log that is being written by copying. No other process may write to it.
#[async_trait]
pub trait Target: Send {
    /// Takes the identity `incarnation` if the log is empty; otherwise it must have it already. Returns its end.
    async fn begin(&mut self, incarnation: Uuid) -> Result<End, Error>;

    /// Writes records after `after`, which must be its end, all or none of them, durably; its new end is `end`.
    async fn put(&mut self, after: Head, records: &[Record], end: End) -> Result<(), Error>;

    /// How many records it holds, counted one by one, and where it ends.
    async fn count(&mut self) -> Result<(u64, End), Error>;
}

/// Why a log was not copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The target holds another log, or more of this one than the source.
    #[error("the target is not a prefix of the source: {0}")]
    Foreign(String),
    /// The source has a test clock, and the target does not.
    #[error("the source has a test clock, and its records cannot be copied to another store")]
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

/// Copies the records that the target lacks, checks the chain on the way, and compares the ends. If the source is
/// written meanwhile, the copy ends with the records that were there when it reached the end.
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
    // Pages consist of whole batches, so the first record may be earlier than the requested one.
    let found = source.raw(at.position - 1, 1).await?;
    match found.iter().find(|record| record.position == at.position) {
        Some(record) if record.hash == at.hash => Ok(()),
        _ => Err(Error::Foreign(format!("its record at position {} differs", at.position))),
    }
}

/// The records follow the head without a gap, and every hash follows from its record and the hash before.
fn check_chain(mut at: Head, records: &[Record]) -> Result<(), Error> {
    for record in records {
        hash::check(record, at.position + 1, &at.hash).map_err(Error::Store)?;
        at = Head { position: record.position, hash: record.hash, recorded_at: record.recorded_at };
    }
    Ok(())
}
