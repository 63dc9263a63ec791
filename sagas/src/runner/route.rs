//! The sagas that a command's records concern: the one that sent it, those of its correlation, and those that it
//! starts.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use domain::order::Order;
use domain::saga::event::Started;
use domain::saga::{Batch, Origin, Recorded, Saga, may_start, start};
use domain::time::Timestamp;
use domain::{Event, stream};
use event_store::record::{Record, Version};
use uuid::Uuid;

use super::append::{Cause, Flight, Work};
use super::index::Key;
use super::load::Loaded;
use super::session::Session;
use crate::log::{Group, decode, listened_to, tenant};
use crate::{Stopped, meters};

/// How long a command that its process carries out may be without an outcome until it is sent: the process may have ended.
const GRACE: Duration = Duration::from_secs(1);

/// The types that may start a saga: others need not be read for that.
const STARTERS: [&str; 26] = [
    "OrderPlaced",
    "ShipmentRequested",
    "LinesCancelled",
    "ReturnReceived",
    "RefundGranted",
    "OrderEdited",
    "StockWanted",
    "PaymentAdded",
    "SurplusReleased",
    "BackorderAllocated",
    "ReservationOpened",
    "PaymentAuthorised",
    "PaymentDeclined",
    "AuthorisationEnding",
    "AuthorisationExpired",
    "AuthorisationRaised",
    "RaiseFailed",
    "PaymentOutcomeUnknown",
    "PaymentCaptured",
    "CaptureFailed",
    "RemainderReleased",
    "PaymentVoided",
    "VoidFailed",
    "RefundSettled",
    "RefundFailed",
    "HoldPlaced",
];

/// Whether a record may start a saga.
pub(super) fn may_begin(record: &Record) -> bool {
    STARTERS.contains(&&*record.kind)
}

/// Whether a record is of a saga.
pub(super) fn of_saga(record: &Record) -> bool {
    &*record.stream.category == stream::SAGA
}

/// What a record's event belongs to, where sagas listen for that.
pub(super) fn correlation(record: &Record) -> Option<Uuid> {
    let correlation = listened_to(record).then(|| crate::log::correlation(record));
    correlation.filter(|correlation| !correlation.is_nil())
}

impl Session {
    /// Lets every saga react that a command's records concern.
    pub(super) async fn group(&mut self, group: &Group<'_>, flights: &mut Vec<Flight>) -> Result<(), Stopped> {
        let Some(first) = group.records.first() else {
            return Ok(());
        };
        // What sagas decided in this batch comes first: they have reacted to the rest of it.
        let reacted = self.sagas_own(group, flights).await?;
        if group.records.iter().all(of_saga) {
            return Ok(());
        }
        if let Some(aside) = group.records.iter().find(|record| streams::sets_aside(record).is_some()) {
            return self.set_aside(aside, flights).await;
        }
        let mut asker = self.index.asked_by(group.command_id).cloned();
        if asker.as_ref().is_some_and(|asker| reacted.contains(asker)) {
            self.index.answered(group.command_id);
            asker = None;
        }
        let mut concerned: Vec<Key> = asker.iter().cloned().collect();
        let mut starts = false;
        for record in group.records.iter().filter(|record| !of_saga(record)) {
            starts |= may_begin(record);
            if let Some(correlation) = correlation(record) {
                let tenant = &record.stream.tenant;
                for key in self.index.correlated(tenant, correlation) {
                    if !concerned.contains(key) {
                        concerned.push(key.clone());
                    }
                }
            }
        }
        concerned.retain(|key| !reacted.contains(key));
        if self.blocked(group, asker.is_some()).await? || (concerned.is_empty() && !starts) {
            return Ok(());
        }
        let Some(tenant) = tenant(first) else {
            return Ok(());
        };
        let others = || group.records.iter().filter(|record| !of_saga(record));
        let events: Vec<Recorded> = others().filter_map(decode).collect();
        // All readable state is loaded before any saga reacts.
        let payment = match self.payments.after(self.store.as_ref(), &tenant, &events).await {
            Ok(payment) => payment,
            Err(error) => return self.stuck(group, error),
        };
        let orders = match self.orders_for(&tenant, &events).await {
            Ok(orders) => orders,
            Err(error) => return self.stuck(group, error),
        };
        // The readable rest of an answer is processed as ordinary events, and not as an answer: the missing part is
        // unknown.
        let partial = events.len() < others().count();
        if let (Some(key), true) = (asker, partial) {
            let flight = self.tell_lost_answer(key, group).await?;
            flights.extend(flight);
        }
        let batch = Arc::new(Batch { command_id: group.command_id, partial, events, payment });
        let last = others().next_back().unwrap_or(first);
        for key in concerned {
            let work = Work {
                append_id: format!("at/{}", last.position),
                causation: last.event_id,
                at: group.recorded_at,
                cause: Cause::Recorded(batch.clone()),
                key,
            };
            flights.extend(self.attempt(work).await?);
        }
        self.index.answered(group.command_id);
        if starts {
            self.start(group, &batch, orders, &reacted, flights).await?;
        }
        Ok(())
    }

