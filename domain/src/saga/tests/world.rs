//! A test world: the real aggregates, the real sagas, a provider that follows the instrument, and a clock that advances
//! only when nothing else is left to do. Every event is shown to every saga twice, and each saga is sometimes folded
//! again from its events, as after a crash. The laws are checked after every batch.

mod services;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use crate::ids::{OrderId, PaymentId, ReservationId, Tenant, derived};
use crate::laws::{self, crossing};
use crate::outcome::{self, Settled, Verdict};
use crate::payment::command::{Outcome, RecordOutcome};
use crate::payment::event::Verb;
use crate::saga::{self, Batch, Decision, Origin, PaymentSeen, Recorded, Saga, Trigger};
use crate::stream::StreamName;
use crate::time::Timestamp;
use crate::{Aggregate, Command, Event, Refusal, order, payment, reservation, stock, stream};

/// One thing that was recorded.
struct Logged {
    batch: Batch,
    event_ids: Vec<Uuid>,
    at: Timestamp,
    orders: Vec<Option<order::Order>>,
}

struct Running {
    saga: Saga,
    decisions: Vec<Decision>,
}

/// Pseudo-random numbers, the same ones for the same seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(0) % end.max(1)
    }
}

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) dice: Dice,
    pub(super) orders: BTreeMap<OrderId, order::Order>,
    pub(super) payments: BTreeMap<PaymentId, payment::Payment>,
    pub(super) stocks: BTreeMap<String, stock::Stock>,
    pub(super) reservations: BTreeMap<ReservationId, reservation::Reservation>,
    versions: BTreeMap<StreamName, u64>,
    /// The events of each order.
    history: BTreeMap<StreamName, Vec<Recorded>>,
    holdings: BTreeMap<crossing::Owner, crossing::Holdings>,
    sagas: BTreeMap<(String, Uuid), Running>,
    log: VecDeque<Logged>,
    commands: Vec<VecDeque<(Uuid, Command)>>,
    answered: BTreeSet<Uuid>,
    provider: VecDeque<(Timestamp, PaymentId, RecordOutcome)>,
    made: u64,
    /// Whether commands are delivered twice and sagas folded again.
    pub(super) rough: bool,
}

