//! The rules of stock, one by one, told as given, when, then.
#![expect(clippy::unwrap_used, reason = "tests")]

use uuid::Uuid;

use super::command::{Command, Reserve};
use super::event::{
    Adjusted, BackorderAllocated, Backordered, Counted, Event, LetGo, LineShare, Received, Registered,
    ReservationExpired, ReservationExtended, ReservationReleased, Reserved, Returned, ShipmentPutBack, Shipped,
    WrittenOff,
};
use super::refusal::{Refusal, Shortfall};
use super::state::{End, REMEMBERED, REMEMBERED_SHIPMENTS, Short, Stock};
use crate::Aggregate;
use crate::ids::{LineId, LocationId, OrderId, ReservationId, ReturnId, ShipmentId, Sku};
use crate::laws;
use crate::testing::{Given, Named, given};
use crate::time::Timestamp;

impl Named for Command {
    fn names_what_it_makes(&self) -> bool {
        !matches!(self, Self::Receive { .. } | Self::Count { .. } | Self::Allocate {} | Self::Defer { .. })
    }
}

const NOON: Timestamp = Timestamp::from_micros(1_000_000_000);
const LATER: Timestamp = NOON.plus_seconds(900);
const MUCH_LATER: Timestamp = NOON.plus_seconds(9_000);

fn sku() -> Sku {
    Sku::try_new("85123A").unwrap()
}

fn here() -> LocationId {
    LocationId::try_new("main").unwrap()
}

fn order(n: u128) -> Option<OrderId> {
    Some(OrderId(Uuid::from_u128(n)))
}

fn reservation(n: u128) -> ReservationId {
    ReservationId(Uuid::from_u128(n + 100))
}

fn shipment(n: u128) -> ShipmentId {
    ShipmentId(Uuid::from_u128(n + 200))
}

fn cause(n: u128) -> Uuid {
    Uuid::from_u128(n + 300)
}

fn share(line: u32, qty: u32) -> LineShare {
    LineShare { line_id: LineId(line), qty }
}

fn terms(safety_stock: u32, backorder_limit: u32) -> Command {
    Command::Register { sku: sku(), location: here(), safety_stock, backorder_limit }
}

fn receive(qty: u32) -> Command {
    Command::Receive { sku: sku(), location: here(), qty, source_ref: None }
}

/// A reserve of order `n`, whose lines of at least 10 may wait.
fn wish(n: u128, lines: &[LineShare]) -> Reserve {
    let may_wait = lines.iter().map(|share| share.line_id);
    Reserve {
        reservation_id: reservation(n),
        sku: sku(),
        location: here(),
        order_id: order(n),
        lines: lines.to_vec(),
        backorder_ok: may_wait.filter(|line| line.0 >= 10).collect(),
        allow_partial: false,
        expires_at: Some(LATER),
        now: NOON,
        basket: None,
    }
}

fn reserve(n: u128, lines: &[LineShare]) -> Command {
    Command::Reserve(wish(n, lines))
}

fn reserved(n: u128, lines: &[LineShare]) -> Event {
    Event::Reserved(Reserved {
        reservation_id: reservation(n),
        order_id: order(n),
        qty: lines.iter().map(|share| share.qty).sum(),
        lines: lines.to_vec(),
        expires_at: Some(LATER),
        forgotten_until: None,
    })
}

fn backordered(n: u128, lines: &[LineShare]) -> Event {
    Event::Backordered(Backordered {
        reservation_id: reservation(n),
        order_id: order(n),
        qty: lines.iter().map(|share| share.qty).sum(),
        lines: lines.to_vec(),
        expected_at: None,
    })
}

fn allocated(n: u128, line: u32, qty: u32) -> Event {
    Event::BackorderAllocated(BackorderAllocated {
        reservation_id: reservation(n),
        order_id: order(n),
        line_id: Some(LineId(line)),
        qty,
        more: false,
    })
}

/// A release of units, held ones if lines are named.
fn release(n: u128, qty: Option<u32>, lines: &[LineShare], by: u128) -> Command {
    let held = lines.iter().map(|it| LetGo { line_id: it.line_id, qty: it.qty, backordered: 0 });
    release_of(n, qty, held.collect(), by)
}

