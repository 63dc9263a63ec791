//! Sagas react in the batch that they react to: the answer to what a saga asked for and what the saga decides next are one
//! commit, and so are an event and the start of the saga that it starts. The saga's stream is written with an expectation
//! like every other, so nothing here has to be right about who else reacts: a runner that hears the batch later finds the
//! saga moved on, and it decides what is not decided here.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use domain::ids::{PaymentId, Tenant};
use domain::order::Order;
use domain::payment::Payment;
use domain::saga::event::Started;
use domain::saga::{Batch as Heard, Decision, Needs, Origin, PaymentSeen, Recorded, Saga, Trigger, may_start, start};
use domain::time::Timestamp;
use domain::{Event, outcome, stream};
use event_store::append::{Batch, StreamWrite};
use event_store::record::StreamId;
use event_store::{MAX_BATCH_BYTES, MAX_BATCH_EVENTS, MAX_EVENT_BYTES};
use schemas::{Encoded, Metadata, StoredEvent as _};
use tokio::sync::MutexGuard;
use uuid::Uuid;

use super::afloat::{Afloat, Written};
use super::attempt::Work;
use super::cache::Slot;
use super::error::Error;
use super::fold::{self, Fold, State, Type, state};
use super::follow_ups::FollowUp;
use super::load::Held;
use super::plan::Facts;
use super::{Inner, Request, batch};

/// The most sagas that start in one batch; received stock may allocate thousands of backorders, and the runner starts the rest.
const MOST_STARTS: usize = 64;
/// The space reserved for the metadata of an event, in bytes.
const METADATA: usize = 4 * 1024;

/// What the store counts for an event beside its data and metadata, in bytes: more than it is.
const AROUND: usize = 1_024;

/// A saga as its stream has it.
#[derive(Clone, Default)]
struct Folded {
    saga: Option<Saga>,
    /// What is not in `saga` yet: whose it is takes the tenant.
    decisions: Vec<Decision>,
    /// When it decided last.
    at: Timestamp,
}

impl Folded {
    fn past(&mut self, decision: &Decision) {
        self.at = self.at.max(decision.at);
        match &mut self.saga {
            Some(saga) => saga.evolve(decision),
            None => self.decisions.push(decision.clone()),
        }
    }

    /// The saga; `None` if there is none, or none that this program can run.
    fn saga(&mut self, tenant: &Tenant) -> Option<&Saga> {
        if self.saga.is_none() && !self.decisions.is_empty() {
            self.saga = Saga::load(tenant, &self.decisions).ok().flatten();
            if self.saga.is_some() {
                self.decisions.clear();
            }
        }
        self.saga.as_ref()
    }
}

impl Fold for Folded {
    fn apply(&mut self, event: &Event) {
        if let Event::Saga(decision) = event {
            self.past(decision);
        }
    }

    fn shown(&self) -> State {
        Arc::new(())
    }

    fn branch(&self) -> Box<dyn Fold> {
        Box::new(self.clone())
    }

    fn write(&self) -> Result<Bytes, serde_json::Error> {
        Ok(Bytes::new())
    }

