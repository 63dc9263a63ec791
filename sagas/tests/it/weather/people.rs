//! Customers, clerks and operators of the simulation's shop: they ask services that stand on the bad store, as clients do. What they were not
//! answered they ask again under the same id, some times, and then they go away.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use domain::command::StockCommand;
use domain::ids::{OrderId, PaymentId, Sku, derived};
use domain::order::Order;
use domain::order::state::Placed;
use domain::outcome::Verdict;
use domain::payment::Payment;
use domain::payment::command::Command as OfPayment;
use domain::payment::event::{Verb, Verdict as Found};
use domain::payment::state::Requested;
use domain::saga::checkout;
use domain::stock::Stock;
use domain::{Command, order, stock, stream};
use event_store::EventStore;
use event_store::append::Expectation;
use event_store::clock::TestClock as _;
use schemas::{Actor, Metadata};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::super::services::{self, Services, id_of};
use super::super::shop::{Shop, tenant};
use super::wishes::{Plan, Wishes};

/// What a person says who has looked up what became of a request.
pub(super) const LOOKED_UP: &str = "looked up";

/// Good ones, slow ones, silent ones, and ones that say no. What never answers is looked up by a person.
const INSTRUMENTS: [&str; 16] = [
    "sandbox:approve",
    "sandbox:approve",
    "sandbox:approve",
    "sandbox:approve,capture-late",
    "sandbox:decline",
    "sandbox:late,void-flaky",
    "sandbox:timeout-after-charge",
    "sandbox:flaky,capture-timeout",
    "sandbox:approve,refund-dark-1",
    "sandbox:busy,void-timeout",
    "sandbox:plain",
    "sandbox:plain,capture-flaky",
    "sandbox:refund-declines",
    "sandbox:capture-declines",
    "sandbox:never",
    "sandbox:capture-never",
];

/// How often a client asks before it goes away.
const TRIES: u32 = 6;
/// Before the weather is bad there are so many orders, so that there is something to do.
const FIRST: usize = 12;

/// What somebody asked for.
pub(super) struct Wish {
    pub(super) id: Uuid,
    commands: Vec<Command>,
    meta: Metadata,
    /// What came of it, if that was said.
    pub(super) answer: Option<Option<Verdict>>,
}

pub(super) struct People {
    pub(super) shop: Shop,
    /// What people see of the shop is not what is tested.
    calm: Services,
    pub(super) wishes: Wishes,
    orders: Vec<OrderId>,
    under_way: JoinSet<Wish>,
    pub(super) asked: Vec<Wish>,
    made: u64,
}

impl People {
    /// The shop's services stand on `store`.
    pub(super) async fn open(seed: u64, over: impl FnOnce(Arc<dyn EventStore>) -> Arc<dyn EventStore>) -> Self {
        let mut shop = Shop::open_empty(0, true);
        let store = over(shop.store.clone());
        shop.services = Arc::new(Services { store, unreliable: 0, count: AtomicUsize::new(0) });
        let calm = Services { store: shop.store.clone(), unreliable: 0, count: AtomicUsize::new(0) };
        let wishes = Wishes::new(seed, &INSTRUMENTS);
        let mut people =
            Self { shop, calm, wishes, orders: Vec::new(), under_way: JoinSet::new(), asked: Vec::new(), made: 0 };
        for sku in ["A", "B", "C"] {
            let sku: Sku = sku.parse().unwrap();
            for _ in 0..3 {
                let command = people.wishes.receive(&sku, 30);
                people.stock(sku.clone(), command);
            }
        }
        (0..FIRST).for_each(|_| people.place());
        people
    }

    /// One thing happens, as often as in the simulation.
    pub(super) async fn moment(&mut self) {
        match self.wishes.roll(16) {
            0..=6 => self.somebody_asks().await,
            7..=11 => self.somebody_acts().await,
            12 => self.time_passes(self.shop.store.now() + 20_000_000).await,
            _ => {}
        }
        // So that processes get on meanwhile.
        let pause = self.wishes.roll(30) as u64;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        while let Some(wish) = self.under_way.try_join_next() {
            self.asked.push(wish.unwrap());
        }
    }

    async fn somebody_asks(&mut self) {
        match self.wishes.roll(24) {
            0..=2 => self.place(),
            3..=5 => self.receive(),
            6..=12 => self.ask(Wishes::shipment).await,
            13..=14 => self.ask(Wishes::cancellation).await,
            15..=16 => self.ask(Wishes::edit).await,
            17..=18 => self.ask(Wishes::announce).await,
            19..=20 => self.ask(Wishes::receipt).await,
            21 => self.ask(Wishes::gift).await,
            22 if self.wishes.roll(2) == 0 => self.ask(Wishes::hold).await,
            _ => self.count().await,
        }
    }

