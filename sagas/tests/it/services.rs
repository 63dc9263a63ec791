//! Services as simple as they can be: each command loads its streams, decides, appends at what it read, and tries again on a conflict.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use domain::ids::Tenant;
use domain::order::Order;
use domain::outcome::{self, Settled, Verdict};
use domain::payment::Payment;
use domain::reservation::Reservation;
use domain::stock::Stock;
use domain::stream::{self, StreamName};
use domain::{Aggregate, Command, Event, Refusal};
use event_store::append::{Batch, Expectation, NewEvent, Outcome, StreamWrite};
use event_store::record::StreamId;
use event_store::{Direction, EventStore};
use sagas::{Dispatch, DispatchError};
use schemas::{Metadata, StoredEvent, registry};
use serde_json::{Map, Value};
use streams::{Entry, Until};
use uuid::Uuid;

pub(crate) struct Services {
    pub(crate) store: Arc<dyn EventStore>,
    /// Every so many dispatches one is lost before, and one after, it was carried out. 0: none.
    pub(crate) unreliable: usize,
    pub(crate) count: AtomicUsize,
}

type Decision = Result<Vec<Event>, Verdict>;
type Part = (StreamId, Expectation, Decision);

#[async_trait]
impl Dispatch for Services {
    async fn dispatch(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        command: Command,
        meta: Metadata,
    ) -> Result<(), DispatchError> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let lost = |at: usize| self.unreliable > 0 && count % self.unreliable == at;
        let unavailable = || Err(DispatchError::Unavailable("lost".into()));
        if lost(0) {
            return unavailable();
        }
        let done = self.carry_out(tenant, command_id, &command, &meta).await;
        if lost(1) {
            return unavailable();
        }
        done.map(drop).map_err(|error| DispatchError::Unavailable(error.to_string()))
    }
}

impl Services {
    pub(crate) async fn carry_out(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        command: &Command,
        meta: &Metadata,
    ) -> Result<Option<Verdict>, event_store::Error> {
        self.carry_out_together(tenant, command_id, std::slice::from_ref(command), meta).await
    }

    /// All of the commands or none of them, as one; no two of them concern the same stream. A payment comes before the order that releases it.
    pub(crate) async fn carry_out_together(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        commands: &[Command],
        meta: &Metadata,
    ) -> Result<Option<Verdict>, event_store::Error> {
        loop {
            let (batch, verdict) = self.batch(tenant, command_id, commands, meta).await?;
            match self.store.append(batch).await? {
                Outcome::Appended(_) => return Ok(verdict),
                Outcome::AlreadyAppended(_) => return Ok(None),
                Outcome::CommandIdReused(_) => panic!("{command_id} is used twice"),
                Outcome::Conflict { .. } => {}
            }
        }
    }

    async fn parts(&self, tenant: &Tenant, command: &Command) -> Result<Vec<Part>, event_store::Error> {
        let mut parts = Vec::new();
        match command {
            Command::Order { order_id, command } => {
                let name = stream::order(*order_id);
                parts.push(self.ask::<Order>(tenant, name, command, order, Event::Order).await?);
            }
            Command::Payment { payment_id, command } => {
                let name = stream::payment(*payment_id);
                parts.push(self.ask::<Payment>(tenant, name, command, payment, Event::Payment).await?);
            }
            Command::Capture { order_id, payment_id, command } => {
                let (name, clear) = (stream::order(*order_id), domain::order::Command::ClearCapture);
                parts.push(self.ask::<Order>(tenant, name, &clear, order, Event::Order).await?);
                let name = stream::payment(*payment_id);
                parts.push(self.ask::<Payment>(tenant, name, command, payment, Event::Payment).await?);
            }
            Command::Inventory { reservation, stock } => {
                if let Some((id, command)) = reservation {
                    let name = stream::reservation(*id);
                    let wrap = Event::Reservation;
                    parts.push(self.ask::<Reservation>(tenant, name, command, held, wrap).await?);
                }
                for part in stock {
                    let name = stream::stock(&part.location, &part.sku);
                    let command = &part.command;
                    parts.push(self.ask::<Stock>(tenant, name, command, stocked, Event::Stock).await?);
                }
            }
        }
        Ok(parts)
    }

    async fn batch(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        commands: &[Command],
        meta: &Metadata,
    ) -> Result<(Batch, Option<Verdict>), event_store::Error> {
        let mut parts: Vec<Part> = Vec::new();
        for command in commands {
            let command = made_of(tenant, command, &parts);
            parts.extend(self.parts(tenant, &command).await?);
        }
        let refused = parts.iter().find_map(|(.., decision)| decision.as_ref().err().cloned());
        let nothing = parts.iter().all(|(.., decision)| decision.as_ref().is_ok_and(Vec::is_empty));
        let verdict = refused.or_else(|| nothing.then_some(Verdict::NothingToDo));
        let mut writes = Vec::new();
        for (stream, expected, decision) in parts {
            let events = match (&verdict, decision) {
                (None, Ok(events)) => events.iter().map(|event| stored(event, meta)).collect(),
                _ => Vec::new(),
            };
            writes.push(StreamWrite { stream, expected, events });
        }
        if let Some(verdict) = &verdict {
            let name = stream::outcome(command_id);
            let event =
                Event::Outcome(outcome::Event::Settled(Settled { verdict: verdict.clone(), rests_on: Vec::new() }));
            writes.push(StreamWrite {
                stream: id_of(tenant, &name),
                expected: Expectation::NoStream,
                events: vec![stored(&event, meta)],
            });
        }
        let batch = Batch { command_id, fingerprint: [7; 32], writes };
        Ok((batch, verdict))
    }

