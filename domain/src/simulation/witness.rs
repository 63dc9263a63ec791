//! What is looked at besides the laws: at each moment that money is only taken when the order allowed it, and at rest that nothing is open
//! that somebody or something should have closed.

use super::rest::{left_open, may_hang, waits_for_release};
use super::world::World;
use crate::ids::{OrderId, PaymentId};
use crate::money::Minor;
use crate::order;
use crate::order::state::{Placed, ShipmentStatus, Status};
use crate::payment::event::Verb;
use crate::payment::{self, Payment};

/// What a payment has and does not let go of.
fn firm(payment: &Payment) -> Minor {
    let Some(it) = payment.requested() else {
        return 0;
    };
    let void = it.at_provider(Verb::Void).map_or(0, |live| live.amount);
    let held = it.void_wanted.map_or(it.held() - void, |keep| it.held().min(keep));
    // That it ended an order hears afterwards, and is put on hold then.
    let ended = if it.expired { it.voided } else { 0 };
    it.captured - it.refunded + held + ended
}

impl World {
    /// Before the order moves past an event.
    pub(super) fn witness_order(&mut self, order_id: OrderId, event: &order::Event) {
        let before = self.orders[&order_id].state.state().placed().cloned();
        self.tally.order(before.as_ref(), event);
        match (event, before) {
            (order::Event::Confirmed(_), Some(order)) => {
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
        if let payment::Event::CaptureFailed(it) = event
            && it.last
        {
            self.given_up.insert(it.capture_id);
        }
        let payment::Event::CaptureRequested(it) = event else {
            return;
        };
        assert!(!self.given_up.contains(&it.capture_id), "{it:?} was not to be tried again");
        let order_id = self.payments[&id].state.state().requested().unwrap().order_id;
        let order = self.orders[&order_id].state.state().placed().unwrap();
        let lets = matches!(order.status, Status::Confirmed | Status::Completed);
        let lets = lets && order.holds.is_empty() && !order.cancelling();
        assert!(lets, "{it:?} while the order lets nothing be taken\n{}", self.story(order_id));
    }

    /// Every order at rest, and whether something of it is parked; the laws of each are checked.
    pub(super) fn verdicts(&self) -> Vec<(&Placed, bool)> {
        self.check_baskets();
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
            let order = self.orders.get(&order_id).map(|it| it.state.state());
            let waits = order.is_some_and(|order| waits_for_release(order, state));
            let hangs = tried && may_hang(&self.payments_of(order_id), &step);
            if state.ended.is_none() && !waits && !hangs {
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