    async fn somebody_acts(&mut self) {
        match self.wishes.roll(30) {
            // What was refused is often tried again.
            _ if self.wishes.roll(4) == 0 => self.on_order(Wishes::retry_refund).await,
            0..=2 => self.on_payment(Wishes::capture).await,
            3 => self.on_payment(Wishes::void).await,
            4..=7 => self.look_up().await,
            8..=10 => self.on_order(Wishes::lose).await,
            11 => self.on_order(Wishes::decide_loss).await,
            12..=13 => self.on_order(Wishes::find).await,
            14..=15 => self.on_order(Wishes::refund_by_line).await,
            16..=17 => self.on_order(Wishes::refund_shipping).await,
            18..=20 => self.on_order(Wishes::retry_refund).await,
            21..=22 => self.on_order(Wishes::owed_by_hand).await,
            23..=27 => self.on_order(Wishes::pay).await,
            _ => self.on_order(Wishes::withdraw).await,
        }
    }

    /// Moves the clock of the test.
    pub(super) async fn time_passes(&self, to: i64) {
        let by = to - self.shop.store.now();
        if by > 0 {
            self.shop.store.advance(by).await.unwrap();
        }
    }

    async fn placed(&self, order_id: OrderId) -> Option<Placed> {
        let stream = id_of(&tenant(), &stream::order(order_id));
        let (order, _) = self.calm.load::<Order>(&stream, services::order).await.unwrap();
        order.placed().cloned()
    }

    /// Those of an order that were asked for, with their versions.
    async fn payments(&self, order: &Placed) -> Vec<(Requested, u64)> {
        let mut ids: Vec<PaymentId> = order.payments.iter().map(|payment| payment.payment_id).collect();
        let first = checkout::payment_of(order.order_id);
        if !ids.contains(&first) {
            ids.push(first);
        }
        let mut found = Vec::new();
        for id in ids {
            let stream = id_of(&tenant(), &stream::payment(id));
            let (payment, at) = self.calm.load::<Payment>(&stream, services::payment).await.unwrap();
            if let (Some(payment), Expectation::At { version, .. }) = (payment.requested(), at) {
                found.push((payment.clone(), version));
            }
        }
        found
    }

    /// A client asks, in a task of its own.
    fn client(&mut self, commands: Vec<Command>, correlation: Uuid) {
        self.made += 1;
        let actor = Actor { id: format!("wish/{}", self.made), via: "test".into(), on_behalf_of: None };
        let id = derived(Uuid::nil(), &actor.id);
        let wish = Wish { id, commands, meta: Metadata::new(actor, correlation), answer: None };
        self.under_way.spawn(wish.asked(self.shop.services.clone()));
    }

    fn plan(&mut self, plan: Plan) {
        let correlation = plan.orders[0].0.0;
        let orders = plan.orders.into_iter().map(|(order_id, command)| {
            if matches!(command, order::Command::Place(_)) {
                self.orders.push(order_id);
            }
            Command::Order { order_id, command }
        });
        let payment = plan.payment.map(|(payment_id, command)| Command::Payment { payment_id, command });
        let commands = payment.into_iter().chain(orders).collect();
        self.client(commands, correlation);
    }

    fn place(&mut self) {
        let place = self.wishes.place();
        self.plan(Plan::of(place.order_id, order::Command::Place(Box::new(place))));
    }

    fn stock(&mut self, sku: Sku, command: stock::Command) {
        let stock = vec![StockCommand { location: Wishes::location(), sku, command }];
        self.client(vec![Command::Inventory { reservation: None, stock }], Uuid::nil());
    }

    fn receive(&mut self) {
        let (sku, qty) = (self.wishes.sku(), self.wishes.number(5, 30));
        let command = self.wishes.receive(&sku, qty);
        self.stock(sku, command);
    }

    async fn count(&mut self) {
        let (sku, more, fewer) = (self.wishes.sku(), self.wishes.number(0, 2), self.wishes.number(0, 40));
        let stream = id_of(&tenant(), &stream::stock(&Wishes::location(), &sku));
        let (here, _) = self.calm.load::<Stock>(&stream, services::stocked).await.unwrap();
        let command = self.wishes.count(more, fewer, here.on_hand);
        self.stock(sku, command);
    }

