//! A stream's events as a list, with the records that cannot be read.

use std::collections::BTreeSet;

use domain::{Event, record};
use event_store::record::{Record, StreamId, Version};
use event_store::{Direction, EventStore};

use crate::Error;
use crate::decode::{Unreadable, decode, event};
use crate::fold::{PAGE, Until, fold, next};

/// A record and its event; no event if the record is set aside.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The record.
    pub record: Record,
    /// What happened.
    pub event: Option<Event>,
}

/// All of a stream as far as `until`; for streams that are known to be short.
///
/// # Errors
/// If the store fails, or a record cannot be read and none sets it aside.
pub async fn entries(store: &dyn EventStore, stream: &StreamId, until: Until) -> Result<Vec<Entry>, Error> {
    let step = |all: &mut Vec<Entry>, record: &Record, event: Option<&Event>| {
        all.push(Entry { record: record.clone(), event: event.cloned() });
    };
    fold(store, stream, until, None, Vec::new, step).await
}

/// The next records of a stream after a version, some hundred at most; none at its end.
///
/// # Errors
/// If the store fails, or one of them cannot be read and none sets it aside.
pub async fn after(store: &dyn EventStore, stream: &StreamId, version: Version) -> Result<Vec<Entry>, Error> {
    let page = store.read_stream(stream, version + 1, Direction::Forwards, PAGE).await?;
    let mut known = None;
    let mut entries = Vec::with_capacity(page.len());
    let mut at = version;
    for record in page {
        next(at, &record)?;
        at = record.version;
        let event = match decode(&record) {
            Ok(read) => Some(read.event),
            Err(unreadable) => {
                let asides = match known.take() {
                    Some(asides) => asides,
                    None => asides(store, stream, Until::End).await?,
                };
                let aside = asides.contains(&record.version);
                known = Some(asides);
                if !aside {
                    return Err(unreadable.into());
                }
                None
            }
        };
        entries.push(Entry { record, event });
    }
    Ok(entries)
}

/// The versions that the records of a stream set aside, as far as `until`.
///
/// # Errors
/// If the store fails.
pub async fn asides(
    store: &dyn EventStore,
    stream: &StreamId,
    until: Until,
) -> Result<BTreeSet<Version>, event_store::Error> {
    let mut asides = BTreeSet::new();
    asides_after(store, stream, 0, until, &mut asides).await?;
    Ok(asides)
}

/// Adds the versions that the records of a stream after a version set aside, as far as `until`; the last version that was looked at.
///
/// # Errors
/// If the store fails.
pub async fn asides_after(
    store: &dyn EventStore,
    stream: &StreamId,
    mut at: Version,
    until: Until,
    asides: &mut BTreeSet<Version>,
) -> Result<Version, event_store::Error> {
    loop {
        let page = store.read_stream(stream, at + 1, Direction::Forwards, PAGE).await?;
        for record in &page {
            if !until.includes(record) {
                return Ok(at);
            }
            at = record.version;
            asides.extend(sets_aside(record));
        }
        if page.len() < PAGE {
            return Ok(at);
        }
    }
}

/// The version that a record sets aside, if it does.
#[must_use]
pub fn sets_aside(record: &Record) -> Option<Version> {
    if &*record.kind != KIND {
        return None;
    }
    match event(record) {
        Ok(Event::Record(record::Event::SetAside(it))) => Some(it.version),
        _ => None,
    }
}

/// The stored name of the event that sets a record aside: others need not be decoded to look for it.
const KIND: &str = "RecordSetAside";

/// The first record of a stream that cannot be read and that none sets aside.
///
/// # Errors
/// If the store fails.
pub async fn first_unreadable(
    store: &dyn EventStore,
    stream: &StreamId,
) -> Result<Option<Box<Unreadable>>, event_store::Error> {
    match fold(store, stream, Until::End, None, || (), |(), _, _| ()).await {
        Ok(()) => Ok(None),
        Err(Error::Unreadable(unreadable)) => Ok(Some(unreadable)),
        Err(Error::Store(error)) => Err(error),
    }
}
