//! Proving a log: every position there, every hash the one that its bytes and its predecessor give, every version the next of
//! its stream. Reads only, and only through the contract, so that it proves any backend.

use std::collections::HashMap;

use crate::hash;
use crate::record::{Position, StreamId, Version};
use crate::store::{Error, EventStore, Filter};

/// Where a proof stands, or what it came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proven {
    /// The last position that is proven.
    pub position: Position,
    /// The hash there; the whole log before it follows from it.
    pub hash: hash::Hash,
    /// The head when it was last looked at.
    pub head: Position,
}

/// Records read at once.
const PAGE: usize = 2_048;

/// Proves the log after `after` (0: all of it) up to the head as it stands when the proof gets there. Versions are proven
/// only where it begins at 0, for the first version of a stream is only known then.
///
/// # Errors
/// [`Error::Damaged`] with the first position that does not fit, or why the log cannot be read.
pub async fn chain(store: &dyn EventStore, after: Position, mut progress: impl FnMut(Proven)) -> Result<Proven, Error> {
    let mut proven = Proven { position: after, ..Proven::default() };
    if after > 0 {
        let page = store.read_log(after - 1, &Filter::default(), 1).await?;
        proven.hash =
            page.records.first().map(|record| record.hash).ok_or_else(|| damaged(after, "there is no record"))?;
    }
    let mut versions: HashMap<StreamId, Version> = HashMap::new();
    loop {
        let page = store.read_log(proven.position, &Filter::default(), PAGE).await?;
        proven.head = page.head;
        for record in page.records {
            if record.position != proven.position + 1 {
                return Err(damaged(proven.position + 1, "there is no record"));
            }
            let expected = hash::chain(&proven.hash, record.position, record.recorded_at, &hash::leaf_of(&record));
            if record.hash != expected {
                return Err(damaged(record.position, "the hash is not that of the record and its predecessor"));
            }
            proven = Proven { position: record.position, hash: record.hash, ..proven };
            if after == 0 {
                let version = versions.entry(record.stream).or_default();
                if record.version != *version + 1 {
                    return Err(damaged(record.position, "the version is not the next of its stream"));
                }
                *version = record.version;
            }
        }
        progress(proven);
        if proven.position >= proven.head {
            return Ok(proven);
        }
    }
}

fn damaged(position: Position, what: &str) -> Error {
    Error::Damaged { position, what: what.into() }
}