fn release_of(n: u128, qty: Option<u32>, lines: Vec<LetGo>, by: u128) -> Command {
    Command::Release {
        reservation_id: reservation(n),
        order_id: order(n),
        qty,
        lines,
        release_id: cause(by),
        expires_at: Some(LATER),
        reason: "cancelled".into(),
    }
}

/// A release of everything that is left: `qty` held units and `backordered` promised ones.
fn released(n: u128, qty: u32, backordered: u32, by: u128) -> Event {
    Event::ReservationReleased(ReservationReleased {
        reservation_id: reservation(n),
        order_id: order(n),
        qty,
        backordered,
        lines: vec![],
        whole: true,
        release_id: cause(by),
        expires_at: None,
        reason: "cancelled".into(),
    })
}

fn released_part(n: u128, lines: &[LetGo], by: u128) -> Event {
    Event::ReservationReleased(ReservationReleased {
        reservation_id: reservation(n),
        order_id: order(n),
        qty: lines.iter().map(|line| line.qty).sum(),
        backordered: lines.iter().map(|line| line.backordered).sum(),
        lines: lines.to_vec(),
        whole: false,
        release_id: cause(by),
        expires_at: None,
        reason: "cancelled".into(),
    })
}

fn ship(by: u128, n: u128, lines: &[LineShare]) -> Command {
    Command::Ship {
        shipment_id: shipment(by),
        reservation_id: reservation(n),
        order_id: order(n),
        lines: lines.to_vec(),
    }
}

fn shipped(by: u128, n: u128, lines: &[LineShare]) -> Event {
    Event::Shipped(Shipped {
        shipment_id: shipment(by),
        reservation_id: reservation(n),
        order_id: order(n),
        qty: lines.iter().map(|share| share.qty).sum(),
        lines: lines.to_vec(),
    })
}

fn out_of_stock(wanted: u32, available: u32) -> Refusal {
    Refusal::OutOfStock(Shortfall { sku: sku(), location: here(), wanted, available })
}

/// On hand, reserved, backordered, available.
fn numbers(stock: &Given<Stock>) -> (u32, u32, u32, u32) {
    let stock = stock.peek();
    assert_eq!(laws::Watched::of(stock.clone()).end(), Ok(()));
    (stock.on_hand, stock.reserved, stock.backordered, stock.available())
}

fn with(qty: u32) -> Given<Stock> {
    given::<Stock>([]).after([terms(0, 5), receive(qty)])
}

#[test]
fn the_first_receipt_registers_the_sku() {
    given::<Stock>([]).when(receive(10)).then([
        Event::Registered(Registered { sku: sku(), location: here(), safety_stock: 0, backorder_limit: 0 }),
        Event::Received(Received { qty: 10, source_ref: None }),
    ]);
    with(1).when(terms(0, 5)).then_nothing();
    with(1).when(receive(0)).then_refused(Refusal::InvalidQuantity { qty: 0 });
    with(1).when(receive(1_000_000_000)).then_refused(Refusal::InvalidQuantity { qty: 1_000_000_001 });
}

#[test]
fn a_reservation_holds_what_is_available_and_no_more() {
    let lines = [share(1, 3), share(2, 4)];
    let held = with(10).when(reserve(1, &lines)).then([reserved(1, &lines)]);
    assert_eq!(numbers(&held), (10, 7, 0, 3));
    held.when(reserve(2, &[share(1, 4)])).then_refused(out_of_stock(4, 3));
    given::<Stock>([]).when(reserve(1, &[share(1, 1)])).then_refused(out_of_stock(1, 0));
    given::<Stock>([])
        .after([terms(4, 0), receive(10)])
        .when(reserve(1, &[share(1, 7)]))
        .then_refused(out_of_stock(7, 6));
    with(10).when(reserve(1, &[])).then_refused(Refusal::InvalidQuantity { qty: 0 });
}

