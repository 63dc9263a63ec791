//! Shipping: reserved, paid, not on hold. Charges go with the first shipment, values with their units.

use super::*;
use crate::ids::{HoldId, ShipmentId};
use crate::order::event::{LineUnits, LineValue, ShipmentDelivered, ShipmentRequested};
use crate::order::refusal::{Refusal, ReservedUnits};
use crate::order::state::{FulfilmentStatus, ShipmentStatus, Status};

fn hold() -> Command {
    Command::PlaceHold { hold_id: HoldId(id(40)), reason: "fraud_check".to_owned(), note: None, until: None }
}

fn on_hold() -> Refusal {
    Refusal::OnHold { holds: vec![HoldId(id(40))] }
}

fn refuse(number: u128) -> Command {
    Command::RefuseShipment { shipment_id: ShipmentId(id(number)), reason: "capture failed".to_owned() }
}

fn delivered(number: u128, lines: Option<Vec<Units>>) -> Command {
    Command::ConfirmDelivery { shipment_id: ShipmentId(id(number)), lines, at: None }
}

#[track_caller]
fn requested(order: Given<Order>, command: Command) -> (Given<Order>, ShipmentRequested) {
    let mut found = None;
    let order = order.when(command).then_with(|events| {
        if let [Event::ShipmentRequested(requested)] = events {
            found = Some(requested.clone());
        }
    });
    order.look();
    (order, found.unwrap())
}

#[test]
fn the_first_shipment_takes_the_charges_and_the_last_unit_the_rest() {
    let mut place = place_of(vec![new_line(L1, 3, "1.00")]);
    place.lines[0].discount = 200;
    let one = |n| request_shipment(n, Some(vec![units(L1, 1)]));
    let (order, first) = requested(confirmed(place), one(1));
    assert_eq!(first.lines[0].amount, 33);
    assert_eq!((first.shipping, first.to_capture), (500, 533));
    let (order, second) = requested(order, one(2));
    assert_eq!((second.lines[0].amount, second.to_capture), (34, 34));
    let (order, third) = requested(order, one(3));
    assert_eq!((third.lines[0].amount, third.shipping), (33, 0));
    assert_eq!(order.look().lines[&L1].free(), 0);
}

#[test]
fn a_refused_shipment_gives_back_units_value_and_charges() {
    let order = confirmed(three_lines()).after([request_shipment(1, None)]);
    assert_eq!(order.look().shipping_left(), 0);
    let order = order.when(refuse(1)).then_with(|events| assert_eq!(events.len(), 1));
    let line = &order.look().lines[&L1];
    assert_eq!((line.shippable(), line.shipping_value), (3, 0));
    let (order, again) = requested(order, request_shipment(2, None));
    assert_eq!((again.shipping, again.to_capture), (500, 4_900));
    let shipment_id = ShipmentId(id(1));
    order.when(dispatch(1)).then_refused(Refusal::ShipmentState { shipment_id, status: ShipmentStatus::Refused });
}

#[test]
fn the_value_of_units_is_not_negative_after_a_refusal() {
    let mut place = place_of(vec![new_line(L1, 4, "0.0025")]);
    place.shipping.clear();
    let one = |n| request_shipment(n, Some(vec![units(L1, 1)]));
    let order = confirmed(place).after([one(1), one(2), one(3), one(4)]);
    let value = |order: &Given<Order>| order.look().lines[&L1].taken().value;
    assert_eq!(value(&order), 1);
    let order = order.after([refuse(1), refuse(2), refuse(4)]);
    let order = order.after([request_shipment(5, None)]);
    assert_eq!(value(&order), 1);
}

#[test]
fn what_a_refused_shipment_gives_back_is_shared_among_all_units_that_are_left() {
    let reprice = Change::Reprice { line_id: L2, unit_price: price("4") };
    let of_line_2 = |n, qty| request_shipment(n, Some(vec![units(L2, qty)]));
    let order =
        confirmed(three_lines()).after([of_line_2(1, 2), edit(1, vec![reprice])]).after([of_line_2(2, 1), refuse(1)]);
    let line = &order.look().lines[&L2];
    // 20.00 for five units now, one of which is in a shipment for a third of the 16.00 that were left then.
    assert_eq!(line.taken().value, 533);
    assert_eq!(line.value_of_next(3, Rounding::HalfEven), 1_100);
    assert_eq!(line.value_of_next(4, Rounding::HalfEven), 1_467);
}