    async fn ask<A: Aggregate>(
        &self,
        tenant: &Tenant,
        name: StreamName,
        command: &A::Command,
        pick: fn(Event) -> Option<A::Event>,
        wrap: fn(A::Event) -> Event,
    ) -> Result<Part, event_store::Error> {
        let stream = id_of(tenant, &name);
        let (state, expected) = self.load::<A>(&stream, pick).await?;
        let decision = match state.decide(command) {
            Ok(events) => Ok(events.into_iter().map(wrap).collect()),
            Err(refusal) => Err(Verdict::Refused {
                code: refusal.code().to_owned(),
                class: refusal.class(),
                message: refusal.to_string(),
                details: match serde_json::to_value(&refusal) {
                    Ok(Value::Object(details)) => details,
                    _ => Map::new(),
                },
            }),
        };
        Ok((stream, expected, decision))
    }

    pub(crate) async fn load<A: Aggregate>(
        &self,
        stream: &StreamId,
        pick: fn(Event) -> Option<A::Event>,
    ) -> Result<(A, Expectation), event_store::Error> {
        let entries = match streams::entries(&*self.store, stream, Until::End).await {
            Ok(entries) => entries,
            Err(streams::Error::Store(error)) => return Err(error),
            // As the executor has it: a command to a stream that cannot be read waits.
            Err(error @ streams::Error::Unreadable(_)) => return Err(event_store::Error::NotNow(error.to_string())),
        };
        let mut state = A::default();
        let mut expected = Expectation::NoStream;
        for Entry { record, event } in entries {
            if let Some(event) = event.and_then(pick) {
                state.evolve(&event);
            }
            expected = Expectation::At { version: record.version, event_id: record.event_id };
        }
        Ok((state, expected))
    }

    /// All events of a stream.
    pub(crate) async fn events(&self, tenant: &Tenant, name: &StreamName) -> Vec<Event> {
        let records = self.store.read_stream(&id_of(tenant, name), 1, Direction::Forwards, 100_000).await.unwrap();
        records.iter().filter_map(|record| streams::event(record).ok()).collect()
    }
}

/// The release of a payment names the version of the payment that the void with it is decided at, as the command API has it.
fn made_of(tenant: &Tenant, command: &Command, parts: &[Part]) -> Command {
    let Command::Order { order_id, command: domain::order::Command::ReleasePayment { payment_id, keep, .. } } = command
    else {
        return command.clone();
    };
    let stream = id_of(tenant, &stream::payment(*payment_id));
    let payment_version = match parts.iter().find(|(there, ..)| *there == stream) {
        Some((_, Expectation::At { version, .. }, _)) => *version,
        _ => 0,
    };
    let (order_id, payment_id, keep) = (*order_id, *payment_id, *keep);
    Command::Order { order_id, command: domain::order::Command::ReleasePayment { payment_id, keep, payment_version } }
}

pub(crate) fn id_of(tenant: &Tenant, name: &StreamName) -> StreamId {
    StreamId::new(tenant.as_str(), name.category, name.id.as_str())
}

pub(crate) fn stored(event: &Event, meta: &Metadata) -> NewEvent {
    let encoded = registry::encode(event).unwrap();
    // As the executor has it: what an event belongs to, where that is not what its command belongs to.
    let own = match event {
        Event::Stock(event) => event.correlation(),
        _ => None,
    };
    let meta = Metadata { correlation: own.unwrap_or(meta.correlation), ..meta.clone() };
    NewEvent {
        event_id: Uuid::now_v7(),
        kind: encoded.kind,
        schema_version: encoded.schema_version,
        data: encoded.data,
        metadata: meta.encode(),
    }
}

pub(crate) fn order(event: Event) -> Option<domain::order::Event> {
    match event {
        Event::Order(event) => Some(event),
        _ => None,
    }
}

pub(crate) fn payment(event: Event) -> Option<domain::payment::Event> {
    match event {
        Event::Payment(event) => Some(event),
        _ => None,
    }
}

pub(crate) fn held(event: Event) -> Option<domain::reservation::Event> {
    match event {
        Event::Reservation(event) => Some(event),
        _ => None,
    }
}

pub(crate) fn stocked(event: Event) -> Option<domain::stock::Event> {
    match event {
        Event::Stock(event) => Some(event),
        _ => None,
    }
}