#[test]
fn lines_of_one_number_are_summed_before_they_are_reserved() {
    with(10).when(reserve(1, &[share(1, 6), share(1, 6)])).then_refused(out_of_stock(12, 10));
    with(12).when(reserve(1, &[share(1, 6), share(1, 6)])).then([reserved(1, &[share(1, 12)])]);
}

#[test]
fn lines_that_cannot_wait_are_served_before_lines_that_can() {
    let wish = [share(10, 6), share(1, 6)];
    let held = with(8)
        .when(reserve(1, &wish))
        .then([reserved(1, &[share(1, 6), share(10, 2)]), backordered(1, &[share(10, 4)])]);
    assert_eq!(numbers(&held), (8, 8, 4, 0));
    // One unit of the limit of five is left.
    held.when(reserve(2, &[share(10, 2)])).then_refused(out_of_stock(2, 1));
}

#[test]
fn less_may_be_allowed_and_is_not_topped_up_by_asking_again() {
    let partial = Command::Reserve(Reserve { allow_partial: true, ..wish(1, &[share(1, 6), share(2, 6)]) });
    with(8)
        .when(partial.clone())
        .then([reserved(1, &[share(1, 6), share(2, 2)])])
        .after([receive(10)])
        .when(partial.clone())
        .then_nothing();
    given::<Stock>([]).when(partial).then_nothing();
}

#[test]
fn a_line_that_an_edit_added_joins_its_reservation() {
    with(10).after([reserve(1, &[share(1, 3)])]).when(reserve(1, &[share(2, 4)])).then([reserved(1, &[share(2, 4)])]);
}

#[test]
fn a_release_that_overtakes_its_reserve_leaves_a_tombstone_until_the_reserve_is_too_late() {
    let tombstone = Event::ReservationReleased(ReservationReleased {
        reservation_id: reservation(1),
        order_id: order(1),
        qty: 0,
        backordered: 0,
        lines: vec![],
        whole: true,
        release_id: cause(1),
        expires_at: Some(LATER),
        reason: "cancelled".into(),
    });
    let over = with(10).when(release(1, None, &[], 1)).then([tombstone]);
    over.when(reserve(1, &[share(1, 1)])).then_refused(Refusal::ReservationEnded { reservation_id: reservation(1) });
    let late = Command::Reserve(Reserve { now: LATER, ..wish(1, &[share(1, 1)]) });
    with(10).when(late).then_refused(Refusal::ReservationEnded { reservation_id: reservation(1) });
    // Another reserve, after its time, forgets it.
    let next = Command::Reserve(Reserve { now: MUCH_LATER, expires_at: None, ..wish(2, &[share(1, 1)]) });
    let forgotten = with(10).after([release(1, None, &[], 1), next]);
    assert!(forgotten.peek().tombstones.is_empty());
}

#[test]
fn a_reservation_that_ended_cannot_begin_again() {
    let ended = with(10)
        .after([reserve(1, &[share(1, 3)])])
        .when(release(1, None, &[], 1))
        .then([released(1, 3, 0, 1)])
        .when(release(1, None, &[], 2))
        .then_nothing()
        .when(Command::Expire { reservation_id: reservation(1) })
        .then_nothing();
    assert_eq!(ended.peek().end_of(reservation(1)), Some(End::Released));
    ended.when(reserve(1, &[share(1, 3)])).then_refused(Refusal::ReservationEnded { reservation_id: reservation(1) });
}

#[test]
fn a_reservation_expires_and_frees_its_units() {
    let expired = with(3)
        .after([reserve(1, &[share(10, 5)])])
        .when(Command::Expire { reservation_id: reservation(1) })
        .then([Event::ReservationExpired(ReservationExpired {
            reservation_id: reservation(1),
            order_id: order(1),
            qty: 3,
            backordered: 2,
        })]);
    assert_eq!(numbers(&expired), (3, 0, 0, 3));
}

