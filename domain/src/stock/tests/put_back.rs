//! Shipments that do not leave after all, and what is asked before one is requested.

use super::*;

fn put_back(n: u128, order: u128, lines: &[LineShare], release: bool) -> Command {
    Command::PutBack {
        shipment_id: shipment(n),
        reservation_id: reservation(order),
        order_id: super::order(order),
        lines: lines.to_vec(),
        release,
    }
}

fn back(n: u128, order: u128, lines: &[LineShare], released: bool) -> Event {
    Event::ShipmentPutBack(ShipmentPutBack {
        shipment_id: shipment(n),
        reservation_id: reservation(order),
        order_id: super::order(order),
        qty: lines.iter().map(|share| share.qty).sum(),
        lines: lines.to_vec(),
        released,
    })
}

#[test]
fn what_a_shipment_took_is_held_again_once() {
    let left = with(10).after([reserve(1, &[share(1, 3), share(2, 2)]), ship(1, 1, &[share(1, 3), share(2, 2)])]);
    assert_eq!(left.peek().end_of(reservation(1)), Some(End::Shipped));
    let again = left.when(put_back(1, 1, &[share(1, 3), share(2, 2)], false)).then([back(
        1,
        1,
        &[share(1, 3), share(2, 2)],
        false,
    )]);
    assert_eq!(numbers(&again), (10, 5, 0, 5));
    assert_eq!(again.peek().end_of(reservation(1)), None);
    let other = again
        .when(put_back(1, 1, &[share(1, 3)], true))
        .then_nothing()
        .when(ship(2, 1, &[share(1, 3), share(2, 2)]))
        .then([shipped(2, 1, &[share(1, 3), share(2, 2)])]);
    assert_eq!(numbers(&other), (5, 0, 0, 5));
    other.when(ship(1, 1, &[share(1, 1)])).then_refused(Refusal::ShipmentPutBack { shipment_id: shipment(1) });
}

#[test]
fn what_is_put_back_goes_to_each_reservation_that_it_came_from() {
    let edit = Command::Reserve(Reserve { order_id: order(1), ..wish(2, &[share(1, 2)]) });
    let left = with(10).after([reserve(1, &[share(1, 3)]), edit, ship(1, 1, &[share(1, 5)])]);
    let of_edit = match back(1, 2, &[share(1, 2)], false) {
        Event::ShipmentPutBack(event) => Event::ShipmentPutBack(ShipmentPutBack { order_id: order(1), ..event }),
        other => other,
    };
    let again = left.when(put_back(1, 1, &[share(1, 5)], false)).then([back(1, 1, &[share(1, 3)], false), of_edit]);
    let held = |n| again.peek().reservations[&reservation(n)].reserved();
    assert_eq!((held(1), held(2)), (3, 2));
}

#[test]
fn a_reservation_keeps_its_place_when_its_units_come_back() {
    let count = Command::Count { counted: 3, accept_shortage: true };
    let short = with(4)
        .after([reserve(1, &[share(1, 2)]), reserve(2, &[share(1, 2)]), ship(1, 1, &[share(1, 2)])])
        .after([put_back(1, 1, &[share(1, 2)], false), count])
        .peek()
        .shortage();
    assert_eq!(short, vec![Short { reservation_id: reservation(2), order_id: order(2), qty: 1 }]);
}

#[test]
fn what_nobody_needs_any_more_goes_to_those_who_wait() {
    let waiting = with(2).after([reserve(1, &[share(1, 2)]), ship(1, 1, &[share(1, 2)]), reserve(2, &[share(10, 1)])]);
    let served = waiting
        .when(put_back(1, 1, &[share(1, 2)], true))
        .then([back(1, 1, &[share(1, 2)], true), allocated(2, 10, 1)]);
    assert_eq!(numbers(&served), (2, 1, 0, 1));
    assert_eq!(served.peek().end_of(reservation(1)), Some(End::Shipped));
}

