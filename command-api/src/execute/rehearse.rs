//! Dry runs: the same decision without a write. Their answer must be as reliable as a recorded one, so it waits until
//! the state that it depends on is durable.

use std::sync::Arc;

use domain::time::Timestamp;
use event_store::record::{StreamId, Version};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::MutexGuard;
use uuid::Uuid;

use super::attempt::{Attempt, Decision, READS, Work, sorted};
use super::cache::Slot;
use super::done::{Done, Verdict};
use super::error::Error;
use super::load::Held;
use super::plan::Planned;
use super::{Inner, follows};

impl Inner {
    /// The heads of the streams of a dry run. The store checks expectations of writes; without a write they must be
    /// checked here.
    pub(super) async fn heads(&self, work: &Work<'_>) -> Result<Vec<Option<(Version, Uuid)>>, Error> {
        if !work.request.dry_run {
            return Ok(Vec::new());
        }
        let streams: Vec<StreamId> = work.parts.iter().map(|part| part.stream.clone()).collect();
        stream::iter(streams)
            .map(|stream| async move { Ok(self.store.stream_head(&stream).await?) })
            .buffered(READS)
            .try_collect()
            .await
    }

    /// The effect of a command. Nothing is written, but the answer waits until its basis is durable.
    pub(super) async fn rehearse(
        &self,
        work: &Work<'_>,
        slots: &[Arc<Slot>],
        held: Vec<MutexGuard<'_, Held>>,
        decision: Decision,
    ) -> Result<Attempt, Error> {
        let (verdict, facts) = match decision {
            Decision::Apply(facts) => (Verdict::Applied, facts),
            Decision::Settle(verdict) => (verdict.into(), Vec::new()),
        };
        let rests_on: Vec<_> = held.iter().map(|held| held.version).collect();
        let mut events = Vec::new();
        let mut streams = Vec::with_capacity(held.len());
        let mut states = Vec::new();
        for (at, (part, held)) in work.parts.iter().zip(&held).enumerate() {
            let name = &part.step.stream;
            let mut fold = held.fold.branch();
            let mut version = held.version;
            if let Some(Some(facts)) = facts.get(at) {
                facts.fold(&mut *fold);
                let stored = facts.stored()?;
                follows::fit(&part.stream, &*held.fold, &**facts, &stored)?;
                for (encoded, _) in stored {
                    version += 1;
                    events.push(Planned {
                        stream: name.clone(),
                        version,
                        kind: encoded.kind,
                        schema_version: encoded.schema_version,
                        data: encoded.data,
                    });
                }
            }
            streams.push((name.clone(), version));
            if part.step.shown {
                states.push((name.clone(), fold.shown()));
            }
        }
        drop(held);
        for (slot, version) in slots.iter().zip(rests_on) {
            if !slot.wait_durable(version).await {
                return Ok(Attempt::Again);
            }
        }
        let head = *self.store.head().borrow();
        Ok(Attempt::Done(Done {
            verdict,
            command_id: work.request.command_id,
            position: head.position,
            recorded_at: Timestamp::from_micros(head.recorded_at),
            replayed: false,
            streams: sorted(streams),
            events,
            states,
        }))
    }
}