    /// The outcome of a command whose answer was set aside is unknown: an operator must look.
    async fn tell_lost_answer(&mut self, key: Key, group: &Group<'_>) -> Result<Option<Flight>, Stopped> {
        let work = Work {
            append_id: format!("set-aside/{}", group.command_id),
            causation: group.command_id,
            at: group.recorded_at,
            cause: Cause::Undeliverable {
                command_id: group.command_id,
                detail: "its answer could not be read and was set aside".into(),
            },
            key,
        };
        self.attempt(work).await
    }

    async fn start(
        &mut self,
        group: &Group<'_>,
        batch: &Arc<Batch>,
        orders: HashMap<Version, Order>,
        reacted: &[Key],
        flights: &mut Vec<Flight>,
    ) -> Result<(), Stopped> {
        for recorded in &batch.events {
            if may_start(&recorded.stream, &recorded.event).is_none() {
                continue;
            }
            let same = |record: &&Record| record.version == recorded.version && record.stream.id == recorded.stream;
            let Some(record) = group.records.iter().find(same) else {
                continue;
            };
            let origin = Origin {
                stream: &recorded.stream,
                version: recorded.version,
                event_id: record.event_id,
                recorded_at: group.recorded_at,
                event: &recorded.event,
            };
            let order = orders.get(&recorded.version).and_then(|it| it.placed());
            for started in start(&origin, order, batch.payment.as_ref()) {
                let begun = |key: &Key| *key.kind == *started.kind && key.subject == started.subject;
                if !reacted.iter().any(begun) {
                    self.begin(group, record, started, flights).await?;
                }
            }
        }
        Ok(())
    }

    /// Begins a saga, unless it is known to have begun by this record.
    async fn begin(
        &mut self,
        group: &Group<'_>,
        record: &Record,
        started: Started,
        flights: &mut Vec<Flight>,
    ) -> Result<(), Stopped> {
        if !self.is_ours(&record.stream.tenant, started.correlation) {
            meters::foreign();
            return Ok(());
        }
        let key =
            Key { tenant: record.stream.tenant.clone(), kind: started.kind.as_str().into(), subject: started.subject };
        if self.index.cause(&key) == Some(record.event_id) || self.left_alone.contains_key(&key) {
            return Ok(());
        }
        let known = self.index.version(&key).is_some();
        if known {
            // The saga's own start must be in the log before another start is compared with it.
            let before = std::mem::take(flights);
            self.settle(before).await?;
        }
        let work = Work {
            append_id: format!("at/{}", record.position),
            causation: record.event_id,
            at: group.recorded_at,
            cause: Cause::Start {
                started: Box::new(started),
                command_id: group.command_id,
                look_first: known || record.position <= self.written_before,
            },
            key,
        };
        flights.extend(self.attempt(work).await?);
        Ok(())
    }

