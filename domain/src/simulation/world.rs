//! The streams, the sagas on top of them, and how commands and records travel between them. Records reach sagas late and one batch at a
//! time; commands are sent again, and take effect once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::provider::{INSTRUMENTS, Provider};
use super::tally::Tally;
use super::wishes::Wishes;
use crate::ids::{CaptureId, LocationId, OrderId, PaymentId, ReservationId, Sku, Tenant};
use crate::laws::{Lawful, Watched, crossing};
use crate::order::Order;
use crate::order::state::Placed;
use crate::payment::Payment;
use crate::payment::command::RecordOutcome;
use crate::payment::event::OnExpiry;
use crate::reservation::Reservation;
use crate::saga::{self, Batch, Origin, PaymentSeen, Recorded, Saga, Trigger};
use crate::stock::Stock;
use crate::time::Timestamp;
use crate::{Aggregate, Command, order, payment};

/// How long before its end an authorisation is looked at, in seconds.
const LEAD: u32 = 900;

/// A stream, folded.
#[derive(Clone, Debug, Default)]
pub(super) struct Folded<A: Lawful> {
    pub(super) state: Watched<A>,
    pub(super) version: u64,
}

/// An event on its way to the sagas, with its order right after it.
pub(super) struct Sent {
    pub(super) recorded: Recorded,
    pub(super) event_id: Uuid,
    pub(super) correlation: Uuid,
    pub(super) order: Option<Placed>,
}

/// What was recorded together.
pub(super) struct Delivery {
    pub(super) command_id: Uuid,
    pub(super) at: Timestamp,
    pub(super) sent: Vec<Sent>,
    pub(super) payment: Option<PaymentSeen>,
}