#[test]
fn only_what_is_reserved_here_ships() {
    let order = pending(three_lines()).after([record_reserved(&[(L1, 2)], &[]), confirm(4_900)]);
    order.when(request_shipment(1, Some(vec![units(L1, 3), units(L2, 1)]))).then_refused(Refusal::NotReserved {
        location: "main".parse().unwrap(),
        lines: vec![
            ReservedUnits { line_id: L1, asked: 3, reserved: 2 },
            ReservedUnits { line_id: L2, asked: 1, reserved: 0 },
        ],
    });
    confirmed(three_lines())
        .when(request_shipment(1, Some(vec![units(L1, 4)])))
        .then_refused(Refusal::QuantityExceedsOpen { line_id: L1, asked: 4, open: 3 });
    let elsewhere = Command::RequestShipment {
        shipment_id: ShipmentId(id(1)),
        lines: Some(vec![units(L1, 1)]),
        location: Some("elsewhere".parse().unwrap()),
        carrier: None,
        tracking: None,
    };
    confirmed(three_lines()).when(elsewhere).then_refused(Refusal::NotReserved {
        location: "main".parse().unwrap(),
        lines: vec![ReservedUnits { line_id: L1, asked: 1, reserved: 0 }],
    });
}

#[test]
fn a_pending_order_does_not_ship() {
    pending(three_lines())
        .after([record_reserved(&[(L1, 3)], &[])])
        .when(request_shipment(1, None))
        .then_refused(Refusal::OrderState { status: Status::Pending, cancelling: false });
}

#[test]
fn an_open_hold_stops_shipping_and_dispatching() {
    confirmed(three_lines()).after([hold()]).when(request_shipment(1, None)).then_refused(on_hold());
    let order = confirmed(three_lines()).after([
        request_shipment(1, None),
        payment(PaymentStatus::Captured, 3, [4_900, 4_900, 0]),
        hold(),
    ]);
    let state = order.peek().clone();
    order.when(dispatch(1)).then_refused(on_hold());
    let release = Command::ReleaseHold { hold_id: HoldId(id(40)), resolution: "fine".to_owned() };
    let mut released = state;
    for event in released.decide(&release).unwrap() {
        released.evolve(&event);
    }
    assert_eq!(released.decide(&dispatch(1)).unwrap().len(), 2);
}

#[test]
fn nothing_is_dispatched_before_it_is_captured() {
    let order = confirmed(three_lines()).after([request_shipment(1, Some(vec![units(L1, 1)]))]);
    order.when(dispatch(1)).then_refused(Refusal::NotPaid { needed: 1_500, available: 0 });
}

#[test]
fn no_more_is_captured_than_is_authorised() {
    let dearer = Change::Add(new_line(LineId(4), 1, "1.00"));
    let order = confirmed(three_lines()).after([edit(1, vec![dearer])]);
    let order = order.after([record_reserved(&[(LineId(4), 1)], &[]), request_shipment(1, Some(vec![units(L1, 3)]))]);
    order.when(request_shipment(2, None)).then_refused(Refusal::NotPaid { needed: 1_500, available: 1_400 });
    confirmed(three_lines())
        .after([voided(3, 4_900)])
        .when(request_shipment(1, None))
        .then_refused(Refusal::NotPaid { needed: 4_900, available: 0 });
    confirmed(three_lines())
        .after([payment(PaymentStatus::Unknown, 3, [4_900, 0, 0])])
        .when(request_shipment(1, None))
        .then_refused(Refusal::PaymentUnknown);
}

#[test]
fn who_pays_later_ships_unpaid() {
    let mut place = three_lines();
    place.payment.capture = Capture::PayLater;
    let order = pending(place).after([record_reserved(&[(L1, 3), (L2, 5)], &[]), confirm(0)]);
    let (order, request) = requested(order, request_shipment(1, None));
    assert_eq!(request.to_capture, 0);
    let order = order.after([dispatch(1)]);
    assert_eq!(order.look().fulfilment_status(), FulfilmentStatus::Shipped);
}

#[test]
fn what_was_captured_at_confirmation_is_not_captured_again() {
    let mut place = three_lines();
    place.payment.capture = Capture::AtConfirmation;
    let order = confirmed(place);
    let early = Refusal::NotPaid { needed: 4_900, available: 0 };
    assert_eq!(order.peek().decide(&request_shipment(1, None)), Err(early));
    let order = order.after([payment(PaymentStatus::Captured, 3, [4_900, 4_900, 0])]);
    let (order, first) = requested(order, request_shipment(1, Some(vec![units(L1, 3)])));
    assert_eq!(first.to_capture, 0);
    let dearer = Change::Reprice { line_id: L2, unit_price: price("3") };
    let order = order.after([edit(1, vec![dearer])]);
    // 14.00 of the captured 49.00 are left; the goods that are left come to 19.00.
    order.when(request_shipment(2, None)).then_refused(Refusal::NotPaid { needed: 500, available: 0 });
}

