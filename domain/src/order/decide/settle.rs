//! What follows for an order's money from what just happened to it, in the same batch: what is due back is granted, what is held and will not
//! be needed is let go, and an order of which nothing is left ends. Computed from what is there, never from what was meant before, so that
//! whatever comes in whatever order converges.

use super::ending;
use crate::Aggregate;
use crate::ids::{CancellationId, EditId, RefundId, ReturnId, ShipmentId, within};
use crate::money::Minor;
use crate::order::Order;
use crate::order::event::{AfterLoss, Cancelled, Completed, Event, PaymentShare, RefundGranted, SurplusReleased};
use crate::order::state::{Payment, Placed, Refund, Shipment, ShipmentStatus, Status};

/// What money goes back for.
#[derive(Default)]
struct Because {
    refund_id: RefundId,
    return_id: Option<ReturnId>,
    cancellation_id: Option<CancellationId>,
    edit_id: Option<EditId>,
    shipment_id: Option<ShipmentId>,
    reason: String,
}

/// The events, and what follows from them.
pub(super) fn settled(before: &Placed, mut events: Vec<Event>) -> Vec<Event> {
    if !events.iter().any(may_move_money) {
        return events;
    }
    let mut after = Order::Placed(before.clone());
    for event in &events {
        after.evolve(event);
    }
    for follows in [refund, surplus, end] {
        let event = after.placed().and_then(|after| follows(before, &events, after));
        if let Some(event) = event {
            after.evolve(&event);
            events.push(event);
        }
    }
    while let Some(event) = after.placed().and_then(|after| ending::follows(&events, after)) {
        after.evolve(&event);
        events.push(event);
    }
    events
}

fn may_move_money(event: &Event) -> bool {
    match event {
        Event::Confirmed(_)
        | Event::Rejected(_)
        | Event::Edited(_)
        | Event::LinesCancelled(_)
        | Event::CancellationClosed(_)
        | Event::ShipmentDispatched(_)
        | Event::ShipmentRefused(_)
        | Event::LossDecided(_)
        | Event::ReturnReceived(_)
        | Event::RefundGranted(_)
        | Event::RefundDeclined(_)
        | Event::RefundPaid(_)
        | Event::RefundWithdrawn(_)
        | Event::PaymentAdded(_)
        | Event::PaymentRecorded(_) => true,
        Event::Placed(_)
        | Event::Completed(_)
        | Event::LinesReserved(_)
        | Event::LinesBackordered(_)
        | Event::LinesUnreserved(_)
        | Event::Cancelled(_)
        | Event::HoldPlaced(_)
        | Event::HoldReleased(_)
        | Event::ShippingAddressChanged(_)
        | Event::NoteAdded(_)
        | Event::TagsSet(_)
        | Event::ShipmentRequested(_)
        | Event::ShipmentWithdrawn(_)
        | Event::TrackingUpdated(_)
        | Event::ShipmentDelivered(_)
        | Event::ShipmentLost(_)
        | Event::ShipmentFound(_)
        | Event::StockWanted(_)
        | Event::ReturnRequested(_)
        | Event::ReturnDeclined(_)
        | Event::PaymentReleased(_)
        | Event::SurplusReleased(_) => false,
    }
}

/// What is due back: as much as the order is worth less by what happened, if that was taken and is not due for something else; and all that
/// was taken beyond what is owed in the end.
fn refund(before: &Placed, events: &[Event], after: &Placed) -> Option<Event> {
    let because = events.iter().rev().find_map(|event| because(after, event))?;
    let (was, is) = (before.ledger(), after.ledger());
    let amount = (was.owed - is.owed).max(0).min(is.spare()).max(is.surplus());
    let (parts, _) = after.spread(amount, |payment| after.refundable_of(payment));
    let amount: Minor = parts.iter().map(|part| part.amount).sum();
    let new = !after.refunds.contains_key(&because.refund_id);
    (amount > 0 && new).then(|| {
        Event::RefundGranted(RefundGranted {
            refund_id: because.refund_id,
            attempt: 1,
            amount,
            parts,
            lines: Vec::new(),
            shipping: 0,
            by_hand: false,
            return_id: because.return_id,
            cancellation_id: because.cancellation_id,
            edit_id: because.edit_id,
            shipment_id: because.shipment_id,
            reason: because.reason,
            asked: None,
        })
    })
}