fn tenant() -> Tenant {
    "main".parse().unwrap()
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: Timestamp::from_micros(1_700_000_000_000_000),
            dice: Dice::new(seed),
            orders: BTreeMap::new(),
            payments: BTreeMap::new(),
            stocks: BTreeMap::new(),
            reservations: BTreeMap::new(),
            versions: BTreeMap::new(),
            history: BTreeMap::new(),
            holdings: BTreeMap::new(),
            sagas: BTreeMap::new(),
            log: VecDeque::new(),
            commands: Vec::new(),
            answered: BTreeSet::new(),
            provider: VecDeque::new(),
            made: 0,
            rough: true,
        }
    }

    fn id(&mut self, of: &str) -> Uuid {
        self.made += 1;
        derived(Uuid::nil(), &format!("{of}/{}", self.made))
    }

    /// Sends a command from outside; whether it was accepted.
    pub(super) fn send(&mut self, command: Command) -> Result<(), String> {
        let id = self.id("command");
        self.execute(id, &command)
    }

    pub(super) fn order(&mut self, order_id: OrderId, command: order::Command) -> Result<(), String> {
        self.send(Command::Order { order_id, command })
    }

    /// The laws that cross streams: strict where nothing of the order is on its way.
    pub(super) fn check(&self) {
        for (order_id, order) in &self.orders {
            let of = |payment: &&payment::Payment| payment.requested().is_some_and(|paid| paid.order_id == *order_id);
            let payments: Vec<_> = self.payments.values().filter(of).collect();
            let on_its_way = self.open().iter().any(|(kind, saga)| {
                saga::moves(kind) && saga.state().about.as_ref().unwrap().correlation == order_id.0
            });
            let none = crossing::Holdings::new();
            let owner = crossing::Owner::Order(*order_id);
            let held = self.holdings.get(&owner).unwrap_or(&none);
            if let Err(broken) = crossing::check(order, &payments, held, on_its_way) {
                panic!("{broken:?}\n{order:#?}\n{payments:#?}\n{held:#?}\n{}", self.story(order_id.0));
            }
        }
        for (id, reservation) in &self.reservations {
            let none = crossing::Holdings::new();
            let held = self.holdings.get(&crossing::Owner::Reservation(*id)).unwrap_or(&none);
            crossing::check_reservation(reservation, held, !self.open().is_empty()).unwrap();
            if let Some(order_id) = reservation.ordered_by() {
                crossing::check_taken_over(reservation, &self.orders[&order_id]).unwrap();
            }
        }
    }

    /// Everything that was decided for a correlation.
    pub(super) fn story(&self, correlation: Uuid) -> String {
        let mut story = String::new();
        for ((kind, _), running) in &self.sagas {
            if running.saga.state().about.as_ref().unwrap().correlation == correlation {
                story.push_str(&format!("{kind}\n"));
                for decision in &running.decisions {
                    story.push_str(&format!("  {decision:?}\n"));
                }
            }
        }
        story
    }

    /// Sagas that have not ended.
    pub(super) fn open(&self) -> Vec<(&str, &Saga)> {
        let open = |running: &&Running| running.saga.state().ended.is_none();
        let sagas = self.sagas.iter().filter(|(_, running)| open(running));
        sagas.map(|((kind, _), running)| (kind.as_str(), &running.saga)).collect()
    }

    pub(super) fn saga(&self, kind: &str) -> &Saga {
        let mut found = self.sagas.iter().filter(|((of, _), _)| of == kind);
        &found.next_back().unwrap_or_else(|| panic!("no {kind}")).1.saga
    }

    pub(super) fn ends(&self, kind: &str) -> Vec<String> {
        let of_kind = self.sagas.iter().filter(|((of, _), _)| of == kind);
        let ended = of_kind.filter_map(|(_, running)| running.saga.state().ended.as_ref());
        ended.map(|ended| ended.outcome.clone()).collect()
    }

    /// Runs until nothing is left to do, time included; `patience` is how long it waits for what may come.
    pub(super) fn run(&mut self, patience_s: u32) {
        let until = self.now.plus_seconds(patience_s);
        for _ in 0..200_000 {
            if !self.step() && !self.wait(until) {
                return;
            }
        }
        panic!("it does not come to rest: {}", self.story_of_all());
    }

    fn story_of_all(&self) -> String {
        let open = self.open();
        let ids = open.iter().map(|(_, saga)| saga.state().about.as_ref().unwrap().correlation);
        ids.map(|id| self.story(id)).collect()
    }

    /// Does one thing; whether there was one.
    pub(super) fn step(&mut self) -> bool {
        let lanes: Vec<_> = (0..self.commands.len()).filter(|lane| !self.commands[*lane].is_empty()).collect();
        let listen_first = lanes.is_empty() || self.dice.below(3) > 0;
        if listen_first && let Some(logged) = self.log.pop_front() {
            self.tell(&logged);
            return true;
        }
        let Some(lane) = lanes.get(self.dice.below(lanes.len())) else {
            return false;
        };
        let Some((id, command)) = self.commands[*lane].pop_front() else {
            return false;
        };
        let _answer = self.execute(id, &command);
        if self.rough {
            let _again = self.execute(id, &command);
        }
        true
    }

    /// Lets time pass until something is due; whether anything is, before `until`.
    fn wait(&mut self, until: Timestamp) -> bool {
        let told = self.provider.iter().map(|(at, ..)| *at).min();
        let timer = self
            .sagas
            .values()
            .filter(|running| running.saga.state().ended.is_none())
            .flat_map(|running| running.saga.state().timers.values().copied())
            .min();
        let Some(next) = told.into_iter().chain(timer).min().filter(|next| *next <= until) else {
            return false;
        };
        self.now = self.now.max(next);
        if let Some(at) = self.provider.iter().position(|(at, ..)| *at <= self.now) {
            let (_, payment_id, told) = self.provider.remove(at).unwrap();
            let command = Command::Payment { payment_id, command: payment::Command::RecordOutcome(told) };
            let _refused = self.send(command);
            return true;
        }
        self.fire();
        true
    }

    pub(super) fn fire(&mut self) {
        let due: Vec<_> = self
            .sagas
            .iter()
            .flat_map(|(key, running)| {
                let timers = running.saga.state().timers.iter();
                timers.map(|(timer, due_at)| (*due_at, key.clone(), timer.clone()))
            })
            .filter(|(due_at, ..)| *due_at <= self.now)
            .collect();
        for (due_at, key, timer) in due {
            let name = self.sagas[&key].saga.evidence(&timer);
            let evidence = name.map(|name| self.evidence(&name));
            let trigger = Trigger::Due { timer: &timer, due_at, evidence: evidence.as_ref() };
            self.react(&key, trigger, self.now);
        }
    }

    /// The evidence of a stream: all events of an order, but only the current state of a payment, as if all its events
    /// had been observed before.
    fn evidence(&self, name: &StreamName) -> Batch {
        if let Some(events) = self.history.get(name) {
            return Batch { events: events.clone(), ..Batch::default() };
        }
        let payment_id = PaymentId(name.id.parse().unwrap());
        let seen = self.payments.get(&payment_id).map(|payment| PaymentSeen {
            payment_id,
            version: self.versions.get(name).copied().unwrap_or(0),
            payment: Arc::new(payment.clone()),
        });
        Batch { payment: seen, ..Batch::default() }
    }

    fn tell(&mut self, logged: &Logged) {
        let keys: Vec<_> = self.sagas.keys().cloned().collect();
        for key in keys {
            let correlation = self.sagas[&key].saga.state().about.as_ref().unwrap().correlation;
            let ours = self.sagas[&key].saga.pending().iter().any(|(id, _)| *id == logged.batch.command_id);
            let concerns = logged.batch.events.iter().any(|recorded| {
                let stream = recorded.stream.parse::<Uuid>().ok();
                let paid = |id: Uuid| self.payments.get(&PaymentId(id)).and_then(payment::Payment::requested);
                stream.is_some_and(|id| id == correlation || paid(id).is_some_and(|it| it.order_id.0 == correlation))
            });
            if ours || concerns {
                self.react(&key, Trigger::Recorded(&logged.batch), logged.at);
            }
        }
        for (at, recorded) in logged.batch.events.iter().enumerate() {
            let origin = Origin {
                stream: &recorded.stream,
                version: recorded.version,
                event_id: logged.event_ids[at],
                recorded_at: logged.at,
                event: &recorded.event,
            };
            if saga::may_start(&recorded.stream, &recorded.event).is_none() {
                continue;
            }
            let order = logged.orders[at].as_ref().and_then(order::Order::placed);
            for started in saga::start(&origin, order, logged.batch.payment.as_ref()) {
                let key = (started.kind.clone(), started.subject);
                if self.sagas.contains_key(&key) {
                    continue;
                }
                let (saga, decision) = Saga::begin(&tenant(), started, logged.batch.command_id, logged.at).unwrap();
                self.ask(&saga, &decision);
                self.sagas.insert(key, Running { saga, decisions: vec![decision] });
            }
        }
    }

    fn react(&mut self, key: &(String, Uuid), trigger: Trigger<'_>, at: Timestamp) {
        let running = self.sagas.get_mut(key).unwrap();
        let decision = running.saga.react(trigger, at);
        if let Some(decision) = &decision {
            running.saga.evolve(decision);
            running.decisions.push(decision.clone());
        }
        let again = running.saga.react(trigger, at);
        assert_eq!(again, None, "{key:?} reacts twice to {trigger:?}: {:#?}", running.decisions);
        if let Some(decision) = decision {
            let saga = running.saga.clone();
            self.ask(&saga, &decision);
        }
        if self.rough && self.dice.below(4) == 0 {
            self.crash(key);
        }
    }

    /// Drops the state in memory; unanswered commands are sent again.
    fn crash(&mut self, key: &(String, Uuid)) {
        let running = self.sagas.get_mut(key).unwrap();
        let saga = Saga::load(&tenant(), &running.decisions).unwrap().unwrap();
        assert_eq!(saga.state(), running.saga.state());
        running.saga = saga.clone();
        if saga.state().ended.is_none() {
            self.commands.push(saga.pending().into());
        }
    }

    fn ask(&mut self, saga: &Saga, decision: &Decision) {
        let asked: Vec<_> = decision.asked().collect();
        let pending = saga.pending();
        let letters: VecDeque<_> = pending.into_iter().filter(|(id, _)| asked.contains(id)).collect();
        assert_eq!(letters.len(), asked.len(), "what is asked for can be sent");
        if !letters.is_empty() {
            self.commands.push(letters);
        }
    }
}
