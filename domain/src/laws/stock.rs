//! The laws of stock: what must hold after every event of its stream, or after every command. Read from the state
//! alone; no law asks the rule book whether it is right.

use super::{Law, Verdict, hold};
use crate::ids::ReservationId;
use crate::stock::{Event, Stock};

/// I15.
pub const BOOK: Law =
    ("stock-book-adds-up", "on hand = received + returned + adjusted + count differences − shipped − written off");
/// Sums.
pub const SUMS: Law = (
    "stock-reservations-add-up",
    "what is reserved and what is backordered are the sums over the open reservations, each of which has at least one unit",
);
/// Oversell.
pub const COVERED: Law = (
    "stock-covers-reservations",
    "what is reserved is never more than what is on hand, but for what an accepted count or adjustment, or a write-off, left short",
);
/// Backorders.
pub const LIMIT: Law = (
    "stock-backorders-within-limit",
    "no more is backordered than the limit allowed when it was promised, but for what was held and deferred",
);
/// Fairness.
pub const QUEUE: Law = (
    "stock-oldest-promise-first",
    "nothing is available while somebody waits for it, except while a command that serves them is on its way",
);
/// I16.
pub const ENDS: Law =
    ("stock-reservation-ends-once", "a reservation that has ended, or was let go before it began, holds nothing");
/// The shortage.
pub const SHORTAGE: Law =
    ("stock-shortage-is-named", "held units without stock are all named with the reservations they belong to");

/// The law that holds after a whole batch only: within a batch that frees units the oldest promise is served a moment later.
pub(super) fn check_queue(stock: &Stock) -> Verdict {
    let waits = stock.backordered > 0 && stock.available() > 0 && !stock.allocating;
    hold(QUEUE, !waits, || {
        let (available, backordered) = (stock.available(), stock.backordered);
        format!("{available} available and {backordered} backordered")
    })
}

/// The laws of the totals, which hold after every event.
pub(super) fn check_totals(stock: &Stock) -> Verdict {
    let book = stock.book;
    let on_hand = book.received + book.returned + book.adjusted + book.counted - book.shipped - book.written_off;
    hold(BOOK, on_hand == i64::from(stock.on_hand), || format!("on hand {} by {book:?}", stock.on_hand))?;
    let short = stock.reserved.saturating_sub(stock.on_hand);
    hold(COVERED, short <= stock.short_accepted, || {
        let (reserved, on_hand) = (stock.reserved, stock.on_hand);
        format!("{reserved} reserved and {on_hand} on hand")
    })?;
    hold(LIMIT, stock.backordered <= stock.backorder_allowed, || {
        let (backordered, allowed) = (stock.backordered, stock.backorder_allowed);
        format!("{backordered} backordered and {allowed} allowed")
    })
}

/// The laws of all reservations together, which hold after every event.
pub(super) fn check_parts(stock: &Stock) -> Verdict {
    sums(stock)?;
    let mut over = stock.ended.iter().map(|(id, _)| id);
    let both = stock.tombstones.keys().chain(over.by_ref());
    let both = both.filter(|id| stock.reservations.contains_key(id));
    let both: Vec<_> = both.collect();
    hold(ENDS, both.is_empty(), || format!("{both:?} hold units"))?;
    let short = stock.reserved.saturating_sub(stock.on_hand);
    let named: u64 = stock.shortage().iter().map(|s| u64::from(s.qty)).sum();
    hold(SHORTAGE, named == u64::from(short), || format!("{short} short and {named} named"))
}

/// What an event is about to change: the totals, and the reservations that it names.
#[derive(Clone, Copy, Debug)]
pub struct Touched {
    reserved: u32,
    backordered: u32,
    /// What the named reservations hold and are promised.
    named: (u32, u32),
}

impl Touched {
    pub(super) fn of(stock: &Stock, event: &Event) -> Self {
        let named = named(event).filter_map(|id| stock.reservations.get(&id));
        let named = named.fold((0, 0), |(reserved, backordered), held| {
            (held.reserved().saturating_add(reserved), held.backordered().saturating_add(backordered))
        });
        Self { reserved: stock.reserved, backordered: stock.backordered, named }
    }
}

/// The reservations that an event names: none, one, or one and the one that takes it over.
fn named(event: &Event) -> impl Iterator<Item = ReservationId> {
    let other = match event {
        Event::ReservationOrdered(e) => Some(e.held_by),
        _ => None,
    };
    let one = match event {
        Event::Reserved(e) => Some(e.reservation_id),
        Event::Backordered(e) => Some(e.reservation_id),
        Event::ReservationExtended(e) => Some(e.reservation_id),
        Event::ReservationReleased(e) => Some(e.reservation_id),
        Event::ReservationExpired(e) => Some(e.reservation_id),
        Event::Shipped(e) => Some(e.reservation_id),
        Event::ShipmentPutBack(e) => Some(e.reservation_id),
        Event::ReservationDeferred(e) => Some(e.reservation_id),
        Event::ReservationOrdered(e) => Some(e.reservation_id),
        Event::BackorderAllocated(e) => Some(e.reservation_id),
        Event::Registered(_)
        | Event::Received(_)
        | Event::Returned(_)
        | Event::WrittenOff(_)
        | Event::Adjusted(_)
        | Event::Counted(_) => None,
    };
    one.into_iter().chain(other)
}

/// The law of the sums for one step: the totals change by what the named reservations change by, and by nothing where none is named.
pub(super) fn check_step(before: &Touched, event: &Event, after: &Stock) -> Verdict {
    let now = Touched::of(after, event);
    let change = |before: u32, after: u32| i64::from(after) - i64::from(before);
    let totals = (change(before.reserved, now.reserved), change(before.backordered, now.backordered));
    let part = (change(before.named.0, now.named.0), change(before.named.1, now.named.1));
    hold(SUMS, totals == part, || format!("the totals changed by {totals:?}, the reservation by {part:?}"))?;
    let has = |id| after.reservations.get(&id).is_none_or(|held| held.reserved() > 0 || held.backordered() > 0);
    let mut named = named(event);
    hold(SUMS, named.all(has), || "a reservation is open and has nothing".to_owned())
}

fn sums(stock: &Stock) -> Verdict {
    let (mut reserved, mut backordered) = (0_u64, 0_u64);
    for (id, held) in &stock.reservations {
        let lines = || held.lines.values();
        let here: u64 = lines().map(|line| u64::from(line.reserved)).sum();
        let promised: u64 = lines().map(|line| u64::from(line.backordered)).sum();
        hold(SUMS, here + promised > 0, || format!("reservation {id} is open and has nothing"))?;
        reserved += here;
        backordered += promised;
    }
    let holds = reserved == u64::from(stock.reserved) && backordered == u64::from(stock.backordered);
    hold(SUMS, holds, || {
        let (as_told, waiting) = (stock.reserved, stock.backordered);
        format!("reserved {as_told}, summed {reserved}; backordered {waiting}, summed {backordered}")
    })
}
