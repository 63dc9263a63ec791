//! What is looked at besides the laws: at each moment that money is only taken when the order allowed it, and at rest that nothing is open
//! that somebody or something should have closed.

use super::world::World;
use crate::ids::{OrderId, PaymentId};
use crate::money::Minor;
use crate::order;
use crate::order::state::{Placed, RefundProgress, ShipmentStatus, Status};
use crate::payment::event::Verb;
use crate::payment::{self, Payment};
use crate::saga::state::{Progress, StepState};

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
        let payment::Event::CaptureRequested(it) = event else {
            return;
        };
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
            let held = self.is_held(order_id) && state.steps.values().any(waits_for_a_release);
            if state.ended.is_none() && !held && !(tried && self.may_hang(order_id, &step)) {
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

    fn is_held(&self, order_id: OrderId) -> bool {
        self.orders.get(&order_id).and_then(|it| it.state.state().placed()).is_some_and(|order| !order.holds.is_empty())
    }

    /// Where a process may wait for a person: for money that the provider will not take.
    fn may_hang(&self, order_id: OrderId, step: &str) -> bool {
        let dry = self.payments_of(order_id).iter().any(|payment| {
            payment
                .requested()
                .is_some_and(|it| it.captures.values().any(|it| it.progress == payment::state::Progress::Failed))
        });
        step == "capture" && dry
    }
}

fn waits_for_a_release(step: &StepState) -> bool {
    matches!(&step.forth.progress, Progress::NotDone { code, .. } if code == "on-hold")
}

/// What is open of an order at rest and should not be.
fn left_open(order: &Placed) -> Vec<&'static str> {
    let stocked = || order.lines.values().filter(|line| line.line.stocked);
    let waits = |status| matches!(status, ShipmentStatus::Requested | ShipmentStatus::Withdrawn);
    let external = |id| order.payment_of(id).is_some_and(order::state::Payment::is_external);
    let parts = || order.refunds.values().flat_map(|refund| &refund.parts);
    // What came another way goes back by hand: somebody says when.
    let owed = parts().any(|part| part.progress == RefundProgress::Pending && external(part.payment_id));
    let failed = parts().any(|part| !part.stands());
    let wrong = [
        ("it is pending", order.status == Status::Pending && !(order.cancelling() && (owed || failed))),
        ("it is being cancelled", order.cancelling() && !(owed || failed)),
        (
            "a cancellation is open",
            order.status == Status::Confirmed && order.cancellations.values().any(|it| !it.closed),
        ),
        ("a shipment waits", order.shipments.values().any(|shipment| waits(shipment.status))),
        (
            "units are neither held nor promised",
            order.status == Status::Confirmed && stocked().any(|line| line.unassigned() > 0),
        ),
    ];
    wrong.into_iter().filter(|(_, is)| *is).map(|(what, _)| what).collect()
}
