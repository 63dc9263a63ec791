//! Who wishes what of which order, payment or stock: customers, clerks and operators, as a seed gives it.

use uuid::Uuid;

use super::wishes::{Plan, Wishes};
use super::world::World;
use crate::command::StockCommand;
use crate::ids::{OrderId, PaymentId, Sku};
use crate::order::state::Placed;
use crate::payment::state::Requested;
use crate::{Command, order, payment, stock};

impl World {
    /// Somebody asks for something.
    pub(super) fn somebody_asks(&mut self) {
        match self.roll(26) {
            0..=2 => self.place(),
            3..=5 => self.receive(),
            6..=12 => self.ask(Wishes::shipment),
            13..=14 => self.ask(Wishes::cancellation),
            15..=16 => self.ask(Wishes::edit),
            17..=18 => self.ask(Wishes::announce),
            19..=20 => self.ask(Wishes::receipt),
            21 => self.ask(Wishes::gift),
            22 if self.roll(2) == 0 => self.ask(Wishes::hold),
            22..=23 => self.count(),
            _ => self.basket(),
        }
    }

    fn ask(&mut self, wish: fn(&mut Wishes, &Placed) -> Option<order::Command>) {
        let ids: Vec<OrderId> = self.orders.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        // One wish is often made of several orders, under one id.
        self.wishes.name_next();
        for _ in 0..=self.roll(3) {
            let order_id = ids[self.roll(ids.len())];
            let Some(order) = self.orders[&order_id].state.state().placed().cloned() else {
                continue;
            };
            if let Some(command) = wish(&mut self.wishes, &order) {
                let id = self.new_id();
                self.run(id, order_id.0, &Command::Order { order_id, command });
            }
        }
    }

    fn place(&mut self) {
        let mut place = self.wishes.place();
        if let Some((basket, lines)) = self.some_basket() {
            (place.basket, place.lines) = (Some(basket), lines);
        }
        let (order_id, id) = (place.order_id, self.new_id());
        let command = order::Command::Place(Box::new(place));
        self.run(id, order_id.0, &Command::Order { order_id, command });
    }

    fn stock_command(&mut self, sku: Sku, command: stock::Command) {
        let id = self.new_id();
        let stock = vec![StockCommand { location: Wishes::location(), sku, command }];
        let command = Command::Inventory { reservation: None, stock };
        self.run(id, Uuid::nil(), &command);
    }

    fn receive(&mut self) {
        let (sku, qty) = (self.wishes.sku(), self.wishes.number(5, 30));
        let command = self.wishes.receive(&sku, qty);
        self.stock_command(sku, command);
    }

    fn count(&mut self) {
        let (sku, more, fewer) = (self.wishes.sku(), self.wishes.number(0, 2), self.wishes.number(0, 40));
        let here = self.stock.get(&(Wishes::location(), sku.clone()));
        let on_hand = here.map_or(0, |here| here.state.state().on_hand);
        let command = self.wishes.count(more, fewer, on_hand);
        self.stock_command(sku, command);
    }

    /// Somebody does something by hand.
    pub(super) fn somebody_acts(&mut self) {
        match self.roll(30) {
            // What was refused is often tried again.
            _ if self.roll(4) == 0 => self.on_order(Wishes::retry_refund),
            0..=2 => self.on_payment(Wishes::capture),
            3 => self.on_payment(Wishes::void),
            4..=7 => self.look_up(),
            8..=10 => self.on_order(Wishes::lose),
            11 => self.on_order(Wishes::decide_loss),
            12..=13 => self.on_order(Wishes::find),
            14..=15 => self.on_order(Wishes::refund_by_line),
            16..=17 => self.on_order(Wishes::refund_shipping),
            18..=20 => self.on_order(Wishes::retry_refund),
            21..=22 => self.on_order(Wishes::owed_by_hand),
            23..=27 => self.on_order(Wishes::pay),
            28 => self.on_order(|wishes, order| order.to_replace().and_then(|_| wishes.pay(order))),
            _ => self.on_order(Wishes::withdraw),
        }
    }

    fn on_order(&mut self, wish: fn(&mut Wishes, &Placed) -> Option<Plan>) {
        let ids: Vec<OrderId> = self.orders.keys().copied().collect();
        // The first order, from one on, of which there is something to wish for.
        let first = self.roll(ids.len());
        for n in 0..ids.len() {
            let order_id = ids[(first + n) % ids.len()];
            let Some(order) = self.orders[&order_id].state.state().placed().cloned() else {
                continue;
            };
            if let Some(plan) = wish(&mut self.wishes, &order) {
                let id = self.new_id();
                self.run_plan(id, &plan);
                return;
            }
        }
    }

    fn on_payment(&mut self, wish: fn(&mut Wishes, &Requested, u64) -> Option<Plan>) {
        let ids: Vec<PaymentId> = self.payments.keys().copied().collect();
        let first = self.roll(ids.len());
        for n in 0..ids.len() {
            let folded = &self.payments[&ids[(first + n) % ids.len()]];
            let (payment, version) = (folded.state.state().requested().cloned(), folded.version);
            if let Some(plan) = payment.and_then(|payment| wish(&mut self.wishes, &payment, version)) {
                let id = self.new_id();
                self.run_plan(id, &plan);
                return;
            }
        }
    }

    /// Somebody looks up what came of a request of which nobody knows, and says so.
    fn look_up(&mut self) {
        let unknown = |at: &usize| {
            let request = &self.provider.waiting[*at];
            let payment = self.payments[&request.payment_id].state.state().requested();
            payment.and_then(|it| it.at_provider(request.verb)).is_some_and(|live| live.unknown)
        };
        let open: Vec<usize> = (0..self.provider.waiting.len()).filter(unknown).collect();
        if open.is_empty() {
            return;
        }
        let at = open[self.roll(open.len())];
        let request = self.provider.waiting[at].clone();
        let payment = self.payments[&request.payment_id].state.state().requested().unwrap();
        let order_id = payment.order_id;
        let command = payment::Command::ResolveOutcome {
            verb: request.verb,
            verdict: self.provider.look_up(at, self.now),
            evidence: "looked up".into(),
            provider_ref: Some("looked up".into()),
            try_again: request.verb == payment::event::Verb::Void || self.roll(4) == 0,
        };
        let command = Command::Payment { payment_id: request.payment_id, command };
        let id = self.new_id();
        let refused = self.run(id, order_id.0, &command);
        assert_eq!(refused, None, "what was found out is always taken");
    }
}
