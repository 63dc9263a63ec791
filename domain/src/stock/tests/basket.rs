//! An order takes over a reservation that no order asked for: what it holds here is the order's before it is anybody else's.

use super::*;
use crate::stock::event::ReservationOrdered;

/// A reservation of so many units that no order asked for.
fn basket(n: u128, qty: u32) -> Command {
    Command::Reserve(Reserve { order_id: None, ..wish(n, &[share(0, qty)]) })
}

/// A reserve of order `n` that takes over basket `of`.
fn taking(n: u128, of: u128, lines: &[LineShare]) -> Command {
    Command::Reserve(Reserve { basket: Some(reservation(of)), ..wish(n, lines) })
}

fn ordered(n: u128, of: u128, lines: &[LineShare], freed: u32) -> Event {
    Event::ReservationOrdered(ReservationOrdered {
        reservation_id: reservation(of),
        order_id: OrderId(Uuid::from_u128(n)),
        held_by: reservation(n),
        qty: lines.iter().map(|share| share.qty).sum(),
        lines: lines.to_vec(),
        freed,
        backordered: 0,
        expires_at: Some(LATER),
    })
}

#[test]
fn the_last_units_become_the_orders_and_nobody_elses() {
    let taken = with(3)
        .after([basket(7, 3)])
        .when(reserve(2, &[share(1, 1)]))
        .then_refused(out_of_stock(1, 0))
        .when(taking(1, 7, &[share(1, 1), share(2, 2)]))
        .then([ordered(1, 7, &[share(1, 1), share(2, 2)], 0)]);
    assert_eq!(numbers(&taken), (3, 3, 0, 0));
    assert_eq!(taken.peek().end_of(reservation(7)), Some(End::Ordered));
    taken
        .when(Command::Expire { reservation_id: reservation(7) })
        .then_nothing()
        .when(taking(2, 7, &[share(1, 1)]))
        .then_refused(out_of_stock(1, 0))
        .when(ship(1, 1, &[share(1, 1), share(2, 2)]))
        .then([shipped(1, 1, &[share(1, 1), share(2, 2)])]);
}

#[test]
fn what_the_order_does_not_need_is_free_and_goes_to_those_who_wait() {
    with(3).after([basket(7, 3)]).when(taking(1, 7, &[share(1, 1)])).then([ordered(1, 7, &[share(1, 1)], 2)]);
    let served = with(3)
        .after([terms(0, 5), basket(7, 3), reserve(2, &[share(10, 5)])])
        .when(taking(1, 7, &[share(1, 1)]))
        .then([ordered(1, 7, &[share(1, 1)], 2), allocated(2, 10, 2)]);
    assert_eq!(numbers(&served), (3, 3, 3, 0));
}

#[test]
fn what_the_order_needs_beyond_it_is_held_or_promised_as_ever() {
    with(5)
        .after([basket(7, 3)])
        .when(taking(1, 7, &[share(1, 2), share(2, 3)]))
        .then([ordered(1, 7, &[share(1, 2), share(2, 1)], 0), reserved(1, &[share(2, 2)])]);
    with(4)
        .after([basket(7, 3)])
        .when(taking(1, 7, &[share(1, 5)]))
        .then_refused(out_of_stock(5, 4))
        .when(Command::Expire { reservation_id: reservation(7) })
        .then_with(|events| assert_eq!(events.len(), 1));
    // Others wait for what comes: the order's promised units come after theirs, whenever the basket was filled.
    let waits = with(4)
        .after([terms(0, 9), basket(7, 3), reserve(2, &[share(10, 2)])])
        .when(taking(1, 7, &[share(10, 4)]))
        .then([backordered(1, &[share(10, 1)]), ordered(1, 7, &[share(10, 3)], 0)]);
    assert_eq!(numbers(&waits), (4, 4, 2, 0));
    waits.when(receive(1)).then([Event::Received(Received { qty: 1, source_ref: None }), allocated(2, 10, 1)]);
}

#[test]
fn it_keeps_its_place_before_those_who_came_later() {
    let count = |counted| Command::Count { counted, accept_shortage: true };
    let taken = with(6).after([basket(7, 3), reserve(2, &[share(1, 3)]), taking(1, 7, &[share(1, 3)]), count(4)]);
    let short = Short { reservation_id: reservation(2), order_id: order(2), qty: 2 };
    assert_eq!(taken.peek().shortage(), vec![short]);
}

#[test]
fn units_without_stock_are_nobodys_to_take_over() {
    let count = |counted| Command::Count { counted, accept_shortage: true };
    let short = || with(6).after([reserve(2, &[share(1, 3)]), basket(7, 3), count(4)]);
    short().when(taking(1, 7, &[share(1, 2)])).then_refused(out_of_stock(2, 1));
    let taken = short().when(taking(1, 7, &[share(1, 1)])).then([ordered(1, 7, &[share(1, 1)], 2)]);
    assert_eq!((numbers(&taken), taken.peek().shortage()), ((4, 4, 0, 0), vec![]));
    let gone = ReservationReleased {
        reservation_id: reservation(7),
        order_id: None,
        qty: 3,
        backordered: 0,
        lines: vec![],
        whole: true,
        release_id: Uuid::from_u128(1),
        expires_at: None,
        reason: "ordered".into(),
    };
    short()
        .after([terms(0, 9), count(3)])
        .when(taking(1, 7, &[share(10, 2)]))
        .then([backordered(1, &[share(10, 2)]), Event::ReservationReleased(gone)]);
}

#[test]
fn only_what_no_order_holds_is_taken_over() {
    with(3).after([reserve(3, &[share(1, 3)])]).when(taking(1, 3, &[share(1, 1)])).then_refused(out_of_stock(1, 0));
    with(3).when(taking(1, 7, &[share(1, 1)])).then([reserved(1, &[share(1, 1)])]);
}
