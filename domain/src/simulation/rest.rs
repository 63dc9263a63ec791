//! What may be open of an order at rest: what waits for a person, and nothing else.

use domain::order::Order;
use domain::order::state::{self, Placed, RefundProgress, ShipmentStatus, Status};
use domain::payment::Payment;
use domain::payment::state::Progress;
use domain::saga::state::{Progress as Step, State};

/// Whether a saga may wait for a person at a step: for money that the provider will not take.
pub(super) fn may_hang(payments: &[&Payment], step: &str) -> bool {
    let captures =
        payments.iter().filter_map(|payment| payment.requested()).flat_map(|payment| payment.captures.values());
    step == "capture" && captures.into_iter().any(|it| it.progress == Progress::Failed)
}

/// Whether a saga waits for the release of a hold of its order.
pub(super) fn waits_for_release(order: &Order, saga: &State) -> bool {
    let held = order.placed().is_some_and(|order| !order.holds.is_empty());
    let refused = |progress: &_| matches!(progress, Step::NotDone { code, .. } if code == "on-hold");
    held && saga.steps.values().any(|step| refused(&step.forth.progress))
}

/// What is open of an order at rest and should not be.
pub(super) fn left_open(order: &Placed) -> Vec<&'static str> {
    let stocked = || order.lines.values().filter(|line| line.line.stocked);
    let waits = |status| matches!(status, ShipmentStatus::Requested | ShipmentStatus::Withdrawn);
    let external = |id| order.payment_of(id).is_some_and(state::Payment::is_external);
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
