//! Cancelling: before confirmation the whole, after it what has not left; each unit has its value, and the last takes the rest.

use super::*;
use crate::order::event::{CancellationClosed, Cancelled, LineValue, LinesCancelled};
use crate::order::refusal::Refusal;
use crate::order::state::{FulfilmentStatus, Status};

fn value(line_id: LineId, qty: u32, amount: Minor) -> LineValue {
    LineValue { line_id, qty, amount }
}

#[test]
fn a_pending_order_is_cancelled_as_a_whole() {
    let order = pending(three_lines()).after([record_reserved(&[(L1, 3)], &[(L2, 2)])]);
    order
        .when(cancel(1, None))
        .then_with(|events| {
            let [Event::LinesCancelled(cancelled)] = events else {
                panic!("{events:?}");
            };
            let expected = LinesCancelled {
                cancellation_id: crate::ids::CancellationId(id(1)),
                lines: vec![value(L1, 3, 3_000), value(L2, 5, 1_000), value(L3, 1, 400)],
                shipping: 500,
                amount: 4_900,
                release: vec![release_at_main(L1, 3, 0), release_at_main(L2, 0, 2)],
                reason: "customer".to_owned(),
                whole: true,
                asked: cancelled.asked,
            };
            assert_eq!(*cancelled, expected);
        })
        .when(close(1))
        .then([
            Event::CancellationClosed(CancellationClosed { cancellation_id: crate::ids::CancellationId(id(1)) }),
            Event::Cancelled(Cancelled { reason: "customer".to_owned() }),
        ]);
    pending(three_lines())
        .when(cancel(1, Some(vec![units(L1, 1)])))
        .then_refused(Refusal::OrderState { status: Status::Pending, cancelling: false });
}

#[test]
fn a_second_cancellation_of_the_whole_has_nothing_left_to_cancel() {
    pending(three_lines())
        .after([cancel(1, None)])
        .when(cancel(2, None))
        .then_refused(Refusal::OrderState { status: Status::Pending, cancelling: true });
}

#[test]
fn stock_that_is_told_after_the_cancellation_is_not_counted() {
    pending(three_lines()).after([cancel(1, None)]).when(record_reserved(&[(L1, 3), (L2, 5)], &[])).then_nothing();
}

#[test]
fn cancelled_units_come_out_of_unassigned_then_backordered_then_reserved() {
    let order = pending(place_of(vec![new_line(L1, 6, "1.00")]));
    let order = order.after([record_reserved(&[(L1, 2)], &[(L1, 2)]), confirm(1_100)]);
    let order = order.after([cancel(1, Some(vec![units(L1, 3)]))]);
    let line = &order.look().lines[&L1];
    assert_eq!((line.reserved, line.backordered), (2, 1));
    assert_eq!(line.unassigned(), 0);
    order.when(cancel(2, Some(vec![units(L1, 2)]))).then_with(|events| {
        let Some(Event::LinesCancelled(cancelled)) = events.first() else {
            panic!("{events:?}");
        };
        assert_eq!(cancelled.release, [release_at_main(L1, 1, 1)]);
        assert!(!cancelled.whole);
    });
}

#[test]
fn the_last_unit_takes_the_rest_and_shipping_is_cancelled_with_it() {
    let mut place = place_of(vec![new_line(L1, 3, "1.00")]);
    place.lines[0].discount = 200;
    let mut order = confirmed(place);
    let mut amounts = Vec::new();
    for number in 1..=3 {
        let one = cancel(number, Some(vec![units(L1, 1)]));
        order = order.when(one).then_with(|events| {
            let Some(Event::LinesCancelled(cancelled)) = events.first() else {
                panic!("{events:?}");
            };
            amounts.push((cancelled.lines[0].amount, cancelled.shipping, cancelled.whole));
        });
    }
    assert_eq!(amounts, [(33, 0, false), (34, 0, false), (33, 500, true)]);
    assert_eq!(order.look().owed(), 0);
}

/// The first of two shipments has the charge and is refused, and the second one waits.
pub(super) fn with_a_charge_that_no_shipment_has() -> Given<Order> {
    let refused = Command::RefuseShipment { shipment_id: crate::ids::ShipmentId(id(5)), reason: "declined".into() };
    confirmed(place_of(vec![new_line(L1, 3, "1.00")])).after([
        request_shipment(5, Some(vec![units(L1, 2)])),
        request_shipment(6, Some(vec![units(L1, 1)])),
        refused,
    ])
}