    fn size(&self) -> usize {
        fold::size(&self.decisions) + self.saga.as_ref().map_or(0, |saga| fold::size(saga.state()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// How sagas' streams are folded. They are short, and no snapshot is kept of them.
pub(super) fn sagas() -> Type {
    Type {
        category: stream::SAGA,
        fold: fold::NO_SNAPSHOTS,
        fresh: || Box::new(Folded::default()),
        read: |_| Ok(Box::new(Folded::default())),
    }
}

/// What a saga decided, as a fact of its stream.
struct Decided {
    decision: Decision,
    written: Written,
    /// What the saga belongs to.
    correlation: Uuid,
}

impl Facts for Decided {
    fn stored(&self) -> Result<Vec<(Encoded, Option<Uuid>)>, Error> {
        let encoded = self.decision.encode().map_err(|error| Error::Plan(error.to_string()))?;
        Ok(vec![(encoded, None)])
    }

    fn fold(&self, fold: &mut dyn Fold) {
        if let Some(folded) = fold.as_any_mut().downcast_mut::<Folded>() {
            folded.past(&self.decision);
        }
    }

    fn events(&self) -> Vec<Event> {
        vec![Event::Saga(self.decision.clone())]
    }
}

/// The saga that asked for a command, with its turn at the saga's stream.
pub(super) struct Asker<'a> {
    pub(super) slot: &'a Arc<Slot>,
    pub(super) held: MutexGuard<'a, Held>,
}

impl Asker<'_> {
    /// Whether it waits for the outcome of the command.
    pub(super) fn waits_for(&mut self, request: &Request) -> bool {
        let folded = self.held.fold.as_any_mut().downcast_mut::<Folded>();
        let saga = folded.and_then(|folded| folded.saga(&request.tenant));
        saga.is_some_and(|saga| saga.waits_for(request.command_id))
    }
}

/// A saga that begins with a command, and the event that it begins with.
pub(super) struct Beginning {
    pub(super) slot: Arc<Slot>,
    started: Started,
    cause: Uuid,
}

/// A saga's decision that goes into the batch.
pub(super) struct Reaction<'a> {
    pub(super) slot: &'a Arc<Slot>,
    held: MutexGuard<'a, Held>,
    decided: Decided,
}

impl Reaction<'_> {
    /// Whether the decision asks for anything.
    pub(super) fn asks(&self) -> bool {
        self.decided.decision.asked().next().is_some()
    }

    /// Moves the saga past the decision.
    pub(super) fn fold(&mut self, afloat: &mut Afloat<'_>) {
        afloat.fold(self.slot, &mut self.held, &self.decided, self.decided.written);
    }

    /// The commands that the decision asks for, once the saga is moved past it.
    pub(super) fn follow_ups(&mut self, request: &Request) -> Vec<FollowUp> {
        let asked: Vec<Uuid> = self.decided.decision.asked().collect();
        let folded = self.held.fold.as_any_mut().downcast_mut::<Folded>();
        let (false, Some(saga)) = (asked.is_empty(), folded.and_then(|folded| folded.saga(&request.tenant))) else {
            return Vec::new();
        };
        let of_saga = Metadata::of_saga(self.decided.correlation, request.command_id);
        let metadata = Metadata { saga: Some(self.slot.stream.id.to_string()), ..of_saga };
        let asked = saga.pending().into_iter().filter(|(id, _)| asked.contains(id));
        asked
            .map(|(command_id, command)| FollowUp {
                tenant: request.tenant.clone(),
                command_id,
                command,
                metadata: metadata.clone(),
            })
            .collect()
    }
}

/// What happened, as sagas hear it, with the ids of the events.
pub(super) struct Happening {
    heard: Heard,
    ids: Vec<Uuid>,
    /// The place of each event's step in the work.
    parts: Vec<usize>,
}

