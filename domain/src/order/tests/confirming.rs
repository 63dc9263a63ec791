//! The facts of stock and money, and the order's confirmation, rejection or completion.

use super::*;
use crate::order::event::RejectReason;
use crate::order::refusal::{Refusal, ReservedUnits};
use crate::order::state::{Status, StockStatus};

fn reject() -> Command {
    Command::Reject {
        reason: RejectReason::PaymentDeclined,
        detail: Some("do_not_honour".to_owned()),
        shortfalls: Vec::new(),
        payment: None,
    }
}

fn wrong_state(status: Status, cancelling: bool) -> Refusal {
    Refusal::OrderState { status, cancelling }
}

#[test]
fn what_is_no_ware_can_ship_as_soon_as_it_is_confirmed() {
    let order = pending(three_lines());
    assert_eq!(order.look().lines[&L3].reserved, 0);
    let order = order.after([confirm(4_900)]);
    assert_eq!(order.look().lines[&L3].reserved, 1);
    assert_eq!(order.look().lines[&L1].reserved, 0);
    assert_eq!(order.look().payment().authorised, 4_900);
    assert_eq!(order.look().payment_status(), PaymentStatus::Authorised);
}

#[test]
fn confirming_twice_adds_nothing_and_needs_the_money() {
    pending(three_lines()).when(confirm(4_899)).then_refused(Refusal::NotPaid { needed: 4_900, available: 4_899 });
    pending(three_lines()).when(confirm(4_900)).then_with(|events| assert_eq!(events.len(), 1));
    let mut later = three_lines();
    later.payment.capture = Capture::PayLater;
    pending(later).when(confirm(0)).then_with(|events| assert_eq!(events.len(), 1));
}

#[test]
fn an_order_that_is_being_cancelled_is_not_confirmed() {
    let order = pending(three_lines()).after([cancel(1, None)]);
    assert!(order.look().cancelling());
    order.when(confirm(4_900)).then_refused(wrong_state(Status::Pending, true));
}

#[test]
fn only_a_pending_order_is_rejected() {
    let order = pending(three_lines()).after([record_reserved(&[(L1, 3)], &[])]);
    let order = order.when(reject()).then_with(|events| {
        assert!(matches!(events, [Event::Rejected(_)]));
    });
    assert_eq!(order.look().stock_status(), StockStatus::Released);
    assert_eq!(order.look().owed(), 0);
    order.when(confirm(4_900)).then_refused(wrong_state(Status::Rejected, false));
    confirmed(three_lines()).when(reject()).then_refused(wrong_state(Status::Confirmed, false));
}

#[test]
fn stock_told_twice_is_counted_once() {
    let tell = record_reserved(&[(L1, 3), (L2, 4)], &[(L2, 1)]);
    let order = pending(three_lines()).after([tell.clone()]);
    let lines = &order.look().lines;
    assert_eq!((lines[&L2].reserved, lines[&L2].backordered), (4, 1));
    assert_eq!(order.look().stock_status(), StockStatus::Backordered);
    order.when(tell).then_nothing();
}

#[test]
fn no_more_is_reserved_than_is_ordered_and_only_ware() {
    let order = pending(three_lines()).after([record_reserved(&[(L1, 9), (L3, 1)], &[(L1, 2)])]);
    let lines = &order.look().lines;
    assert_eq!((lines[&L1].reserved, lines[&L1].backordered), (3, 0));
    assert_eq!(lines[&L3].reserved, 0);
    assert_eq!(order.look().stock_status(), StockStatus::PartReserved);
}

#[test]
fn stock_that_came_goes_to_what_waited_for_it() {
    let order = pending(three_lines()).after([record_reserved(&[(L1, 3), (L2, 2)], &[(L2, 3)])]);
    let allocated = |qty| Command::RecordAllocated { reservation_id: reservation_id(), lines: vec![at_main(L2, qty)] };
    let order = order.after([allocated(1), allocated(9)]);
    let line = &order.look().lines[&L2];
    assert_eq!((line.reserved, line.backordered), (5, 0));
    assert_eq!(order.look().stock_status(), StockStatus::Reserved);
    order.when(allocated(1)).then_nothing();
}

#[test]
fn what_is_held_and_not_there_waits_again_all_of_it_or_nothing() {
    let deferred =
        |lines: &[LineQty]| Command::RecordDeferred { lines: lines.to_vec(), reason: "counted short".to_owned() };
    let order = || confirmed(three_lines());
    let location = order().look().location.clone();
    let missing = |lines| Refusal::NotReserved { location: location.clone(), lines };
    let waits = order().when(deferred(&[at_main(L1, 2)])).then_with(|events| assert_eq!(events.len(), 2));
    let line = &waits.look().lines[&L1];
    assert_eq!((line.reserved, line.backordered, line.unassigned()), (1, 2, 0));
    let short = |asked, reserved| missing(vec![ReservedUnits { line_id: L1, asked, reserved }]);
    waits.when(deferred(&[at_main(L2, 1), at_main(L1, 2)])).then_refused(short(2, 1));
    order().when(deferred(&[])).then_refused(missing(vec![]));
    // What a shipment takes does not wait.
    order()
        .after([request_shipment(1, Some(vec![units(L1, 2)]))])
        .when(deferred(&[at_main(L1, 2)]))
        .then_refused(short(2, 1));
    pending(three_lines())
        .after([record_reserved(&[(L1, 3)], &[])])
        .when(deferred(&[at_main(L1, 1)]))
        .then_refused(Refusal::OrderState { status: Status::Pending, cancelling: false });
}

#[test]
fn what_is_not_held_any_more_is_open_again() {
    let order = pending(three_lines()).after([record_reserved(&[(L2, 2)], &[(L2, 3)])]);
    let unreserved = |qty| Command::RecordUnreserved {
        reservation_id: reservation_id(),
        lines: vec![at_main(L2, qty)],
        reason: "expired".to_owned(),
    };
    let order = order.after([unreserved(3)]);
    let line = &order.look().lines[&L2];
    assert_eq!((line.reserved, line.backordered), (0, 2));
    assert_eq!(line.unassigned(), 3);
    let order = order.after([unreserved(9)]);
    assert_eq!(order.look().stock_status(), StockStatus::Released);
    order.when(unreserved(1)).then_nothing();
}

#[test]
fn an_order_that_ended_is_told_that_it_holds_nothing() {
    pending(three_lines())
        .after([reject()])
        .when(record_reserved(&[(L1, 3)], &[]))
        .then_refused(wrong_state(Status::Rejected, false));
}

#[test]
fn an_order_is_completed_when_nothing_is_left_to_ship() {
    let order = confirmed(three_lines())
        .after([request_shipment(900, None), payment(PaymentStatus::Captured, 9, [4_900, 4_900, 0])]);
    let order = order.when(dispatch(900)).then_with(|events| {
        assert!(matches!(events, [Event::ShipmentDispatched(_), Event::Completed(_)]), "{events:?}");
    });
    order.when(cancel(1, None)).then_refused(Refusal::AlreadyShipped {
        line_id: None,
        shipped: 9,
        in_shipment: 0,
        open: 0,
    });
}
