//! Shortages: held units that there is no stock for wait for it again, and are held again once it comes.

use super::*;
use crate::stock::event::ReservationDeferred;

fn defer(n: u128, lines: &[LineShare]) -> Command {
    Command::Defer {
        reservation_id: reservation(n),
        order_id: OrderId(Uuid::from_u128(n)),
        lines: lines.to_vec(),
        reason: "counted short".into(),
    }
}

fn deferred(n: u128, lines: &[LineShare]) -> Event {
    Event::ReservationDeferred(ReservationDeferred {
        reservation_id: reservation(n),
        order_id: order(n),
        qty: lines.iter().map(|share| share.qty).sum(),
        lines: lines.to_vec(),
        reason: "counted short".into(),
    })
}

/// Two orders of four, and a count that leaves five: the newer one is short of three.
fn short() -> Given<Stock> {
    let count = Command::Count { counted: 5, accept_shortage: true };
    with(8).after([terms(0, 0), reserve(1, &[share(1, 4)]), reserve(2, &[share(1, 3), share(2, 1)]), count])
}

#[test]
fn what_there_is_no_stock_for_waits_for_it_and_is_held_again_when_it_comes() {
    let waits = short().when(defer(2, &[share(1, 3)])).then([deferred(2, &[share(1, 3)])]);
    assert_eq!(numbers(&waits), (5, 5, 3, 0));
    assert_eq!(waits.peek().shortage(), vec![]);
    // Beyond the limit, which is 0 here, nobody else can wait.
    let waits = waits.when(reserve(3, &[share(10, 1)])).then_refused(out_of_stock(1, 0));
    let served = waits
        .when(receive(2))
        .then([Event::Received(Received { qty: 2, source_ref: None }), allocated(2, 1, 2)])
        .when(ship(1, 2, &[share(1, 2), share(2, 1)]))
        .then([shipped(1, 2, &[share(1, 2), share(2, 1)])]);
    assert_eq!(numbers(&served), (4, 4, 1, 0));
}

#[test]
fn an_older_promise_keeps_its_place_when_it_waits_again() {
    let waits = short().after([terms(0, 9), reserve(3, &[share(10, 1)]), defer(1, &[share(1, 3)])]);
    waits.when(receive(1)).then([Event::Received(Received { qty: 1, source_ref: None }), allocated(1, 1, 1)]);
}

#[test]
fn no_more_waits_than_there_is_no_stock_for() {
    short().when(defer(2, &[share(1, 3), share(2, 1)])).then_refused(Refusal::NotShort { wanted: 4, short: 3 });
    with(4)
        .after([reserve(1, &[share(1, 4)])])
        .when(defer(1, &[share(1, 1)]))
        .then_refused(Refusal::NotShort { wanted: 1, short: 0 });
    short().when(defer(2, &[share(1, 5)])).then_refused(Refusal::NotReserved { wanted: 5, reserved: 4 });
    short().when(defer(9, &[share(1, 1)])).then_refused(Refusal::NotReserved { wanted: 1, reserved: 0 });
}