#[test]
fn a_reservation_is_extended_and_never_shortened() {
    let extend = |n, expires_at| Command::Extend { reservation_id: reservation(n), expires_at };
    let held = || with(3).after([reserve(1, &[share(1, 1)])]);
    held()
        .when(extend(1, MUCH_LATER))
        .then([Event::ReservationExtended(ReservationExtended {
            reservation_id: reservation(1),
            expires_at: MUCH_LATER,
        })])
        .when(extend(1, LATER))
        .then_nothing();
    held().when(extend(2, LATER)).then_refused(Refusal::ReservationNotFound { reservation_id: reservation(2) });
    held()
        .after([release(1, None, &[], 1)])
        .when(extend(1, MUCH_LATER))
        .then_refused(Refusal::ReservationEnded { reservation_id: reservation(1) });
}

#[test]
fn units_let_go_are_promised_ones_first_and_go_to_the_oldest_promise() {
    let waiting =
        || with(4).after([reserve(1, &[share(1, 2)]), reserve(2, &[share(10, 3)]), reserve(3, &[share(10, 2)])]);
    assert_eq!(numbers(&waiting()), (4, 4, 3, 0));
    let let_go = |qty, backordered| LetGo { line_id: LineId(10), qty, backordered };
    // Of order 2, one unit waits and two are held.
    waiting().when(release(2, Some(2), &[], 1)).then([released_part(2, &[let_go(1, 1)], 1), allocated(3, 10, 1)]);
    let served =
        waiting().when(release(1, None, &[], 1)).then([released(1, 2, 0, 1), allocated(2, 10, 1), allocated(3, 10, 1)]);
    assert_eq!(numbers(&served), (4, 4, 1, 0));
}

#[test]
fn a_release_names_its_lines_and_takes_effect_once() {
    let line = |line, qty| LetGo { line_id: LineId(line), qty, backordered: 0 };
    with(10)
        .after([reserve(1, &[share(1, 3), share(2, 3)])])
        .when(release(1, None, &[share(1, 2)], 1))
        .then([released_part(1, &[line(1, 2)], 1)])
        .when(release(1, None, &[share(1, 3)], 2))
        .then([released_part(1, &[line(1, 1), line(2, 2)], 2)])
        .when(release(1, Some(9), &[], 3))
        .then([released(1, 1, 0, 3)]);
}

#[test]
fn an_orders_units_are_one_wherever_they_are_held() {
    let edit = Command::Reserve(Reserve { order_id: order(1), ..wish(2, &[share(1, 2)]) });
    let both = || with(10).after([reserve(1, &[share(1, 3)]), edit.clone()]);
    let of_edit = |lines: &[LineShare]| match shipped(1, 2, lines) {
        Event::Shipped(event) => Event::Shipped(Shipped { order_id: order(1), ..event }),
        other => other,
    };
    both().when(ship(1, 1, &[share(1, 4)])).then([shipped(1, 1, &[share(1, 3)]), of_edit(&[share(1, 1)])]);
    both().when(release(1, None, &[share(1, 5)], 1)).then_with(|events| assert_eq!(events.len(), 2));
    both().when(ship(1, 1, &[share(1, 6)])).then_refused(Refusal::NotReserved { wanted: 6, reserved: 5 });
}

#[test]
fn units_of_an_order_are_released_by_kind_wherever_they_are() {
    let edit = Command::Reserve(Reserve { order_id: order(1), ..wish(2, &[share(10, 2)]) });
    let released = |qty, backordered| {
        let two = with(1).after([reserve(1, &[share(10, 1)]), edit.clone()]);
        assert_eq!(numbers(&two), (1, 1, 2, 0));
        let mut told = Vec::new();
        two.when(release_of(1, None, vec![LetGo { line_id: LineId(10), qty, backordered }], 1)).then_with(|events| {
            let told_of = |event: &Event| match event {
                Event::ReservationReleased(it) => (it.reservation_id, "released", it.qty, it.backordered),
                Event::BackorderAllocated(it) => (it.reservation_id, "allocated", it.qty, 0),
                other => panic!("{other:?}"),
            };
            told = events.iter().map(told_of).collect();
        });
        told
    };
    let (first, second) = (reservation(1), reservation(2));
    assert_eq!(released(0, 1), [(second, "released", 0, 1)]);
    // The unit that is free serves the order's own promise.
    assert_eq!(released(1, 0), [(first, "released", 1, 0), (second, "allocated", 1, 0)]);
    // If there are too few of one kind, the other is released.
    assert_eq!(released(0, 3), [(first, "released", 1, 0), (second, "released", 0, 2)]);
    assert_eq!(released(2, 0), [(first, "released", 1, 0), (second, "released", 0, 1), (second, "allocated", 1, 0)]);
}

