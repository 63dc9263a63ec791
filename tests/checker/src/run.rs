//! A run as it is kept: what was sent, what came back, what was seen.

use std::sync::Arc;
use std::time::Duration;

use event_store::record::{Position, StreamId, Version};
use uuid::Uuid;

use crate::history::{Call, Stands};

/// 128 bits that stand for bytes too long to keep.
pub(crate) fn digest(parts: &[&[u8]]) -> u128 {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    Uuid::new_v5(&Uuid::nil(), &bytes).as_u128()
}

/// An answer as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) code: Option<String>,
    pub(crate) position: Option<Position>,
    pub(crate) versions: Vec<(StreamId, Version)>,
    pub(crate) location: Option<String>,
    pub(crate) stands: Stands,
    pub(crate) body: u128,
}

/// What came of an invocation.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Ok { told: Told, replayed: bool },
    Refused { told: Told, replayed: bool },
    Unknown(String),
}

/// A moment: `tick` orders all moments of a history, `at` is for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) tick: u64,
    pub(crate) at: Duration,
}

/// One sending of a command.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) client: Arc<str>,
    pub(crate) call: Call,
    pub(crate) invoked: Moment,
    /// `None` while no answer has come; that counts as unknown.
    pub(crate) ended: Option<(Moment, Outcome)>,
}

/// What somebody saw at a position of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    Hash([u8; 32]),
    Event(Uuid),
    /// Only that it was there.
    There,
}

/// Something seen of the log.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) client: Arc<str>,
    pub(crate) position: Position,
    pub(crate) sight: Sight,
    pub(crate) at: Moment,
}

/// A reader that saw a position without the one before it.
#[derive(Clone, Debug)]
pub(crate) struct Jump {
    pub(crate) client: Arc<str>,
    pub(crate) after: Position,
    pub(crate) saw: Position,
}

/// A read of one stream's state.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) client: Arc<str>,
    pub(crate) stream: StreamId,
    pub(crate) min_position: Option<Position>,
    pub(crate) invoked: Moment,
    pub(crate) ended: Moment,
    /// The position that it said it shows.
    pub(crate) position: Option<Position>,
    /// The version that it showed, 0 where it said that there is nothing.
    pub(crate) version: Version,
}

/// Everything of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    pub(crate) sent: Vec<Sent>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) jumps: Vec<Jump>,
    pub(crate) reads: Vec<Read>,
    pub(crate) unanswered_reads: u64,
}
