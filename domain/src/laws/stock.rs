//! The laws of stock (DOMAIN part 5, law 2; I15): what must hold after every event of its stream, or after every command.
//! Read from the state alone; no law asks the rule book whether it is right.

use super::{Law, Verdict, hold};
use crate::stock::Stock;

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
pub const LIMIT: Law =
    ("stock-backorders-within-limit", "no more is backordered than the limit allowed when it was promised");
/// Fairness.
pub const QUEUE: Law = ("stock-oldest-promise-first", "nothing is available while somebody waits for it");
/// I16.
pub const ENDS: Law =
    ("stock-reservation-ends-once", "a reservation that has ended, or was let go before it began, holds nothing");
/// The shortage.
pub const SHORTAGE: Law =
    ("stock-shortage-is-named", "held units without stock are all named with the reservations they belong to");

/// Whether every law of stock holds after a whole batch. Within a batch that frees units the oldest promise is served a moment later.
///
/// # Errors
/// The first law that does not.
pub(crate) fn check(stock: &Stock) -> Verdict {
    check_event(stock)?;
    let waits = stock.backordered > 0 && stock.available() > 0;
    hold(QUEUE, !waits, || {
        let (available, backordered) = (stock.available(), stock.backordered);
        format!("{available} available and {backordered} backordered")
    })
}

/// Whether every law of stock that holds between the events of a batch holds.
///
/// # Errors
/// The first law that does not.
pub(crate) fn check_event(stock: &Stock) -> Verdict {
    let book = stock.book;
    let on_hand = book.received + book.returned + book.adjusted + book.counted - book.shipped - book.written_off;
    hold(BOOK, on_hand == i64::from(stock.on_hand), || format!("on hand {} by {book:?}", stock.on_hand))?;
    sums(stock)?;
    let short = stock.reserved.saturating_sub(stock.on_hand);
    hold(COVERED, short <= stock.short_accepted, || {
        let (reserved, on_hand) = (stock.reserved, stock.on_hand);
        format!("{reserved} reserved and {on_hand} on hand")
    })?;
    hold(LIMIT, stock.backordered <= stock.backorder_allowed, || {
        let (backordered, allowed) = (stock.backordered, stock.backorder_allowed);
        format!("{backordered} backordered and {allowed} allowed")
    })?;
    let mut over = stock.ended.iter().map(|(id, _)| id);
    let both = stock.tombstones.keys().chain(over.by_ref());
    let both = both.filter(|id| stock.reservations.contains_key(id));
    let both: Vec<_> = both.collect();
    hold(ENDS, both.is_empty(), || format!("{both:?} hold units"))?;
    let named: u64 = stock.shortage().iter().map(|s| u64::from(s.qty)).sum();
    hold(SHORTAGE, named == u64::from(short), || format!("{short} short and {named} named"))
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
