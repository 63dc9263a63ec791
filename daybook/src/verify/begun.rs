//! Checks that every event that starts a saga has started it, as far as the runners have read the log: a placed order
//! without a saga would stay pending without any sign. Only missing starts are kept, so memory does not grow with the
//! log.

use std::collections::HashMap;

use domain::order::state::Placed;
use domain::saga::{Decision, Fact, Origin, PaymentSeen, may_start, start};
use domain::time::Timestamp;
use domain::{Event, stream};
use event_store::record::{Position, Record, StreamId};

use super::{Check, Conflict, Proof, TOLD};

/// Processes that are owed, by their streams, with the position of what begins them.
pub(super) struct Begun {
    settled: Position,
    owed: HashMap<StreamId, Position>,
    check: Check,
    conflicts: Vec<Conflict>,
    conflicts_count: u64,
}

impl Begun {
    /// `settled` is the position up to which every runner has seen the log.
    pub(super) fn new(settled: Position) -> Self {
        let check = Check::new("every event that starts a saga has started it, up to where the runners are");
        Self { settled, owed: HashMap::new(), check, conflicts: Vec::new(), conflicts_count: 0 }
    }

    /// Takes the next event of the log; `order` is the order right after it, for an event of an order, and `payment` the payment for one of
    /// a payment.
    pub(super) fn see(
        &mut self,
        record: &Record,
        event: &Event,
        order: Option<&Placed>,
        payment: Option<&PaymentSeen>,
    ) {
        if let Event::Saga(decision) = event {
            self.owed.remove(&record.stream);
            self.conflict(record, decision);
            return;
        }
        if record.position > self.settled || may_start(&record.stream.id, event).is_none() {
            return;
        }
        let origin = Origin {
            stream: &record.stream.id,
            version: record.version,
            event_id: record.event_id,
            recorded_at: Timestamp::from_micros(record.recorded_at),
            event,
        };
        for started in start(&origin, order, payment) {
            self.check.checked += 1;
            let name = stream::saga(&started.kind, started.subject);
            let id = StreamId::new(record.stream.tenant.clone(), name.category, name.id.as_str());
            self.owed.insert(id, record.position);
        }
    }

    fn conflict(&mut self, record: &Record, decision: &Decision) {
        for fact in &decision.facts {
            let Fact::Noted(noted) = fact else { continue };
            if noted.note != sagas::runner::START_CONFLICT {
                continue;
            }
            self.conflicts_count += 1;
            if self.conflicts.len() < TOLD {
                let (stream, position) = (record.stream.to_string(), record.position);
                self.conflicts.push(Conflict { stream, position, cause: noted.value.clone() });
            }
        }
    }

    /// Ends the log: sagas that have not started by now never started. A conflict is not a violation: the log records
    /// it correctly.
    pub(super) fn finish(mut self, proof: &mut Proof) -> Check {
        (proof.conflicts, proof.conflicts_count) = (self.conflicts, self.conflicts_count);
        let mut owed: Vec<_> = self.owed.into_iter().collect();
        owed.sort_unstable_by_key(|(_, position)| *position);
        for (stream, position) in owed {
            self.check.violate(|| format!("position {position}: {stream} was never started"));
        }
        self.check
    }
}