    /// Records of sagas: those that this session wrote, those that an executor wrote with what they follow from, and those of
    /// an earlier life or of a person. Returns the sagas that reacted in this batch.
    async fn sagas_own(&mut self, group: &Group<'_>, flights: &mut Vec<Flight>) -> Result<Vec<Key>, Stopped> {
        let mut reacted = Vec::new();
        for record in group.records.iter().filter(|record| of_saga(record)) {
            let Some(key) = Key::parse(&record.stream) else {
                continue;
            };
            reacted.push(key.clone());
            if streams::sets_aside(record).is_some() && self.left_alone.contains_key(&key) {
                // Earlier decisions come first.
                let before = std::mem::take(flights);
                self.settle(before).await?;
                if let Some(work) = self.reread(record, key.clone()).await?
                    && let Some(left) = self.left_alone.remove(&key)
                {
                    self.hear_missed(&HashMap::from([(key, left.heard)]), record.position).await?;
                    flights.extend(self.attempt(work).await?);
                }
                continue;
            }
            match self.index.version(&key) {
                Some(version) if record.version <= version => {}
                _ if self.follow(record, &key, group.recorded_at)? => {}
                Some(_) => {
                    if let Some(work) = self.reread(record, key).await? {
                        flights.extend(self.attempt(work).await?);
                    }
                }
                None if self.begun_before(record) && !self.left_alone.contains_key(&key) => {
                    if let Some(loaded) = self.find(&key).await? {
                        self.adopt(&key, loaded, group.recorded_at).await?;
                    }
                }
                None => {}
            }
        }
        Ok(reacted)
    }

    /// Moves a saga past a decision that an executor made with what it follows from, and sends what the decision asks for, unless that
    /// executor carries it out.
    /// Whether that was possible: the saga begins here or is at hand, and the record can be read.
    fn follow(&mut self, record: &Record, key: &Key, at: Timestamp) -> Result<bool, Stopped> {
        // What was written before this session may have been sent by an earlier one.
        if record.position <= self.written_before || self.left_alone.contains_key(key) {
            return Ok(false);
        }
        let (Some(tenant), Ok(Event::Saga(decision))) = (key.tenant(), streams::event(record)) else {
            return Ok(false);
        };
        let followed = catch_unwind(AssertUnwindSafe(|| match self.shelf.get(key) {
            Some(loaded) if loaded.version + 1 == record.version => {
                let mut saga = loaded.saga.clone();
                saga.evolve(&decision);
                Some((saga, loaded.cause))
            }
            None if record.version == 1 => {
                let saga = Saga::load(&tenant, [&decision]).ok().flatten()?;
                Some((saga, crate::log::causation(record)))
            }
            _ => None,
        }));
        let Some((saga, cause)) = followed.ok().flatten() else {
            return Ok(false);
        };
        let correlation = saga.state().about.as_ref().map_or_else(Uuid::nil, |about| about.correlation);
        if !self.is_ours(&key.tenant, correlation) {
            return Ok(false);
        }
        let loaded = Loaded { saga, version: record.version, last_event: record.event_id, cause };
        let asked: Vec<_> = decision.asked().collect();
        let letters = self.moved_on(key, loaded, at, &asked, record.command_id);
        self.told(key, at, &decision);
        self.term.check()?;
        if schemas::Metadata::decode(&record.metadata).is_ok_and(|metadata| metadata.carried_out) {
            for command_id in asked {
                self.index.carried_out(command_id, GRACE, self.options.resend_after);
            }
            return Ok(true);
        }
        for letter in letters {
            self.outbox.send(letter);
        }
        Ok(true)
    }

    /// The saga's id, as its commands and appends are derived from it.
    pub(super) fn saga_id(key: &Key) -> Option<Uuid> {
        Some(Saga::id_of(&key.tenant()?, &key.kind, key.subject))
    }
}