#[test]
fn a_shipment_put_back_before_it_left_never_leaves() {
    let held = || with(3).after([reserve(1, &[share(1, 3)]), reserve(2, &[share(10, 1)])]);
    let kept = held().when(put_back(1, 1, &[share(1, 2)], false)).then([back(1, 1, &[], false)]);
    assert_eq!(numbers(&kept), (3, 3, 1, 0));
    kept.when(ship(1, 1, &[share(1, 2)])).then_refused(Refusal::ShipmentPutBack { shipment_id: shipment(1) });
    let let_go = Event::ReservationReleased(ReservationReleased {
        reservation_id: reservation(1),
        order_id: order(1),
        qty: 2,
        backordered: 0,
        lines: vec![LetGo { line_id: LineId(1), qty: 2, backordered: 0 }],
        whole: false,
        release_id: shipment(1).0,
        expires_at: None,
        reason: "shipment put back".into(),
    });
    let served =
        held().when(put_back(1, 1, &[share(1, 2)], true)).then([back(1, 1, &[], true), let_go, allocated(2, 10, 1)]);
    assert_eq!(numbers(&served), (3, 2, 0, 1));
    held().when(put_back(1, 1, &[], true)).then_refused(Refusal::InvalidQuantity { qty: 0 });
}

#[test]
fn a_shipment_of_another_order_is_not_put_back() {
    let left = with(3).after([reserve(1, &[share(1, 2)]), ship(1, 1, &[share(1, 2)])]);
    left.when(put_back(1, 2, &[share(1, 2)], false)).then_nothing();
}

#[test]
fn units_are_put_back_in_a_batch_that_has_room_for_two_thousand_stocks() {
    let waiting = with(50).after([reserve(1, &[share(1, 50)]), terms(0, 50)]);
    let waiting = waiting.after((2..=50).map(|n| reserve(n, &[share(10, 1)])));
    let never = waiting.peek().decide(&put_back(1, 1, &[share(1, 50)], true)).unwrap();
    let left = waiting.after([ship(1, 1, &[share(1, 50)])]);
    let after = left.peek().decide(&put_back(1, 1, &[share(1, 50)], true)).unwrap();
    for events in [never, after] {
        assert!(2_000 * events.len() <= 8_192, "{} events of one stock", events.len());
        let last = events.last();
        assert!(matches!(last, Some(Event::BackorderAllocated(BackorderAllocated { more: true, .. }))), "{last:?}");
    }
}

#[test]
fn what_a_reserve_would_be_told_can_be_asked_before() {
    let check = |lines: &[LineShare], may_wait: &[u32]| Command::CheckAvailable {
        sku: sku(),
        location: here(),
        lines: lines.to_vec(),
        backorder_ok: may_wait.iter().map(|line| LineId(*line)).collect(),
    };
    let sold = || with(4).after([terms(0, 2), reserve(1, &[share(1, 3)])]);
    sold().when(check(&[share(1, 1)], &[])).then_nothing();
    sold().when(check(&[share(1, 1), share(1, 1)], &[])).then_refused(out_of_stock(2, 1));
    sold().when(check(&[share(1, 3)], &[1])).then_nothing();
    sold().when(check(&[share(1, 4)], &[1])).then_refused(out_of_stock(4, 3));
    given::<Stock>([]).when(check(&[share(1, 1)], &[1])).then_refused(out_of_stock(1, 0));
    sold().when(check(&[], &[])).then_refused(Refusal::InvalidQuantity { qty: 0 });
}

#[test]
fn what_a_shipment_would_be_told_can_be_asked_before() {
    let check = |qty| Command::CheckShippable { qty };
    let short = || with(4).after([reserve(1, &[share(1, 4)]), Command::Count { counted: 3, accept_shortage: true }]);
    short().when(check(3)).then_nothing();
    short().when(check(4)).then_refused(Refusal::ExceedsOnHand { wanted: 4, on_hand: 3 });
    short().when(check(0)).then_refused(Refusal::InvalidQuantity { qty: 0 });
    given::<Stock>([]).when(check(1)).then_refused(Refusal::ExceedsOnHand { wanted: 1, on_hand: 0 });
}
