//! What may be open of an order at rest: what waits for a person, and nothing else.

use domain::order::Order;
use domain::order::state::{self, Placed, RefundProgress, ShipmentStatus, Status};
use domain::payment::Payment;
use domain::payment::state::Progress;

/// Whether a process may wait for a person at a step: for the end of a hold, and for money that the provider will not take.
pub(super) fn may_hang(order: &Order, payments: &[&Payment], step: &str) -> bool {
    let held = order.placed().is_some_and(|order| !order.holds.is_empty());
    let dry = payments.iter().filter_map(|payment| payment.requested());
    let dry = dry.flat_map(|payment| payment.captures.values()).any(|it| it.progress == Progress::Failed);
    match step {
        "clear" | "dispatch" => held,
        "capture" => dry,
        _ => false,
    }
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
