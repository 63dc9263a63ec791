//! Continues the streams that a worker held when it began: one part at a time, between new records. New records wait
//! for at most one part, and once for each stream for a search of its set-aside records.

use std::collections::BTreeSet;
use std::sync::Arc;

use event_store::record::{StreamId, Version};
use streams::Until;

use super::Worker;
use crate::batch::standing_hash;
use crate::held;
use crate::member::Member;
use crate::repost::{Kept, forward};
use crate::store::{Error, Slot};

/// How far a held stream was read on.
#[derive(Default)]
pub(super) struct Reading {
    /// The versions that are set aside in it, and the version up to which that is known.
    asides: BTreeSet<Version>,
    seen: Version,
    kept: Kept,
}

impl Worker {
    /// Notes the held streams, to be tried again: the next version of the program may read or apply what this one could
    /// not.
    pub(super) fn look_at_held(&mut self) {
        let of = |(at, member): (usize, &Member)| -> Vec<_> { member.held.keys().map(|it| (at, it.clone())).collect() };
        self.again = Some(self.members.iter().enumerate().flat_map(of).collect());
        for member in self.members.iter().filter(|_| self.slot == Slot::Live) {
            self.parts.board.change(member.model.spec().name, |status| status.held = member.held.len() as u64);
        }
    }

    /// Continues the first held stream by one part, so that new records do not wait longer. Returns whether there is
    /// more to continue.
    pub(super) async fn read_on(&mut self) -> Result<bool, Error> {
        let Some((at, stream)) = self.again.as_ref().and_then(|again| again.front().cloned()) else {
            return Ok(false);
        };
        let mut reading = self.reading.take().unwrap_or_default();
        let moved = self.read_part(at, &stream, &mut reading).await?;
        if moved {
            self.reading = Some(reading);
        } else if let Some(again) = &mut self.again {
            again.pop_front();
        }
        Ok(true)
    }

    /// Continues a held stream by one part; returns whether there may be more of it.
    async fn read_part(&mut self, at: usize, stream: &StreamId, reading: &mut Reading) -> Result<bool, Error> {
        let (position, log) = (self.members[at].position, Arc::clone(&self.parts.log));
        let member = &self.members[at];
        let Some(held) = member.held.get(stream).filter(|_| member.stopped.is_none()).cloned() else {
            return Ok(false);
        };
        let (until, known) = (Until::Position(position), reading.asides.len());
        reading.seen = streams::asides_after(&*log, stream, reading.seen, until, &mut reading.asides).await?;
        if reading.asides.len() != known {
            reading.kept = None;
        }
        let model = Arc::clone(&self.members[at].model);
        let forward = forward(&*log, &model, &held, (until, &reading.asides), None, &mut reading.kept).await?;
        if !forward.changed.held.is_empty() {
            let changes = forward.changed.held.clone();
            let hash = standing_hash(&self.parts, position).await?;
            self.change(&[at], (position, hash), vec![forward.changed]).await?;
            if let Some(place) = self.engine_at.1.iter().position(|one| *one == at) {
                changes.iter().for_each(|change| held::change(&mut self.engine.held[place], change));
                self.engine.folds.forget(stream);
            }
        }
        if forward.through {
            tracing::info!(%stream, "a held stream can be read again and is shown");
        }
        Ok(forward.moved && !forward.through)
    }
}