pub(super) struct World {
    /// What a failure is looked at again by.
    pub(super) seed: u64,
    pub(super) wishes: Wishes,
    pub(super) now: Timestamp,
    pub(super) orders: BTreeMap<OrderId, Folded<Order>>,
    pub(super) payments: BTreeMap<PaymentId, Folded<Payment>>,
    pub(super) stock: BTreeMap<(LocationId, Sku), Folded<Stock>>,
    pub(super) reservations: BTreeMap<ReservationId, Reservation>,
    pub(super) holdings: BTreeMap<OrderId, crossing::Holdings>,
    /// What stock holds for reservations that no order asked for.
    pub(super) basket_holdings: BTreeMap<ReservationId, crossing::Holdings>,
    pub(super) history: BTreeMap<String, Vec<Recorded>>,
    pub(super) sagas: BTreeMap<(String, Uuid), Saga>,
    pub(super) taken: BTreeSet<Uuid>,
    pub(super) deliveries: VecDeque<Delivery>,
    pub(super) provider: Provider,
    /// Everything that happened, in words.
    pub(super) told: Vec<String>,
    /// How often each kind of thing happened.
    pub(super) tally: Tally,
    /// Captures that a person said are not to be tried again.
    pub(super) given_up: BTreeSet<CaptureId>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            wishes: Wishes::new(seed, &INSTRUMENTS),
            now: Timestamp::from_micros(1_000_000_000_000),
            orders: BTreeMap::new(),
            payments: BTreeMap::new(),
            stock: BTreeMap::new(),
            reservations: BTreeMap::new(),
            holdings: BTreeMap::new(),
            basket_holdings: BTreeMap::new(),
            history: BTreeMap::new(),
            sagas: BTreeMap::new(),
            taken: BTreeSet::new(),
            deliveries: VecDeque::new(),
            provider: Provider::default(),
            told: Vec::new(),
            tally: Tally::default(),
            given_up: BTreeSet::new(),
        }
    }

    /// A number below `bound`.
    pub(super) fn roll(&mut self, bound: usize) -> usize {
        self.wishes.roll(bound)
    }

    pub(super) fn new_id(&mut self) -> Uuid {
        self.wishes.new_id()
    }

    /// One thing happens somewhere.
    pub(super) fn moment(&mut self) {
        match self.roll(52) {
            50..=51 => self.time_passes(),
            0..=6 => self.somebody_asks(),
            7..=10 => self.somebody_acts(),
            11..=24 => self.deliver(),
            25..=37 => {
                self.dispatch_one();
            }
            38..=46 => {
                let silent = self.roll(3) == 0;
                let willing = self.roll(if silent { 2 } else { 6 }) > 0;
                self.provider_answers(willing, silent);
            }
            47..=48 => self.quiet(),
            _ => {
                self.fire();
            }
        }
    }

    /// For a while nobody asks for anything, so that some wishes come to their ends.
    fn quiet(&mut self) {
        for _ in 0..self.roll(80) {
            if self.deliveries.is_empty() && !self.dispatch_one() {
                let willing = self.roll(20) > 0;
                self.provider_answers(willing, false);
            }
            self.deliver();
        }
    }

    /// Nobody asks for more, the provider answers, and time passes until nothing is left to wait for.
    pub(super) fn rest(&mut self) {
        for _ in 0..20_000 {
            let busy = if !self.deliveries.is_empty() {
                self.deliver();
                true
            } else if self.dispatch_one() {
                true
            } else if !self.provider.waiting.is_empty() {
                self.provider_answers(true, false);
                true
            } else {
                self.fire() || self.watch()
            };
            if !busy {
                return;
            }
        }
        panic!("seed {}: it never comes to rest: {:?}", self.seed, &self.told[self.told.len() - 40..]);
    }

    /// Often nothing else happens for a while.
    fn time_passes(&mut self) {
        let seconds = self.wishes.number(0, 1_800);
        self.now = self.now.plus_seconds(seconds);
        self.watch();
    }

    /// Puts the end of an authorisation on record that is near or there. Whether there was one.
    fn watch(&mut self) -> bool {
        let now = self.now;
        let then = if self.roll(3) == 0 { OnExpiry::Hold } else { OnExpiry::Reauthorise };
        let near = payment::Command::NoteEnding { now, lead_s: LEAD, then };
        let over = payment::Command::ExpireAuthorisation { now, lead_s: LEAD, then };
        let payments = self.payments.values().map(|it| it.state.state());
        let due = payments.flat_map(|payment| {
            let asked =
                [&near, &over].into_iter().filter(|command| payment.decide(command).is_ok_and(|it| !it.is_empty()));
            asked.filter_map(move |command| Some((payment.requested()?, command)))
        });
        let due: Vec<_> = due.map(|(it, command)| (it.payment_id, it.order_id, command.clone())).collect();
        if due.is_empty() {
            return false;
        }
        let (payment_id, order_id, command) = due[self.roll(due.len())].clone();
        let id = self.new_id();
        self.run(id, order_id.0, &Command::Payment { payment_id, command });
        true
    }

    /// Somebody has looked at everything that was held.
    pub(super) fn release_holds(&mut self) {
        let of = |order: &Placed| order.holds.keys().map(|hold_id| (order.order_id, *hold_id)).collect::<Vec<_>>();
        let orders = self.orders.values().filter_map(|it| it.state.state().placed());
        let holds: Vec<_> = orders.flat_map(of).collect();
        for (order_id, hold_id) in holds {
            let id = self.new_id();
            let command = order::Command::ReleaseHold { hold_id, resolution: "fine".into() };
            let refused = self.run(id, order_id.0, &Command::Order { order_id, command });
            assert_eq!(refused, None);
        }
    }

    /// Sends what a saga asked for, sometimes what it was answered already. Whether there was something to send.
    fn dispatch_one(&mut self) -> bool {
        let pending: Vec<_> = self
            .sagas
            .values()
            .flat_map(|saga| {
                let correlation = saga.state().about.as_ref().unwrap().correlation;
                let asked = saga.pending().into_iter();
                asked.map(move |(id, command)| (id, correlation, command))
            })
            .filter(|(id, _, _)| !self.taken.contains(id))
            .collect();
        if pending.is_empty() {
            return false;
        }
        let (id, correlation, command) = pending[self.roll(pending.len())].clone();
        self.run(id, correlation, &command);
        true
    }

    fn provider_answers(&mut self, willing: bool, silent: bool) {
        if self.provider.waiting.is_empty() {
            return;
        }
        let at = self.roll(self.provider.waiting.len());
        let request = self.provider.waiting[at].clone();
        let told: RecordOutcome = self.provider.answer(at, willing, silent, self.now);
        let order = self.payments[&request.payment_id].state.state().requested().unwrap().order_id;
        let command =
            Command::Payment { payment_id: request.payment_id, command: payment::Command::RecordOutcome(told) };
        let id = self.new_id();
        let refused = self.run(id, order.0, &command);
        assert_eq!(refused, None, "what the provider says is always taken");
    }

    /// The next batch reaches the sagas.
    fn deliver(&mut self) {
        let Some(delivery) = self.deliveries.pop_front() else {
            return;
        };
        let mut correlations: Vec<Uuid> = delivery.sent.iter().map(|sent| sent.correlation).collect();
        correlations.sort_unstable();
        correlations.dedup();
        for correlation in correlations {
            let of = || delivery.sent.iter().filter(|sent| sent.correlation == correlation);
            let batch = Batch {
                command_id: delivery.command_id,
                events: of().map(|sent| sent.recorded.clone()).collect(),
                payment: delivery.payment.clone(),
                partial: false,
            };
            let started: Vec<_> = of().flat_map(|sent| start(sent, delivery.at, delivery.payment.as_ref())).collect();
            self.trigger(correlation, &batch);
            for started in started {
                let key = (started.kind.clone(), started.subject);
                let saga = self.sagas.entry(key).or_insert_with(|| {
                    let tenant = Tenant::try_new("t").unwrap();
                    Saga::begin(&tenant, started.clone(), delivery.command_id, delivery.at).unwrap().0
                });
                assert!(saga.is_started_by(&started), "a start is swallowed: {started:?}");
            }
        }
    }

    fn trigger(&mut self, correlation: Uuid, batch: &Batch) {
        for saga in self.sagas.values_mut() {
            if saga.state().about.as_ref().unwrap().correlation == correlation
                && let Some(decision) = saga.react(Trigger::Recorded(batch), self.now)
            {
                saga.evolve(&decision);
            }
        }
    }

    /// The earliest timer fires. Whether there was one.
    fn fire(&mut self) -> bool {
        let timers = self.sagas.iter().filter(|(_, saga)| saga.state().ended.is_none());
        let earliest = timers
            .flat_map(|(key, saga)| {
                let timers = saga.state().timers.iter();
                timers.map(move |(timer, due_at)| (*due_at, key.clone(), timer.clone()))
            })
            .min();
        let Some((due_at, key, timer)) = earliest else {
            return false;
        };
        self.fire_timer(due_at, &key, &timer);
        true
    }

    pub(super) fn fire_timer(&mut self, due_at: Timestamp, key: &(String, Uuid), timer: &str) {
        self.now = self.now.max(due_at);
        let saga = self.sagas.get_mut(key).unwrap();
        let evidence = saga.evidence(timer).map(|stream| Batch {
            command_id: Uuid::nil(),
            partial: false,
            events: self.history.get(&stream.id).cloned().unwrap_or_default(),
            payment: stream.id.parse().ok().map(PaymentId).and_then(|payment_id| {
                let folded = self.payments.get(&payment_id)?;
                let payment = Arc::new(folded.state.state().clone());
                Some(PaymentSeen { payment_id, version: folded.version, payment })
            }),
        });
        let trigger = Trigger::Due { timer, due_at, evidence: evidence.as_ref() };
        if let Some(decision) = saga.react(trigger, self.now) {
            saga.evolve(&decision);
        }
    }
}

fn start(sent: &Sent, at: Timestamp, payment: Option<&PaymentSeen>) -> Vec<saga::event::Started> {
    let recorded = &sent.recorded;
    if saga::may_start(&recorded.stream, &recorded.event).is_none() {
        return Vec::new();
    }
    let origin = Origin {
        stream: &recorded.stream,
        version: recorded.version,
        event_id: sent.event_id,
        recorded_at: at,
        event: &recorded.event,
    };
    saga::start(&origin, sent.order.as_ref(), payment)
}