/// What a batch says, in the order in which it will be in the log.
pub(super) fn happening(
    work: &Work<'_>,
    held: &[MutexGuard<'_, Held>],
    facts: &[Option<Box<dyn Facts>>],
    batch: &Batch,
) -> Happening {
    let mut heard = Heard { command_id: work.request.command_id, ..Heard::default() };
    let (mut ids, mut parts) = (Vec::new(), Vec::new());
    for (at, (part, facts)) in work.parts.iter().zip(facts).enumerate() {
        let Some(facts) = facts else { continue };
        let events = facts.events();
        if part.step.stream.category == stream::PAYMENT
            && let Ok(payment_id) = part.stream.id.parse::<PaymentId>()
        {
            let version = held[at].version + events.len() as u64;
            let mut after = held[at].fold.branch();
            facts.fold(&mut *after);
            heard.payment = state::<Payment>(&*after).cloned().map(|payment| PaymentSeen {
                payment_id,
                version,
                payment: Arc::new(payment),
            });
        }
        for (version, event) in (held[at].version + 1..).zip(events) {
            heard.events.push(Recorded { stream: Arc::clone(&part.stream.id), version, event });
            parts.push(at);
        }
        ids.extend(batch.writes[at].events.iter().map(|event| event.event_id));
    }
    Happening { heard, ids, parts }
}

/// The order of an event right after it, which is not the order after the whole batch: what follows from a receipt of returned goods
/// is decided with the receipt. `before` is the order's fold before the batch, `events` what the batch says.
pub(super) fn order_at(before: &dyn Fold, events: &[Recorded], event: &Recorded) -> Option<Order> {
    let mut order = before.branch();
    let own = events.iter().filter(|recorded| recorded.stream == event.stream && recorded.version <= event.version);
    own.for_each(|recorded| order.apply(&recorded.event));
    state::<Order>(&*order).cloned()
}

/// What a command's outcome says where nothing happened.
pub(super) fn settled(work: &Work<'_>, event: outcome::Event, batch: &Batch) -> Happening {
    let stream = stream::outcome(work.request.command_id);
    let recorded = Recorded { stream: stream.id.as_str().into(), version: 1, event: Event::Outcome(event) };
    let heard = Heard { command_id: work.request.command_id, events: vec![recorded], ..Heard::default() };
    let ids = batch.writes.iter().flat_map(|write| &write.events).map(|event| event.event_id).collect();
    Happening { heard, ids, parts: Vec::new() }
}

impl Inner {
    /// The slot of the saga that asked for a command, loaded; `None` if none did, or if it cannot be read here.
    pub(super) async fn asker(&self, work: &Work<'_>) -> Result<Option<Arc<Slot>>, Error> {
        let request = work.request;
        let Some(stream) = request.metadata.saga.as_deref().and_then(|saga| saga_stream(&request.tenant, saga)) else {
            return Ok(None);
        };
        if request.dry_run || !self.options.reactions {
            return Ok(None);
        }
        let slot = self.cache.slot(&stream, sagas());
        match slot.load(&*self.store).await {
            Ok(()) => Ok(Some(slot)),
            Err(Error::Unreadable(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The sagas that begin with what happened, as far as that can be said from the streams of the command. Their streams are
    /// taken for empty: where one is not, the batch conflicts, and the next attempt leaves all of them to the runner.
    pub(super) fn beginnings(
        &self,
        work: &Work<'_>,
        held: &[MutexGuard<'_, Held>],
        happening: &Happening,
        at: Timestamp,
    ) -> Vec<Beginning> {
        let mut beginnings = Vec::new();
        let Happening { heard, ids, parts } = happening;
        for ((recorded, event_id), part) in heard.events.iter().zip(ids).zip(parts) {
            let Some(needs) = may_start(&recorded.stream, &recorded.event) else { continue };
            let order = match needs {
                Needs::Nothing => None,
                Needs::Payment if heard.payment.is_some() => None,
                Needs::Order(order_id) if *recorded.stream == *order_id.to_string() => {
                    order_at(&*held[*part].fold, &heard.events, recorded)
                }
                _ => continue,
            };
            let origin = Origin {
                stream: &recorded.stream,
                version: recorded.version,
                event_id: *event_id,
                recorded_at: at,
                event: &recorded.event,
            };
            for started in start(&origin, order.as_ref().and_then(Order::placed), heard.payment.as_ref()) {
                let name = stream::saga(&started.kind, started.subject);
                let slot = self.cache.slot(&work.request.stream_id(&name), sagas());
                if beginnings.len() < MOST_STARTS && (slot.begin() || slot.is_loaded()) {
                    beginnings.push(Beginning { slot, started, cause: *event_id });
                }
            }
        }
        beginnings
    }

    /// The instant of what is decided now, by the store's clock.
    pub(super) fn decided_at(&self) -> Timestamp {
        Timestamp::from_micros(self.store.now())
    }
}

/// What the sagas decide, added to the batch. The turn of the saga that asked stays with the caller where it decides nothing.
/// `None`: another command is at the stream of one that begins.
pub(super) fn add<'a: 'b, 'b>(
    work: &Work<'_>,
    asked_by: &mut Option<Asker<'a>>,
    beginnings: &'b [Beginning],
    happening: &Happening,
    at: Timestamp,
    carried_out: bool,
    batch: &mut Batch,
) -> Option<Vec<Reaction<'b>>> {
    let of_saga = |correlation, cause| Metadata { carried_out, ..Metadata::of_saga(correlation, cause) };
    let mut room = Room::of(batch);
    let mut reactions = Vec::new();
    let tenant = &work.request.tenant;
    if let Some(Asker { slot, mut held }) = asked_by.take() {
        let cause = happening.ids.last();
        let decided = cause.zip(reaction(&mut held, tenant, &happening.heard, at));
        let added = decided.and_then(|(cause, (decision, correlation))| {
            room.take(batch, slot, &held, decision, of_saga(correlation, *cause), correlation)
        });
        if let Some(decided) = added {
            reactions.push(Reaction { slot, held, decided });
        } else {
            // What the command rests on must be in the log before it, also where the saga decides nothing now.
            if work.request.while_asked && !slot.is_durable(held.version) {
                let expected = batch::expected(&held);
                batch.writes.push(StreamWrite { stream: slot.stream.clone(), expected, events: Vec::new() });
            }
            *asked_by = Some(Asker { slot, held });
        }
    }
    for Beginning { slot, started, cause } in beginnings {
        let held = slot.try_lock()?;
        if held.version > 0 || slot.is_discarded() {
            continue;
        }
        let correlation = started.correlation;
        let begin = || Saga::begin(tenant, started.clone(), work.request.command_id, at);
        // One that cannot begin, or panics, is the runner's matter: it parks it.
        if let Ok(Ok((_, decision))) = catch_unwind(AssertUnwindSafe(begin)) {
            let metadata = of_saga(correlation, *cause);
            let decided = room.take(batch, slot, &held, decision, metadata, correlation);
            reactions.extend(decided.map(|decided| Reaction { slot, held, decided }));
        }
    }
    Some(reactions)
}

/// What the saga that asked decides after what happened, and what it belongs to.
fn reaction(held: &mut Held, tenant: &Tenant, heard: &Heard, at: Timestamp) -> Option<(Decision, Uuid)> {
    let folded = held.fold.as_any_mut().downcast_mut::<Folded>()?;
    let at = at.max(folded.at);
    let react = || {
        let saga = folded.saga(tenant)?;
        let correlation = saga.state().about.as_ref()?.correlation;
        Some((saga.react(Trigger::Recorded(heard), at)?, correlation))
    };
    // A saga that panics is the runner's matter: it parks it.
    catch_unwind(AssertUnwindSafe(react)).ok().flatten()
}

/// The room that a batch has for what sagas decide: a command must not fail for their sake.
struct Room {
    events: usize,
    bytes: usize,
}

impl Room {
    fn of(batch: &Batch) -> Self {
        let events = batch.writes.iter().flat_map(|write| &write.events);
        let bytes: usize = events.clone().map(|event| event.data.len() + event.metadata.len() + AROUND).sum();
        Self {
            events: MAX_BATCH_EVENTS.saturating_sub(events.count().max(batch.writes.len())),
            bytes: MAX_BATCH_BYTES.saturating_sub(bytes),
        }
    }

    /// Puts a decision into the batch, if it fits.
    fn take(
        &mut self,
        batch: &mut Batch,
        slot: &Slot,
        held: &Held,
        decision: Decision,
        metadata: Metadata,
        correlation: Uuid,
    ) -> Option<Decided> {
        let encoded = decision.encode().ok()?;
        let size = encoded.data.len();
        if size + METADATA > MAX_EVENT_BYTES.min(self.bytes) || self.events == 0 {
            return None;
        }
        self.bytes = self.bytes.saturating_sub(size + METADATA + AROUND);
        self.events -= 1;
        let asks = decision.asked().next().is_some();
        let metadata = Metadata { carried_out: metadata.carried_out && asks, ..metadata };
        let expected = batch::expected(held);
        let event = batch::event(encoded, metadata.encode());
        let written = Written { count: 1, last: event.event_id, bytes: size };
        batch.writes.push(StreamWrite { stream: slot.stream.clone(), expected, events: vec![event] });
        Some(Decided { decision, written, correlation })
    }
}

/// The stream of a saga by its name in the metadata.
fn saga_stream(tenant: &Tenant, saga: &str) -> Option<StreamId> {
    let (kind, subject) = saga.split_once('-')?;
    let subject = subject.parse::<Uuid>().ok()?;
    let name = stream::saga(kind, subject);
    Some(super::stream_id(tenant, &name))
}
