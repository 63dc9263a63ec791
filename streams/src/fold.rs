//! Folds a stream. The set-aside records are known before the first event is folded, wherever in the stream they are
//! named. A record stays set aside even if a later version of the program can read it, because all later decisions were
//! made without it.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::{Event, record};
use event_store::record::{Position, Record, StreamId, Version};
use event_store::{Direction, EventStore};

use crate::Error;
use crate::decode::{Unreadable, decode};

/// How many records are read at once: a long stream is not held in memory as a whole.
pub(crate) const PAGE: usize = 512;

/// How far to fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// To the end.
    End,
    /// To this version.
    Version(Version),
    /// To the last event at or before this position.
    Position(Position),
}

impl Until {
    /// Whether a record comes no later.
    #[must_use]
    pub fn includes(self, record: &Record) -> bool {
        match self {
            Self::End => true,
            Self::Version(version) => record.version <= version,
            Self::Position(position) => record.position <= position,
        }
    }
}

/// A fold at a version of the stream, for example from a snapshot. It is not used if a record before that version was
/// set aside later.
#[derive(Clone, Debug)]
pub struct Start<S> {
    /// The fold of the events up to that version.
    pub state: S,
    /// The version.
    pub version: Version,
}

/// Folds a stream: `step` gets each record in order, with its event; without an event if the record is set aside. An
/// unreadable record is skipped only if a record of the same stream sets it aside, even one after `until`.
///
/// # Errors
/// If the store fails, or a record cannot be read and is not set aside.
pub async fn fold<S>(
    store: &dyn EventStore,
    stream: &StreamId,
    until: Until,
    start: Option<Start<S>>,
    fresh: impl Fn() -> S,
    step: impl FnMut(&mut S, &Record, Option<&Event>),
) -> Result<S, Error> {
    run(store, stream, (until, true), BTreeSet::new(), start, fresh, step).await
}

/// The same for consumers that follow the log and do not know the stream after `until`: only the records that are set
/// aside up to there count.
///
/// # Errors
/// As [`fold`].
pub async fn fold_here<S>(
    store: &dyn EventStore,
    stream: &StreamId,
    until: Until,
    fresh: impl Fn() -> S,
    step: impl FnMut(&mut S, &Record, Option<&Event>),
) -> Result<S, Error> {
    fold_knowing(store, stream, until, &BTreeSet::new(), fresh, step).await
}

/// The same, with the known set-aside versions: only those count, and those that are set aside up to `until`.
///
/// # Errors
/// As [`fold`].
pub async fn fold_knowing<S>(
    store: &dyn EventStore,
    stream: &StreamId,
    until: Until,
    asides: &BTreeSet<Version>,
    fresh: impl Fn() -> S,
    step: impl FnMut(&mut S, &Record, Option<&Event>),
) -> Result<S, Error> {
    run(store, stream, (until, false), asides.clone(), None, fresh, step).await
}

async fn run<S>(
    store: &dyn EventStore,
    stream: &StreamId,
    (until, look_beyond): (Until, bool),
    mut asides: BTreeSet<Version>,
    mut start: Option<Start<S>>,
    fresh: impl Fn() -> S,
    mut step: impl FnMut(&mut S, &Record, Option<&Event>),
) -> Result<S, Error> {
    loop {
        let pass = Pass { until, look_beyond, at: start.as_ref().map_or(0, |start| start.version) };
        let state = start.take().map_or_else(&fresh, |start| start.state);
        // Each further pass knows more set-aside records; the first one sees all of them except those appended
        // meanwhile.
        if let Some(state) = pass.run(store, stream, state, &mut asides, &mut step).await? {
            return Ok(state);
        }
    }
}

/// One pass over a stream.
struct Pass {
    until: Until,
    look_beyond: bool,
    at: Version,
}

impl Pass {
    /// The fold; `None` if it was found on the way that a record before is set aside.
    async fn run<S>(
        mut self,
        store: &dyn EventStore,
        stream: &StreamId,
        mut state: S,
        asides: &mut BTreeSet<Version>,
        step: &mut impl FnMut(&mut S, &Record, Option<&Event>),
    ) -> Result<Option<S>, Error> {
        let mut stuck: Option<Box<Unreadable>> = None;
        let mut again = false;
        'pages: loop {
            let page = store.read_stream(stream, self.at + 1, Direction::Forwards, PAGE).await?;
            for record in &page {
                next(self.at, record)?;
                let beyond = !self.until.includes(record);
                if beyond && (stuck.is_none() || !self.look_beyond) {
                    break 'pages;
                }
                self.at = record.version;
                let read = if asides.contains(&record.version) { Ok(None) } else { decode(record).map(Some) };
                if let Ok(Some(read)) = &read
                    && let Event::Record(record::Event::SetAside(it)) = &read.event
                {
                    again |= asides.insert(it.version);
                }
                if beyond || again || stuck.is_some() {
                    continue;
                }
                let folded = read.and_then(|read| {
                    let event = read.as_ref().map(|read| &read.event);
                    let stepped = catch_unwind(AssertUnwindSafe(|| step(&mut state, record, event)));
                    stepped.map_err(|_| Box::new(Unreadable::new(record, "folding it panicked")))
                });
                stuck = folded.err();
            }
            if page.len() < PAGE {
                break;
            }
        }
        match stuck {
            _ if again => Ok(None),
            Some(stuck) => Err(stuck.into()),
            None => Ok(Some(state)),
        }
    }
}

/// A record has to be the next one of its stream.
pub(crate) fn next(at: Version, record: &Record) -> Result<(), event_store::Error> {
    if record.version == at + 1 {
        return Ok(());
    }
    Err(event_store::Error::Damaged {
        position: record.position,
        what: format!("{} has version {at} and then version {}", record.stream, record.version),
    })
}
