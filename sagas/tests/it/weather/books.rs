//! The log as it grows, folded under the eyes of the laws: those of each stream after each event and each command, those that cross streams after
//! each command, and at the end what is true only where nothing is on its way.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use domain::ids::{LocationId, OrderId, PaymentId, Sku};
use domain::laws::Watched;
use domain::laws::crossing::{self, Holdings, Owner};
use domain::order::Order;
use domain::payment::{self, Payment};
use domain::saga::{Decision, Direction, Fact, State};
use domain::stock::Stock;
use domain::{Event, stream};
use event_store::record::{Position, Record, StreamId};
use event_store::{EventStore, Filter};
use schemas::Metadata;
use uuid::Uuid;

use super::super::ledger::event;
use super::people::silent;
use super::rest::{left_open, may_hang, waits_for_release};
use super::tally::Tally;

#[derive(Default)]
pub(super) struct Books {
    pub(super) position: Position,
    batch: Batch,
    orders: BTreeMap<OrderId, Watched<Order>>,
    payments: BTreeMap<PaymentId, Watched<Payment>>,
    stocks: BTreeMap<(LocationId, Sku), Watched<Stock>>,
    holdings: HashMap<OrderId, Holdings>,
    sagas: BTreeMap<StreamId, State>,
    /// What each command id stands for; a command is one batch.
    commands: HashMap<Uuid, String>,
    /// By whom, the command that somebody's wish was.
    wishes: HashMap<String, Uuid>,
    /// The commands that sagas asked for, and the steps that they asked them for.
    asked: HashSet<Uuid>,
    steps: BTreeSet<(StreamId, String, Direction, u32)>,
    pub(super) tally: Tally,
}

/// What the records of one command touched.
#[derive(Default)]
struct Batch {
    command_id: Uuid,
    orders: BTreeSet<OrderId>,
    payments: BTreeSet<PaymentId>,
    stocks: BTreeSet<(LocationId, Sku)>,
}

impl Books {
    /// Reads on. Whether there was something new.
    pub(super) async fn read(&mut self, store: &dyn EventStore) -> bool {
        let before = self.position;
        loop {
            let page = store.read_log(self.position, &Filter::default(), 1_000).await.unwrap();
            for record in &page.records {
                self.see(record);
            }
            // A page ends where a command does.
            self.end_batch();
            if page.next <= self.position {
                return self.position > before;
            }
            self.position = page.next;
        }
    }

    fn see(&mut self, record: &Record) {
        if self.batch.command_id != record.command_id {
            self.end_batch();
            self.begin(record);
        }
        let id = || record.stream.id.parse::<Uuid>().unwrap();
        match event(record) {
            Event::Order(event) => {
                let order_id = OrderId(id());
                let order = self.orders.entry(order_id).or_default();
                self.tally.order(order.state().placed(), &event);
                assert_eq!(order.fold(event), Ok(()), "{record:?}");
                self.batch.orders.insert(order_id);
            }
            Event::Payment(event) => {
                let payment_id = PaymentId(id());
                self.tally.payment(&event);
                let payment = self.payments.entry(payment_id).or_default();
                assert_eq!(payment.fold(event), Ok(()), "{record:?}");
                self.batch.orders.extend(payment.state().requested().map(|it| it.order_id));
                self.batch.payments.insert(payment_id);
            }
            Event::Stock(event) => {
                let place = stream::parse_stock(&record.stream.id).unwrap();
                for (owner, units) in crossing::moved(&event) {
                    let Owner::Order(order_id) = owner else {
                        continue;
                    };
                    *self.holdings.entry(order_id).or_default().entry(place.clone()).or_default() += units;
                    self.batch.orders.insert(order_id);
                }
                let stock = self.stocks.entry(place.clone()).or_default();
                assert_eq!(stock.fold(event), Ok(()), "{record:?}");
                self.tally.count("shortage", !stock.state().shortage().is_empty());
                self.batch.stocks.insert(place);
            }
            Event::Saga(event) => self.saga(record, &event),
            Event::Reservation(_) | Event::Reference(_) | Event::Outcome(_) | Event::Import(_) | Event::Record(_) => {}
        }
    }

    /// The first record of a command: each is there once, and who carries out something was asked for it.
    fn begin(&mut self, record: &Record) {
        let meta = Metadata::decode(&record.metadata).unwrap();
        let what = format!("{} at {}", meta.actor.id, record.position);
        let before = self.commands.insert(record.command_id, what.clone());
        assert_eq!(before, None, "{what}: the command was done twice");
        let of_a_saga = meta.actor.via == "saga" && &*record.stream.category != stream::SAGA;
        assert!(!of_a_saga || self.asked.contains(&record.command_id), "no saga asked for {record:?}");
        if meta.actor.via == "test" {
            let first = *self.wishes.entry(meta.actor.id).or_insert(record.command_id);
            assert_eq!(first, record.command_id, "{what}: the wish was carried out twice");
        }
        self.batch.command_id = record.command_id;
    }

    fn saga(&mut self, record: &Record, decision: &Decision) {
        let name = record.stream.clone();
        for fact in &decision.facts {
            let Fact::StepAsked(asked) = fact else { continue };
            self.asked.insert(asked.command_id);
            let step = (name.clone(), asked.step.clone(), asked.direction, asked.attempt);
            assert!(self.steps.insert(step), "it is asked for twice: {record:?}");
        }
        self.sagas.entry(name).or_default().evolve(decision);
    }