#[test]
fn a_reservation_ships_in_parts_and_ends_with_the_last() {
    let part = with(10)
        .after([reserve(1, &[share(1, 3), share(2, 2)])])
        .when(ship(1, 1, &[share(1, 2)]))
        .then([shipped(1, 1, &[share(1, 2)])]);
    assert_eq!(numbers(&part), (8, 3, 0, 5));
    let all = part.when(ship(2, 1, &[share(1, 1), share(2, 2)])).then([shipped(2, 1, &[share(1, 1), share(2, 2)])]);
    assert_eq!(numbers(&all), (5, 0, 0, 5));
    assert_eq!(all.peek().end_of(reservation(1)), Some(End::Shipped));
    all.when(release(1, None, &[], 1)).then_refused(Refusal::ReservationEnded { reservation_id: reservation(1) });
}

mod basket;
mod put_back;
mod short;

#[test]
fn promised_units_do_not_ship() {
    with(1)
        .after([reserve(1, &[share(10, 3)])])
        .when(ship(1, 1, &[share(10, 2)]))
        .then_refused(Refusal::NotReserved { wanted: 2, reserved: 1 });
}

#[test]
fn a_receipt_serves_the_oldest_promise_first_line_by_line() {
    let waiting = with(1).after([reserve(1, &[share(10, 2), share(11, 1)]), reserve(2, &[share(10, 3)])]);
    assert_eq!(numbers(&waiting), (1, 1, 5, 0));
    let served = waiting.when(receive(3)).then([
        Event::Received(Received { qty: 3, source_ref: None }),
        allocated(1, 10, 1),
        allocated(1, 11, 1),
        allocated(2, 10, 1),
    ]);
    assert_eq!(numbers(&served), (4, 4, 2, 0));
}

#[test]
fn stock_for_ten_thousand_who_wait_goes_to_all_of_them_batch_by_batch() {
    const WAITING: u32 = 10_000;
    let mut stock = Stock::default();
    let run = |stock: &mut Stock, command: Command| {
        let events = stock.decide(&command).unwrap();
        // What a batch of the log takes, with room for what else is in it.
        assert!(events.len() < 8_000, "{} events in one batch", events.len());
        events.iter().for_each(|event| stock.evolve(event));
        events
    };
    run(&mut stock, terms(0, WAITING));
    for n in 1..=u128::from(WAITING) {
        run(&mut stock, reserve(n, &[share(10, 1)]));
    }
    let mut events = run(&mut stock, receive(WAITING + 5));
    let mut served = events.split_off(1);
    while let Some(Event::BackorderAllocated(BackorderAllocated { more: true, .. })) = served.last() {
        // What others wait for is not free, however late they are served.
        assert_eq!(stock.decide(&reserve(20_000, &[share(1, 6)])), Err(out_of_stock(6, 5)));
        assert_eq!(laws::Watched::of(stock.clone()).end(), Ok(()));
        served.extend(run(&mut stock, Command::Allocate {}));
    }
    let oldest_first = served.iter().zip(1..).all(|(event, n)| match event {
        Event::BackorderAllocated(allocated) => allocated.reservation_id == reservation(n),
        _ => false,
    });
    assert!(oldest_first && served.len() == WAITING as usize, "{} are served", served.len());
    assert_eq!((stock.backordered, stock.reserved, stock.available()), (0, WAITING, 5));
    assert_eq!(stock.decide(&Command::Allocate {}), Ok(vec![]));
    assert_eq!(laws::Watched::of(stock.clone()).end(), Ok(()));
}

