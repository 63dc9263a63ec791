//! The first outcome of a command, repeated: from its receipt and from the streams at the versions that it names, never
//! from their current state.

use domain::ids::Tenant;
use domain::stream::{self, StreamName};
use domain::time::Timestamp;
use event_store::append::Receipt;
use event_store::record::StreamId;
use streams::Until;

use super::attempt::sorted;
use super::done::{Done, Verdict};
use super::error::Error;
use super::fold::{State, Type};
use super::load;
use super::plan::Plan;
use super::{Inner, batch, stream_id};

impl Inner {
    /// Rebuilds the outcome of a receipt. It contains the states that the plan asks for; without a plan there are none.
    pub(super) async fn replay(&self, tenant: &Tenant, plan: Option<&Plan>, receipt: &Receipt) -> Result<Done, Error> {
        let settled = receipt.streams.iter().find(|written| &*written.stream.category == stream::OUTCOME);
        let (verdict, mut streams) = match settled {
            Some(written) => self.settled(&written.stream).await?,
            None => (Verdict::Applied, written(receipt)?),
        };
        let mut states = Vec::new();
        for (name, version) in &streams {
            if let Some((of, true)) = plan.and_then(|plan| plan.of(name.category)) {
                let id = stream_id(tenant, name);
                states.push((name.clone(), self.state_at(&id, of, *version).await?));
            }
        }
        if settled.is_none() {
            let looked_at = self.looked_at(tenant, plan, receipt, &streams).await?;
            for (name, version, state) in looked_at {
                streams.push((name.clone(), version));
                states.push((name, state));
            }
        }
        Ok(Done {
            verdict,
            command_id: receipt.command_id,
            position: receipt.last_position,
            recorded_at: Timestamp::from_micros(receipt.recorded_at),
            replayed: true,
            streams: sorted(streams),
            events: Vec::new(),
            states,
        })
    }

    async fn settled(&self, stream: &StreamId) -> Result<(Verdict, Vec<(StreamName, u64)>), Error> {
        let entries = streams::entries(&*self.store, stream, Until::Version(1)).await?;
        let entry = entries.first().ok_or_else(|| Error::Store(format!("{stream} has a receipt and no event")))?;
        batch::read_settled(entry)
    }

    /// The streams that the plan wants to see and that the command did not write, as they were right before it.
    async fn looked_at(
        &self,
        tenant: &Tenant,
        plan: Option<&Plan>,
        receipt: &Receipt,
        written: &[(StreamName, u64)],
    ) -> Result<Vec<(StreamName, u64, State)>, Error> {
        let mut seen = Vec::new();
        for step in plan.map_or(&[][..], |plan| &plan.steps) {
            if !step.shown || written.iter().any(|(name, _)| *name == step.stream) {
                continue;
            }
            let id = stream_id(tenant, &step.stream);
            let until = Until::Position(receipt.first_position - 1);
            let held = load::fold(&*self.store, &id, step.of, until).await?;
            if held.version > 0 {
                seen.push((step.stream.clone(), held.version, held.fold.shown()));
            }
        }
        Ok(seen)
    }

    async fn state_at(&self, stream: &StreamId, of: Type, version: u64) -> Result<State, Error> {
        if let Some(slot) = self.cache.there(stream)
            && slot.is_loaded()
        {
            let held = slot.lock().await;
            if held.version == version && !slot.is_discarded() {
                return Ok(held.fold.shown());
            }
        }
        let held = load::fold(&*self.store, stream, of, Until::Version(version)).await?;
        if held.version == version {
            Ok(held.fold.shown())
        } else {
            Err(Error::Store(format!("{stream} ends at version {} and was answered for at {version}", held.version)))
        }
    }
}

fn written(receipt: &Receipt) -> Result<Vec<(StreamName, u64)>, Error> {
    receipt
        .streams
        .iter()
        // What sagas decided with it is no part of the answer.
        .filter(|written| &*written.stream.category != stream::SAGA)
        .map(|written| {
            let StreamId { category, id, .. } = &written.stream;
            let name = schemas::stream::name(category, id)
                .ok_or_else(|| Error::Store(format!("there is no category {category}")))?;
            Ok((name, written.last_version))
        })
        .collect()
}
