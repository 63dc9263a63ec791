//! Bounds on the consequences of a command. A saga begins with an event of its own, derived from the command's events;
//! if that event would be too large to write, the command is refused at once instead of being accepted and then stuck.

use domain::order::Order;
use domain::saga::{Decision, Fact, Needs, Origin, may_start, start};
use domain::time::Timestamp;
use domain::{Event, stream};
use event_store::MAX_EVENT_BYTES;
use event_store::record::StreamId;
use schemas::{Encoded, registry};
use uuid::Uuid;

use super::error::Error;
use super::fold::{Fold, state};
use super::plan::Facts;

/// Events of fewer bytes start nothing that is too large: a line takes at least 55 bytes of an event, and with the
/// longest SKU and a location of its own 700 bytes of the saga's first event.
const LARGE: usize = 64 * 1024;
/// The space reserved for an event's metadata, in bytes.
const METADATA: usize = 4 * 1024;

/// Whether the log can take a stream's events and the first events of the sagas that they start. `before` is the
/// stream's fold before them.
pub(super) fn fit(
    stream: &StreamId,
    before: &dyn Fold,
    facts: &dyn Facts,
    events: &[(Encoded, Option<Uuid>)],
) -> Result<(), Error> {
    for (encoded, _) in events.iter().filter(|(encoded, _)| encoded.data.len() >= LARGE) {
        small_enough("an event", encoded.data.len())?;
        if ![stream::ORDER, stream::RESERVATION].contains(&&*stream.category) {
            continue;
        }
        let event = registry::decode(&encoded.kind, encoded.schema_version, &encoded.data)
            .map_err(|error| Error::Plan(error.to_string()))?;
        let Some(needs) = may_start(&stream.id, &event) else { continue };
        let mut after = before.branch();
        if matches!(needs, Needs::Order(_)) {
            facts.fold(&mut *after);
        }
        let order = state::<Order>(&*after).and_then(Order::placed);
        // Neither the id nor the moment has another length.
        let origin = Origin {
            stream: &stream.id,
            version: 1,
            event_id: Uuid::max(),
            recorded_at: Timestamp::default(),
            event: &event,
        };
        for started in start(&origin, order, None) {
            let begun = Decision::intervention(origin.recorded_at, Fact::Started(started));
            let started = registry::encode(&Event::Saga(begun));
            let started = started.map_err(|error| Error::Plan(error.to_string()))?;
            small_enough("the first event of the process that it starts", started.data.len())?;
        }
    }
    Ok(())
}

fn small_enough(what: &str, bytes: usize) -> Result<(), Error> {
    if bytes + METADATA <= MAX_EVENT_BYTES {
        return Ok(());
    }
    Err(Error::TooLarge(format!("{what} would have {bytes} bytes, {} at most", MAX_EVENT_BYTES - METADATA)))
}