    fn end_batch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        for place in &batch.stocks {
            assert_eq!(self.stocks.get_mut(place).unwrap().end_batch(), Ok(()), "{place:?}");
        }
        for id in &batch.payments {
            assert_eq!(self.payments.get_mut(id).unwrap().end_batch(), Ok(()), "{id}");
        }
        for id in &batch.orders {
            if let Some(order) = self.orders.get_mut(id) {
                assert_eq!(order.end_batch(), Ok(()), "{id}");
            }
            self.cross(*id, true);
        }
    }

    fn payments_of(&self, order_id: OrderId) -> Vec<&Payment> {
        let of = |payment: &&Payment| payment.requested().is_some_and(|it| it.order_id == order_id);
        self.payments.values().map(Watched::state).filter(of).collect()
    }

    fn cross(&self, order_id: OrderId, on_its_way: bool) {
        let (absent, none) = (Order::Absent, Holdings::new());
        let order = self.orders.get(&order_id).map_or(&absent, Watched::state);
        let held = self.holdings.get(&order_id).unwrap_or(&none);
        let verdict = crossing::check(order, &self.payments_of(order_id), held, on_its_way);
        assert_eq!(verdict, Ok(()), "{order_id}, on its way: {on_its_way}\n{}", self.story(order_id));
    }

    fn sagas_of(&self, order_id: OrderId) -> impl Iterator<Item = (&StreamId, &State)> {
        self.sagas.iter().filter(move |(_, saga)| saga.about.as_ref().is_some_and(|it| it.correlation == order_id.0))
    }

    fn story(&self, order_id: OrderId) -> String {
        let open: Vec<_> = self.sagas_of(order_id).filter(|(_, saga)| saga.ended.is_none()).collect();
        let order = self.orders.get(&order_id).map(Watched::state);
        format!("{order:#?}\n{:#?}\n{open:#?}", self.payments_of(order_id))
    }

    /// Whether the provider has still to answer something.
    pub(super) fn at_provider(&self) -> bool {
        let payments = self.payments.values().filter_map(|payment| payment.state().requested());
        payments.into_iter().any(|it| it.live.iter().any(|live| !silent(it, live.verb)))
    }

    /// Whether somebody has to look up what came of a request.
    pub(super) fn to_look_up(&self) -> bool {
        let payments = self.payments.values().filter_map(|payment| payment.state().requested());
        payments.into_iter().any(|it| it.live.iter().any(|live| live.unknown && silent(it, live.verb)))
    }

    /// Whether a request was sent that neither the provider nor a person has answered.
    pub(super) fn unanswered(&self) -> bool {
        self.payments.values().filter_map(|payment| payment.state().requested()).any(|it| !it.live.is_empty())
    }

    /// When the next timer of a process is due.
    pub(super) fn next_timer(&self) -> Option<i64> {
        let open = self.sagas.values().filter(|saga| saga.ended.is_none());
        open.flat_map(|saga| saga.timers.values()).map(|due_at| due_at.micros()).min()
    }

    /// The processes that neither ended nor wait for a person.
    pub(super) fn running(&self) -> Vec<String> {
        let running = self.sagas.iter().filter(|(_, saga)| saga.ended.is_none() && saga.parked.is_none());
        running.map(|(name, saga)| format!("{name}: {saga:?}")).collect()
    }

    /// How many orders were placed.
    pub(super) fn placed(&self) -> usize {
        self.orders.len()
    }

    pub(super) fn has(&self, command_id: Uuid) -> bool {
        self.commands.contains_key(&command_id)
    }

    pub(super) fn payment(&self, id: PaymentId) -> Option<&payment::state::Requested> {
        self.payments.get(&id)?.state().requested()
    }

    /// All payments that were requested.
    pub(super) fn payments(&self) -> impl Iterator<Item = &payment::state::Requested> {
        self.payments.values().filter_map(|payment| payment.state().requested())
    }

    /// At rest: every order came to an end or waits for a person, and all that has to agree agrees.
    pub(super) fn close(&mut self) {
        for (place, stock) in &self.stocks {
            assert_eq!(stock.end(), Ok(()), "{place:?}");
        }
        for (order_id, order) in &self.orders {
            let payments = self.payments_of(*order_id);
            let mut open = false;
            for (name, saga) in self.sagas_of(*order_id).filter(|(_, saga)| saga.ended.is_none()) {
                let parked = saga.parked.as_ref().filter(|it| it.reason == "retries_exhausted");
                let step = parked.and_then(|it| it.step.as_deref()).unwrap_or_default();
                let hangs = parked.is_some() && may_hang(&payments, step);
                let fine = hangs || waits_for_release(order.state(), saga);
                assert!(fine, "{name} waits for nothing: {saga:?}\n{}", self.story(*order_id));
                open = true;
            }
            assert_eq!(order.end(), Ok(()), "{order_id}");
            self.cross(*order_id, open);
            let placed = order.state().placed().unwrap();
            let wrong = if open { Vec::new() } else { left_open(placed) };
            assert!(wrong.is_empty(), "{wrong:?}\n{}", self.story(*order_id));
            self.tally.count(placed.status.name(), !open);
        }
    }
}
