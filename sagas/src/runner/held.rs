//! Held streams: one of their records cannot be read, so no saga reacts to them. Sagas process such a stream once the
//! record is set aside, or a version of the program that can read it runs. The checkpoint names the held streams.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use event_store::Filter;
use event_store::record::{Position, Record, StreamId, Version};
use streams::{Unreadable, Until};

use super::NAME;
use super::append::Flight;
use super::route::{may_begin, of_saga};
use super::session::Session;
use crate::Stopped;
use crate::log::{Group, listened_to};

/// The version of the checkpoint's state that begins with held streams; the rest is as without them.
const FORM: u8 = 4;
/// The most streams that a checkpoint names: more cannot be single faults, and the checkpoint does not move then.
pub(super) const MOST: usize = 10_000;

/// The streams, each with the position and the version of the first record that is not reacted to.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<StreamId, (Position, Version)>);

impl Held {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn contains(&self, stream: &StreamId) -> bool {
        self.0.contains_key(stream)
    }

    /// The state of a checkpoint, with the held streams before the rest.
    pub(super) fn encode(&self, rest: Bytes) -> Bytes {
        if self.0.is_empty() {
            return rest;
        }
        let mut state = BytesMut::with_capacity(5 + self.0.len() * 8 + rest.len());
        state.put_u8(FORM);
        state.put_u32(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        for (position, _) in self.0.values() {
            state.put_u64(*position);
        }
        state.extend_from_slice(&rest);
        state.freeze()
    }

    /// The positions that a state begins with, and the rest.
    pub(super) fn split(mut state: Bytes) -> (Vec<Position>, Bytes) {
        let whole = state.clone();
        if state.try_get_u8() != Ok(FORM) {
            return (Vec::new(), whole);
        }
        let Ok(count) = state.try_get_u32() else {
            return (Vec::new(), whole);
        };
        let positions = (0..count).map_while(|_| state.try_get_u64().ok()).collect();
        (positions, state)
    }
}

impl Session {
    /// Holds the streams that the checkpoint names; streams that can be read now are processed instead.
    pub(super) async fn reopen_held(&mut self, positions: Vec<Position>) -> Result<(), Stopped> {
        for position in positions {
            let page = self.store.read_log(position.saturating_sub(1), &Filter::default(), 1).await?;
            if let Some(record) = page.records.iter().find(|record| record.position == position) {
                self.held.0.insert(record.stream.clone(), (record.position, record.version));
            }
        }
        for stream in self.held.0.keys().cloned().collect::<Vec<_>>() {
            self.release(&stream).await?;
        }
        self.show_held();
        Ok(())
    }

    /// Whether a record of the command cannot be read, or comes after an unreadable one in its stream: then no saga
    /// reacts to any of them, because the events of one command are observed as a whole. `asked`: whether a saga waits
    /// for the command's answer; otherwise the events matter where sagas observe the stream, and where they may start a
    /// saga.
    pub(super) async fn blocked(&mut self, group: &Group<'_>, asked: bool) -> Result<bool, Stopped> {
        let mut blocked = false;
        let others = group.records.iter().filter(|record| !of_saga(record));
        for record in others.filter(|record| asked || listened_to(record) || may_begin(record)) {
            if self.held.contains(&record.stream) {
                blocked = true;
                continue;
            }
            let Err(unreadable) = streams::decode(record) else {
                continue;
            };
            let asides = streams::asides(self.store.as_ref(), &record.stream, Until::End).await?;
            if !asides.contains(&record.version) {
                self.hold(record, &unreadable);
                blocked = true;
            }
        }
        Ok(blocked)
    }

    /// Nothing of a stream is reacted to from a record on.
    fn hold(&mut self, record: &Record, unreadable: &Unreadable) {
        crate::log::unreadable(unreadable, "sagas");
        self.held.0.entry(record.stream.clone()).or_insert((record.position, record.version));
        self.show_held();
    }

    pub(super) fn show_held(&self) {
        self.holds.set(NAME, self.options.partition, self.held.len());
    }

    /// Folding the subjects of a command's records failed: if a record cannot be read, its stream is held from here on.
    pub(super) fn stuck(&mut self, group: &Group<'_>, error: streams::Error) -> Result<(), Stopped> {
        let unreadable = match error {
            streams::Error::Store(error) => return Err(error.into()),
            streams::Error::Unreadable(unreadable) => unreadable,
        };
        if let Some(record) = group.records.iter().find(|record| record.stream == unreadable.stream) {
            self.hold(record, &unreadable);
        }
        Ok(())
    }

    /// A record was set aside: its stream may be read on.
    pub(super) async fn set_aside(&mut self, record: &Record, flights: &mut Vec<Flight>) -> Result<(), Stopped> {
        if self.held.contains(&record.stream) {
            // Earlier decisions come first.
            let before = std::mem::take(flights);
            self.settle(before).await?;
            self.release(&record.stream).await?;
        }
        Ok(())
    }

    /// A stock record is set aside in the partition of its order, and another partition may hold the stream because of
    /// an earlier record: such streams are checked again from time to time.
    pub(super) async fn look_at_held(&mut self) -> Result<(), Stopped> {
        let shared = self.held.0.keys().filter(|stream| &*stream.category == domain::stream::STOCK);
        for stream in shared.cloned().collect::<Vec<_>>() {
            self.release(&stream).await?;
        }
        Ok(())
    }

    /// Processes a held stream, if all of it can be read.
    async fn release(&mut self, stream: &StreamId) -> Result<(), Stopped> {
        if streams::first_unreadable(self.store.as_ref(), stream).await?.is_some() {
            return Ok(());
        }
        let Some((_, from)) = self.held.0.remove(stream) else {
            return Ok(());
        };
        self.show_held();
        tracing::info!(%stream, version = from, "a stream can be read again, and what came of it is reacted to");
        let (mut at, mut heard) = (from - 1, None);
        loop {
            let entries = streams::after(self.store.as_ref(), stream, at).await.or_else(none_yet)?;
            let Some(last) = entries.last() else {
                return Ok(());
            };
            at = last.record.version;
            for entry in &entries {
                let command_id = entry.record.command_id;
                if heard.replace(command_id) == Some(command_id) {
                    continue;
                }
                if let Some(receipt) = self.store.command(command_id).await? {
                    Box::pin(self.hear_again(command_id, &receipt)).await?;
                }
            }
        }
    }
}

/// A stream that still cannot be read (another record was written meanwhile) arrives through the feed again and is held
/// there.
fn none_yet(error: streams::Error) -> Result<Vec<streams::Entry>, Stopped> {
    match error {
        streams::Error::Store(error) => Err(error.into()),
        streams::Error::Unreadable(_) => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_stands_before_the_state_and_nothing_held_leaves_it_as_it_was() {
        let rest = Bytes::from_static(&[1, 2, 3]);
        let mut held = Held::default();
        assert_eq!(held.encode(rest.clone()), rest);
        assert_eq!(Held::split(rest.clone()), (Vec::new(), rest.clone()));
        held.0.insert(StreamId::new("main", "order", "a"), (77, 3));
        held.0.insert(StreamId::new("main", "payment", "b"), (5, 1));
        assert_eq!(Held::split(held.encode(rest.clone())), (vec![77, 5], rest));
        assert_eq!(Held::split(Bytes::new()), (Vec::new(), Bytes::new()));
    }
}