#[test]
fn what_a_cancellation_gave_back_cannot_pay_for_goods() {
    let mut place = three_lines();
    place.payment.capture = Capture::AtConfirmation;
    let order = confirmed(place)
        .after([payment(PaymentStatus::Captured, 3, [4_900, 4_900, 0]), cancel(2, Some(vec![units(L1, 3)]))]);
    assert_eq!(order.look().granted(), 3_000);
    let (_, shipment) = requested(order, request_shipment(1, None));
    assert_eq!(shipment.to_capture, 0);
}

#[test]
fn units_arrive_or_get_lost_once() {
    let order = shipped(three_lines());
    let shipment_id = ShipmentId(id(900));
    let order = order.after([delivered(900, Some(vec![units(L2, 2)]))]);
    assert_eq!(order.look().fulfilment_status(), FulfilmentStatus::PartDelivered);
    let lost =
        Command::ReportLost { shipment_id, lines: Some(vec![units(L2, 1)]), sent: None, then: event::AfterLoss::Later };
    let order = order.after([lost]);
    let too_many = delivered(900, Some(vec![units(L2, 3)]));
    let refusal = Refusal::QuantityExceedsShipment { shipment_id, line_id: L2, asked: 3, open: 2 };
    assert_eq!(order.peek().decide(&too_many), Err(refusal));
    let line = |line_id, qty| LineUnits { line_id, qty };
    let order = order.when(delivered(900, None)).then([Event::ShipmentDelivered(ShipmentDelivered {
        shipment_id,
        lines: vec![line(L1, 3), line(L2, 2), line(L3, 1)],
        at: None,
    })]);
    assert_eq!(order.look().shipments[&shipment_id].status, ShipmentStatus::Lost);
    assert_eq!(order.look().lines[&L2].delivered, 4);
    let all = shipped(three_lines()).after([delivered(900, None)]);
    assert_eq!(all.look().fulfilment_status(), FulfilmentStatus::Delivered);
}

#[test]
fn what_has_not_left_cannot_arrive() {
    let order = confirmed(three_lines()).after([request_shipment(1, None)]);
    let shipment_id = ShipmentId(id(1));
    order
        .when(delivered(1, None))
        .then_refused(Refusal::ShipmentState { shipment_id, status: ShipmentStatus::Requested });
    let shipment_id = ShipmentId(id(2));
    confirmed(three_lines()).when(dispatch(2)).then_refused(Refusal::ShipmentNotFound { shipment_id });
    let shipment_id = ShipmentId(id(900));
    shipped(three_lines())
        .when(refuse(900))
        .then_refused(Refusal::ShipmentState { shipment_id, status: ShipmentStatus::Dispatched });
}

#[test]
fn tracking_keeps_what_is_not_named() {
    let track = |carrier: Option<&str>, tracking: Option<&str>| Command::UpdateTracking {
        shipment_id: ShipmentId(id(900)),
        carrier: carrier.map(str::to_owned),
        tracking: tracking.map(str::to_owned),
    };
    let order = shipped(three_lines()).after([track(Some("DHL"), None), track(None, Some("7"))]);
    let shipment = &order.look().shipments[&ShipmentId(id(900))];
    assert_eq!(shipment.carrier.as_deref(), Some("DHL"));
    assert_eq!(shipment.tracking.as_deref(), Some("7"));
    order.when(track(Some("DHL"), Some("7"))).then_nothing();
}

#[test]
fn a_shipment_is_requested_with_its_lines_and_their_value() {
    let command = request_shipment(1, Some(vec![units(L2, 2), units(L1, 1)]));
    let (_, shipment) = requested(confirmed(three_lines()), command);
    let expected = ShipmentRequested {
        shipment_id: ShipmentId(id(1)),
        lines: vec![LineValue { line_id: L1, qty: 1, amount: 1_000 }, LineValue { line_id: L2, qty: 2, amount: 400 }],
        location: "main".parse().unwrap(),
        shipping: 500,
        to_capture: 1_900,
        captures: vec![event::PaymentShare { payment_id: payment_id(), amount: 1_900 }],
        ship_to: None,
        carrier: None,
        tracking: None,
        asked: shipment.asked,
    };
    assert_eq!(shipment, expected);
}