fn because(order: &Placed, event: &Event) -> Option<Because> {
    let id = |kind: &str, id: uuid::Uuid, what: &str| RefundId(within(order.order_id, kind, id, what));
    let none = Because::default();
    Some(match event {
        Event::ReturnReceived(received) => Because {
            refund_id: id("return", received.return_id.0, &format!("{}/refund", received.receipt)),
            return_id: Some(received.return_id),
            reason: "return".into(),
            ..none
        },
        Event::LinesCancelled(cancelled) => Because {
            refund_id: id("cancellation", cancelled.cancellation_id.0, "refund"),
            cancellation_id: Some(cancelled.cancellation_id),
            reason: cancelled.reason.clone(),
            ..none
        },
        Event::Edited(edited) => Because {
            refund_id: id("edit", edited.edit_id.0, "refund"),
            edit_id: Some(edited.edit_id),
            reason: edited.reason.clone(),
            ..none
        },
        Event::LossDecided(decided) if decided.then == AfterLoss::Refund => Because {
            refund_id: id("loss", decided.shipment_id.0, &format!("{}/refund", decided.decision)),
            shipment_id: Some(decided.shipment_id),
            reason: "loss".into(),
            ..none
        },
        Event::PaymentRecorded(told) => {
            let version = told.fact.as_ref().map_or(told.payment_version, |fact| fact.version);
            let whole = order.cancellations.iter().find(|(_, cancellation)| cancellation.whole);
            Because {
                refund_id: id("payment", told.payment_id.0, &format!("{version}/refund")),
                cancellation_id: whole.map(|(id, _)| *id),
                reason: whole.map_or_else(|| "surplus".to_owned(), |(_, cancellation)| cancellation.reason.clone()),
                ..none
            }
        }
        // What was granted by hand is not with the customer, and may be owed to nobody else any more.
        Event::RefundDeclined(declined) => {
            let what = format!("{}/surplus", declined.payment_id);
            Because { refund_id: id("refund", declined.at_payment.0, &what), reason: "surplus".into(), ..none }
        }
        Event::RefundWithdrawn(withdrawn) => {
            let attempt = order.refunds.get(&withdrawn.refund_id).map_or(0, |refund| refund.attempt);
            let what = format!("{attempt}/surplus");
            Because { refund_id: id("refund", withdrawn.refund_id.0, &what), reason: "surplus".into(), ..none }
        }
        Event::PaymentAdded(added) => {
            Because { refund_id: id("payment", added.payment_id.0, "refund"), reason: "surplus".into(), ..none }
        }
        Event::Rejected(_) => {
            Because { refund_id: id("rejection", order.order_id.0, "refund"), reason: "rejected".into(), ..none }
        }
        _ => return None,
    })
}

/// What is held and will not be taken.
fn surplus(_: &Placed, _: &[Event], after: &Placed) -> Option<Event> {
    let mut keep = Vec::new();
    for (payment, wanted) in after.wanted() {
        if payment.is_external() || payment.is_voiding() {
            continue;
        }
        let held = payment.held();
        // What cannot be let go in part is held on until none of it is needed.
        let amount = if wanted > 0 && !payment.abilities.partial_void { held } else { wanted };
        let less = payment.to_keep().is_none_or(|asked| amount < asked);
        if less && amount < at_provider(payment) {
            keep.push(PaymentShare { payment_id: payment.payment_id, amount });
        }
    }
    (!keep.is_empty()).then_some(Event::SurplusReleased(SurplusReleased { keep }))
}

fn at_provider(payment: &Payment) -> Minor {
    payment.authorised - payment.captured - payment.voided
}

/// Completed, once something left and nothing is open; cancelled, once nothing left or will, and stock and money are undone.
fn end(_: &Placed, _: &[Event], after: &Placed) -> Option<Event> {
    if after.status.is_terminal() || after.all_open_units() > 0 {
        return None;
    }
    if after.shipped_units() > 0 {
        return (after.status == Status::Confirmed).then_some(Event::Completed(Completed {}));
    }
    // The order is cancelled for the reason for which nothing of it was left.
    let mut cancellations = after.cancellations.values();
    let whole =
        after.cancellations.values().find(|cancellation| cancellation.whole).or_else(|| cancellations.next())?;
    let back = |shipment: &Shipment| shipment.status != ShipmentStatus::Withdrawn;
    let goods =
        after.cancellations.values().all(|cancellation| cancellation.closed) && after.shipments.values().all(back);
    (goods && money_is_undone(after)).then(|| Event::Cancelled(Cancelled { reason: whole.reason.clone() }))
}

fn money_is_undone(order: &Placed) -> bool {
    let paid = order.payment();
    let refunded: Minor = order.refunds.values().map(Refund::done).sum();
    paid.captured == refunded && order.payments.iter().all(Payment::holds_nothing)
}