#[test]
fn a_charge_that_no_shipment_has_is_cancelled_with_the_last_units_that_could_ship() {
    let order = with_a_charge_that_no_shipment_has();
    assert_eq!(order.look().shipping_left(), 500);
    let mut cancelled = Vec::new();
    let mut order = order;
    for number in 1..=2 {
        order = order.when(cancel(number, Some(vec![units(L1, 1)]))).then_with(|events| {
            let Some(Event::LinesCancelled(it)) = events.first() else {
                panic!("{events:?}");
            };
            cancelled.push((it.amount, it.shipping, it.whole));
        });
    }
    assert_eq!(cancelled, [(100, 0, false), (600, 500, false)]);
    let order = order.after([payment(PaymentStatus::PartCaptured, 3, [800, 100, 0]), dispatch(6)]);
    assert_eq!((order.look().status, order.look().owed()), (Status::Completed, 100));
}

#[test]
fn the_order_is_cancelled_when_every_cancellation_gave_everything_back() {
    let order = confirmed(three_lines()).after([cancel(1, Some(vec![units(L1, 3)])), cancel(2, None), close(2)]);
    assert_eq!(order.look().status, Status::Confirmed);
    assert_eq!(order.look().fulfilment_status(), FulfilmentStatus::Cancelled);
    let order = order.after([close(1)]);
    assert_eq!(order.look().status, Status::Confirmed, "money is held for nothing");
    let order = order.after([voided(5, 4_900)]);
    assert_eq!(order.look().status, Status::Cancelled);
    order.when(close(1)).then_nothing();
}

#[test]
fn a_cancellation_of_the_rest_completes_an_order_that_shipped() {
    let order = confirmed(three_lines()).after([
        request_shipment(5, Some(vec![units(L1, 3)])),
        payment(PaymentStatus::PartCaptured, 3, [4_900, 3_500, 0]),
        dispatch(5),
    ]);
    let order = order.when(cancel(1, None)).then_with(|events| {
        let [Event::LinesCancelled(_), Event::SurplusReleased(released), Event::Completed(_)] = events else {
            panic!("{events:?}");
        };
        assert_eq!(released.keep[0].amount, 0);
    });
    assert!(!order.look().cancelling());
    assert_eq!(order.look().shipping_cancelled, 0);
    assert_eq!(order.look().status, Status::Completed);
    assert_eq!(order.look().balance(), 0);
}

#[test]
fn what_left_is_not_cancelled() {
    let order = confirmed(three_lines()).after([
        request_shipment(5, Some(vec![units(L1, 2)])),
        payment(PaymentStatus::PartCaptured, 3, [4_900, 2_500, 0]),
        dispatch(5),
    ]);
    order.when(cancel(1, Some(vec![units(L1, 2)]))).then_refused(Refusal::AlreadyShipped {
        line_id: Some(L1),
        shipped: 2,
        in_shipment: 0,
        open: 1,
    });
    confirmed(three_lines()).when(cancel(1, Some(vec![units(L1, 4)]))).then_refused(Refusal::QuantityExceedsOpen {
        line_id: L1,
        asked: 4,
        open: 3,
    });
}

#[test]
fn a_cancellation_that_nobody_asked_for_cannot_be_closed() {
    let cancellation_id = crate::ids::CancellationId(id(8));
    confirmed(three_lines()).when(close(8)).then_refused(Refusal::CancellationNotFound { cancellation_id });
}

#[test]
fn a_cancellation_withdraws_the_shipments_that_have_its_units() {
    let order = confirmed(three_lines()).after([
        request_shipment(5, Some(vec![units(L1, 1)])),
        request_shipment(6, Some(vec![units(L2, 1)])),
        payment(PaymentStatus::PartCaptured, 3, [4_900, 1_700, 0]),
    ]);
    let order = order.when(cancel(1, Some(vec![units(L1, 3)]))).then_with(|events| {
        let [Event::ShipmentWithdrawn(withdrawn), Event::LinesCancelled(cancelled), Event::RefundGranted(granted), ..] =
            events
        else {
            panic!("{events:?}");
        };
        assert_eq!(withdrawn.shipment_id, crate::ids::ShipmentId(id(5)));
        // Stock releases the withdrawn unit when it puts it back.
        assert_eq!(cancelled.release, [release_at_main(L1, 2, 0)]);
        assert_eq!(cancelled.amount, 3_000);
        // 17.00 are taken: 10.00 for the unit that is cancelled, 5.00 of charges and 2.00 for what ships.
        assert_eq!(granted.amount, 1_500);
    });
    let line = &order.look().lines[&L1];
    assert_eq!((line.cancelled, line.shipping, line.reserved), (3, 0, 0));
    order.when(dispatch(5)).then_refused(Refusal::ShipmentState {
        shipment_id: crate::ids::ShipmentId(id(5)),
        status: crate::order::state::ShipmentStatus::Withdrawn,
    });
}