#[test]
fn what_two_thousand_stocks_let_go_in_one_batch_fits_with_its_allocations() {
    let waiting = with(50).after([terms(0, 50), reserve(1, &[share(1, 50)])]);
    let waiting = waiting.after((2..=50).map(|n| reserve(n, &[share(10, 1)])));
    let returned = Command::Return {
        sku: sku(),
        location: here(),
        return_id: ReturnId(Uuid::from_u128(7)),
        receipt: 1,
        order_id: order(1),
        restock: 50,
        damaged: 1,
    };
    for command in [release(1, None, &[], 1), Command::Expire { reservation_id: reservation(1) }, returned] {
        let events = waiting.peek().decide(&command).unwrap();
        assert!(2_000 * events.len() <= 8_192, "{} events of one stock", events.len());
        let last = events.last();
        assert!(matches!(last, Some(Event::BackorderAllocated(BackorderAllocated { more: true, .. }))), "{last:?}");
    }
}

#[test]
fn what_came_back_is_restocked_and_what_is_damaged_is_written_off() {
    let back = |receipt| Command::Return {
        sku: sku(),
        location: here(),
        return_id: ReturnId(Uuid::from_u128(7)),
        receipt,
        order_id: order(1),
        restock: 2,
        damaged: 1,
    };
    let returned = |receipt| {
        [
            Event::Returned(Returned { return_id: ReturnId(Uuid::from_u128(7)), receipt, order_id: order(1), qty: 3 }),
            Event::WrittenOff(WrittenOff {
                return_id: ReturnId(Uuid::from_u128(7)),
                receipt,
                qty: 1,
                reason: "damaged".into(),
            }),
        ]
    };
    let stock = with(1).when(back(1)).then(returned(1));
    assert_eq!(numbers(&stock), (3, 0, 0, 3));
    stock.when(back(2)).then(returned(2)).when(back(1)).then_nothing();
    let never = || Refusal::NeverKept { sku: sku(), location: here() };
    let check = || Command::CheckKept { sku: sku(), location: here() };
    given::<Stock>([]).when(back(1)).then_refused(never());
    given::<Stock>([]).when(check()).then_refused(never());
    given::<Stock>([]).after([terms(0, 0)]).when(check()).then_nothing().when(back(1)).then(returned(1));
}

fn adjust(delta: i64, expected: u32, accept_shortage: bool, n: u128) -> Command {
    Command::Adjust { delta, reason: "breakage".into(), expected, accept_shortage, adjustment_id: cause(n) }
}

#[test]
fn an_adjustment_says_what_it_believes() {
    with(10).when(adjust(-2, 10, false, 1)).then_with(|events| {
        let [Event::Adjusted(adjusted)] = events else {
            panic!("{events:?}");
        };
        let expected =
            Adjusted { adjustment_id: cause(1), delta: -2, reason: "breakage".into(), asked: adjusted.asked };
        assert_eq!(*adjusted, expected);
    });
    with(10).when(adjust(-2, 9, false, 1)).then_refused(Refusal::StockChanged { expected: 9, on_hand: 10 });
    with(10).when(adjust(-11, 10, true, 1)).then_refused(Refusal::BelowZero { on_hand: 10, delta: -11 });
    with(10).when(adjust(0, 10, false, 1)).then_refused(Refusal::InvalidQuantity { qty: 0 });
    given::<Stock>([]).when(adjust(1, 0, false, 1)).then_refused(Refusal::NotFound);
}

#[test]
fn an_adjustment_under_the_id_of_another_is_refused() {
    let taken = || Refusal::IdTaken { adjustment_id: cause(1) };
    let adjusted = || with(10).after([adjust(-2, 10, false, 1)]);
    adjusted().when(adjust(-2, 10, false, 1)).then_nothing();
    for other in [adjust(-3, 10, false, 1), adjust(-2, 8, false, 1), adjust(-2, 10, true, 1)] {
        adjusted().when(other).then_refused(taken());
    }
    let reason = "counted".to_owned();
    let other = Command::Adjust { delta: -2, reason, expected: 10, accept_shortage: false, adjustment_id: cause(1) };
    adjusted().when(other).then_refused(taken());
}