    async fn ask(&mut self, wish: fn(&mut Wishes, &Placed) -> Option<order::Command>) {
        // One wish is often made of several orders, under one id.
        self.wishes.name_next();
        for _ in 0..=self.wishes.roll(3) {
            let order_id = self.orders[self.wishes.roll(self.orders.len())];
            let order = self.placed(order_id).await;
            if let Some(command) = order.and_then(|order| wish(&mut self.wishes, &order)) {
                self.plan(Plan::of(order_id, command));
            }
        }
    }

    async fn on_order(&mut self, wish: fn(&mut Wishes, &Placed) -> Option<Plan>) {
        // The first order, from one on, of which there is something to wish for.
        let first = self.wishes.roll(self.orders.len());
        for n in 0..self.orders.len() {
            let order_id = self.orders[(first + n) % self.orders.len()];
            let order = self.placed(order_id).await;
            if let Some(plan) = order.and_then(|order| wish(&mut self.wishes, &order)) {
                return self.plan(plan);
            }
        }
    }

    async fn on_payment(&mut self, wish: fn(&mut Wishes, &Requested, u64) -> Option<Plan>) {
        let first = self.wishes.roll(self.orders.len());
        for n in 0..self.orders.len() {
            let order_id = self.orders[(first + n) % self.orders.len()];
            let Some(order) = self.placed(order_id).await else {
                continue;
            };
            for (payment, version) in self.payments(&order).await {
                if let Some(plan) = wish(&mut self.wishes, &payment, version) {
                    return self.plan(plan);
                }
            }
        }
    }

    /// Somebody finds out what came of requests that their provider never answers, and says so.
    pub(super) async fn look_up(&mut self) {
        for order_id in self.orders.clone() {
            let Some(order) = self.placed(order_id).await else {
                continue;
            };
            for (payment, _) in self.payments(&order).await {
                let silent = payment.live.iter().find(|live| live.unknown && silent(&payment, live.verb));
                let Some(verb) = silent.map(|live| live.verb) else {
                    continue;
                };
                // The provider believes what somebody says of money that it shall hold. It took and gave back nothing.
                let done = verb == Verb::Authorise && self.wishes.roll(2) == 0;
                let command = OfPayment::ResolveOutcome {
                    verb,
                    verdict: if done { Found::Done } else { Found::NotDone },
                    evidence: LOOKED_UP.into(),
                    provider_ref: done.then(|| LOOKED_UP.into()),
                    try_again: self.wishes.roll(2) == 0,
                };
                let payment_id = payment.payment_id;
                self.client(vec![Command::Payment { payment_id, command }], order_id.0);
            }
        }
    }

    /// Everybody has been answered or has gone away, and has looked at what was held.
    pub(super) async fn go_home(&mut self) {
        for order_id in self.orders.clone() {
            let order = self.placed(order_id).await;
            for hold_id in order.into_iter().flat_map(|order| order.holds.into_keys()) {
                let command = order::Command::ReleaseHold { hold_id, resolution: "fine".into() };
                self.plan(Plan::of(order_id, command));
            }
        }
        self.all_answered().await;
    }

    pub(super) async fn all_answered(&mut self) {
        while let Some(wish) = self.under_way.join_next().await {
            self.asked.push(wish.unwrap());
        }
    }

    /// Those who went away come back and ask once more what came of their wish: some of it was done, and some was not.
    pub(super) fn come_back(&mut self) {
        let gone: Vec<Wish> = self.asked.extract_if(.., |wish| wish.answer.is_none()).collect();
        for wish in gone {
            self.under_way.spawn(wish.asked(self.shop.services.clone()));
        }
    }
}

impl Wish {
    async fn asked(mut self, services: Arc<Services>) -> Self {
        for n in 0..TRIES {
            match services.carry_out_together(&tenant(), self.id, &self.commands, &self.meta).await {
                Ok(verdict) => {
                    self.answer = Some(verdict);
                    break;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(5 << n)).await,
            }
        }
        self
    }
}

/// Whether nobody will ever hear of such a request with this instrument.
pub(super) fn silent(payment: &Requested, verb: Verb) -> bool {
    let word = match verb {
        Verb::Authorise => "never",
        Verb::Capture { .. } => "capture-never",
        Verb::Void => "void-never",
        Verb::Raise { .. } => "raise-never",
        Verb::Refund { .. } => "refund-never",
    };
    let token = payment.instrument.token();
    token.strip_prefix("sandbox:").is_some_and(|words| words.split(',').any(|it| it == word))
}
