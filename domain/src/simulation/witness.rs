//! What is looked at besides the laws: at each moment that money is only taken when the order allowed it, and at rest that nothing is open
//! that somebody or something should have closed.

use super::rest::{left_open, may_hang};
use super::world::World;
use crate::ids::{OrderId, PaymentId};
use crate::money::Minor;
use crate::order;
use crate::order::event::Capture;
use crate::order::state::{Placed, ShipmentStatus};
use crate::payment::event::Verb;
use crate::payment::{self, Payment};

/// What a payment has and does not let go of.
fn firm(payment: &Payment) -> Minor {
    let Some(it) = payment.requested() else {
        return 0;
    };
    let void = it.at_provider(Verb::Void).map_or(0, |live| live.amount);
    let held = it.void_wanted.map_or(it.held() - void, |keep| it.held().min(keep));
    it.captured - it.refunded + held
}

impl World {
    /// The order said that money may be taken, so many times.
    pub(super) fn clear(&mut self, order_id: OrderId, times: u32) {
        let order = self.orders.get(&order_id).and_then(|it| it.state.state().placed());
        let held = order.is_some_and(|order| !order.holds.is_empty());
        assert!(times == 0 || !held, "cleared under a hold\n{}", self.story(order_id));
        *self.cleared.entry(order_id).or_default() += times;
    }

    /// Before the order moves past an event.
    pub(super) fn witness_order(&mut self, order_id: OrderId, event: &order::Event) {
        let before = self.orders[&order_id].state.state().placed().cloned();
        self.tally.order(before.as_ref(), event);
        match (event, before) {
            (order::Event::ShipmentRequested(it), _) => {
                self.clear(order_id, u32::try_from(it.captures.len()).unwrap());
            }
            (order::Event::Confirmed(it), Some(order)) => {
                let at_once = order.payment_terms.capture == Capture::AtConfirmation && !it.held;
                self.clear(order_id, u32::from(at_once));
                let external = order.payments.iter().filter(|payment| payment.is_external());
                let external: Minor = external.map(|payment| payment.captured - payment.refunded).sum();
                let firm = external + self.payments_of(order_id).into_iter().map(firm).sum::<Minor>();
                let needs = order.needs_payment();
                let total = order.totals.total;
                assert!(!needs || firm >= total, "confirmed on {firm} of {total}\n{}", self.story(order_id));
            }
            (order::Event::ShipmentDispatched(it), Some(order)) => {
                let status = order.shipments[&it.shipment_id].status;
                let fine = status == ShipmentStatus::Requested && order.holds.is_empty();
                assert!(fine, "{status:?} was dispatched, holds {:?}\n{}", order.holds, self.story(order_id));
            }
            _ => {}
        }
    }

    /// After the payment moved past an event.
    pub(super) fn witness_payment(&mut self, id: PaymentId, event: &payment::Event) {
        self.tally.payment(event);
        let payment::Event::CaptureRequested(it) = event else {
            return;
        };
        // Tried again, it was cleared before.
        if it.attempt == 1 {
            let order_id = self.payments[&id].state.state().requested().unwrap().order_id;
            let cleared = self.cleared.entry(order_id).or_default();
            let allowed = cleared.checked_sub(1);
            *cleared = allowed.unwrap_or(0);
            assert!(allowed.is_some(), "nobody allowed {it:?}\n{}", self.story(order_id));
        }
    }

    /// Every order at rest, and whether something of it is parked; the laws of each are checked.
    pub(super) fn verdicts(&self) -> Vec<(&Placed, bool)> {
        let mut found = Vec::new();
        for (order_id, folded) in &self.orders {
            let open = self.sagas_of(*order_id).iter().any(|(_, saga)| saga.ended.is_none());
            self.cross(*order_id, open);
            let Some(order) = folded.state.state().placed() else {
                continue;
            };
            if !open {
                let wrong = left_open(order);
                assert!(wrong.is_empty(), "{wrong:?}, {:?}\n{}", order.ledger(), self.story(*order_id));
            }
            found.push((order, open));
        }
        found
    }

    /// What should not be: sagas that wait for nothing, or for a person without having tried; payments whose book is not the provider's.
    pub(super) fn unfinished(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (key, saga) in &self.sagas {
            let state = saga.state();
            let tried = state.parked.as_ref().is_some_and(|it| it.reason == "retries_exhausted");
            let step = state.parked.as_ref().and_then(|it| it.step.clone()).unwrap_or_default();
            let order_id = OrderId(state.about.as_ref().unwrap().correlation);
            let order = self.orders[&order_id].state.state();
            let hangs = tried && may_hang(order, &self.payments_of(order_id), &step);
            if state.ended.is_none() && !hangs {
                found.push(format!("{key:?}: {state:?}\n{}", self.story(order_id)));
            }
        }
        for (id, folded) in &self.payments {
            let Some(payment) = folded.state.state().requested() else {
                continue;
            };
            let book = self.provider.accounts.get(id).copied().unwrap_or_default();
            let ours = (payment.authorised, payment.captured, payment.refunded, payment.voided);
            if (book.authorised, book.captured, book.refunded, book.voided) != ours {
                found.push(format!("{book:?} and {payment:?}"));
            }
        }
        found
    }
}