#[test]
fn stock_is_not_taken_from_under_reservations_unless_somebody_accepts_it() {
    let held = || with(10).after([reserve(1, &[share(1, 4)]), reserve(2, &[share(1, 4)])]);
    let short = |n, qty| Short { reservation_id: reservation(n), order_id: order(n), qty };
    held()
        .when(adjust(-7, 10, false, 1))
        .then_refused(Refusal::WouldBreakReservations { short: 5, reservations: vec![short(2, 4), short(1, 1)] });
    held()
        .when(Command::Count { counted: 7, accept_shortage: false })
        .then_refused(Refusal::WouldBreakReservations { short: 1, reservations: vec![short(2, 1)] });
    let counted = held()
        .when(Command::Count { counted: 7, accept_shortage: true })
        .then([Event::Counted(Counted { counted: 7, difference: -3 })]);
    assert_eq!(numbers(&counted), (7, 8, 0, 0));
    assert_eq!(counted.peek().shortage(), vec![short(2, 1)]);
    // Nothing is promised until the shortage is over, and it is over as soon as there is enough again.
    let over = counted.after([receive(2)]);
    assert_eq!(numbers(&over), (9, 8, 0, 1));
    assert_eq!(over.peek().shortage(), vec![]);
}

#[test]
fn no_more_leaves_than_is_here() {
    let count = Command::Count { counted: 1, accept_shortage: true };
    with(4)
        .after([reserve(1, &[share(1, 4)]), count])
        .when(ship(1, 1, &[share(1, 2)]))
        .then_refused(Refusal::ExceedsOnHand { wanted: 2, on_hand: 1 });
}

#[test]
fn a_lower_limit_stops_new_promises_and_keeps_the_old() {
    let lowered = with(1).after([reserve(1, &[share(10, 4)]), terms(0, 1)]);
    assert_eq!(numbers(&lowered), (1, 1, 3, 0));
    lowered.when(reserve(2, &[share(10, 1)])).then_refused(out_of_stock(1, 0));
}

#[test]
fn a_hot_sku_stays_small_however_much_it_sells() {
    let mut stock = with(20_000).peek().clone();
    for n in 1..=10_000 {
        for command in [reserve(n, &[share(1, 2)]), ship(n, n, &[share(1, 1)]), release(n, None, &[], n)] {
            let before = stock.clone();
            for event in before.decide(&command).unwrap() {
                stock.evolve(&event);
            }
        }
    }
    assert_eq!(stock.reservations.len(), 0);
    assert_eq!(stock.ended.len(), REMEMBERED);
    assert_eq!(stock.shipments.len(), REMEMBERED_SHIPMENTS);
    assert_eq!(laws::Watched::of(stock.clone()).end(), Ok(()));
    let size = serde_json::to_vec(&stock).unwrap().len();
    assert!(size < 192 * 1024, "{size} bytes");
}

#[test]
fn a_reservation_that_holds_for_another_is_neither_joined_nor_let_go() {
    let given = || given::<Stock>([]).after([receive(100), reserve(1, &[share(1, 3)])]);
    let alone = |order_id| {
        let wish = Reserve { order_id, ..wish(1, &[share(0, 2)]) };
        Command::Reserve(wish)
    };
    let exists = Refusal::ReservationExists { reservation_id: reservation(1) };
    given().when(alone(None)).then_refused(exists.clone());
    given().when(alone(order(2))).then_refused(exists);
    let release = |order_id, lines| Command::Release {
        reservation_id: reservation(1),
        order_id,
        qty: None,
        lines,
        release_id: cause(1),
        expires_at: None,
        reason: "undone".to_owned(),
    };
    given().when(release(None, vec![])).then_nothing();
    let held = LetGo { line_id: LineId(1), qty: 1, backordered: 0 };
    given().when(release(order(2), vec![held])).then_nothing();
    let ship = Command::Ship {
        shipment_id: shipment(1),
        reservation_id: reservation(1),
        order_id: order(2),
        lines: vec![share(1, 1)],
    };
    given().when(ship).then_refused(Refusal::NotReserved { wanted: 1, reserved: 0 });
}
