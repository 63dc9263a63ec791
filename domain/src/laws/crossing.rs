//! The laws across streams (I16–I21): per order, against its payments and its stock, so that a check of a whole log
//! needs memory only per order. They read only folded states and call no rules.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Law, Verdict, hold};
use crate::ids::{LocationId, OrderId, ReservationId, Sku};
use crate::money::Minor;
use crate::order::Order;
use crate::order::event::Capture;
use crate::order::state::{Payment, Placed, RefundPart, ShipmentStatus, Status};
use crate::payment::state::Requested;
use crate::reservation::{End, Reservation};
use crate::{payment, stock};

/// Law 3.
pub const UNITS: Law =
    ("order-and-stock-agree", "for each SKU of an order, stock holds, promises and has shipped what the order says");
/// Law 3, returns.
pub const RETURNED: Law = (
    "order-and-stock-agree-on-returns",
    "for each SKU of an order, as many units came back into stock as the order received, never more",
);
/// I16.
pub const LET_GO: Law =
    ("nothing-held-for-what-ended", "stock holds and promises nothing for an order or a reservation that has ended");
/// Law 5.
pub const GOODS_FOR_SHIPMENTS: Law =
    ("stock-ships-what-was-requested", "no unit leaves stock for an order before a shipment of the order asks for it");
/// I21.
pub const PAID: Law = ("paid-before-shipped", "what left is captured before, unless the terms say pay later");
/// I17.
pub const OWNED: Law = (
    "captured-money-belongs-to-an-order",
    "money is captured only for an order that was confirmed; of one that was not to be, all is given back and nothing is held",
);
/// The order's view.
pub const TOLD: Law = (
    "order-knows-its-money",
    "an order never believes that more was captured or given back than was, and knows it all once nothing is on its way",
);
/// Law 4.
pub const HELD_ON: Law = (
    "nothing-held-on-for-nothing",
    "once nothing is on its way, no payment holds more than its order is still to take, unless its gateway cannot let a part go",
);
/// Surplus.
pub const SURPLUS: Law = (
    "no-surplus-is-kept",
    "once nothing is on its way, nothing is kept that is neither owed nor a refund that failed or was withdrawn",
);
/// Cover.
pub const COVERED: Law = (
    "what-is-to-be-taken-is-held",
    "what is still to be taken is held by a payment, unless one was declined or let go of, or there is nothing to pay with",
);
/// Reservations that no order asked for.
pub const RESERVED: Law = ("reservation-and-stock-agree", "stock never holds more for a reservation than it asked for");

/// Baskets.
pub const TAKEN_OVER: Law = (
    "reservation-goes-to-the-order-that-names-it",
    "a reservation has ended with an order exactly if that order was placed on it, and there is one such order at most",
);

/// Whose units stock moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// An order.
    Order(OrderId),
    /// A reservation that no order asked for.
    Reservation(ReservationId),
}

/// What stock holds and did for an owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Units {
    /// Units held.
    pub reserved: i64,
    /// Units promised.
    pub backordered: i64,
    /// Units that left.
    pub shipped: i64,
    /// Units that came back.
    pub returned: i64,
}

/// What stock holds and did for an owner, by where and what.
pub type Holdings = BTreeMap<(LocationId, Sku), Units>;

/// The orders and reservations whose units an event of stock moves, and the units by kind: none, one, or a reservation and the order
/// that takes it over.
pub fn moved(event: &stock::Event) -> impl Iterator<Item = (Owner, Units)> {
    let taken_over = match event {
        stock::Event::ReservationOrdered(e) => {
            let owner = Owner::Order(e.order_id);
            Some((owner, Units { reserved: i64::from(e.qty), ..Units::default() }))
        }
        _ => None,
    };
    moved_of_one(event).into_iter().chain(taken_over)
}

fn moved_of_one(event: &stock::Event) -> Option<(Owner, Units)> {
    let of = |order_id: Option<OrderId>, reservation_id: ReservationId| match order_id {
        Some(order_id) => Owner::Order(order_id),
        None => Owner::Reservation(reservation_id),
    };
    let none = Units::default();
    match event {
        stock::Event::Reserved(e) => {
            let reserved = i64::from(e.qty);
            Some((of(e.order_id, e.reservation_id), Units { reserved, ..none }))
        }
        stock::Event::Backordered(e) => {
            let backordered = i64::from(e.qty);
            let units = Units { backordered, ..none };
            Some((of(e.order_id, e.reservation_id), units))
        }
        stock::Event::ReservationReleased(e) => {
            let units = Units { reserved: -i64::from(e.qty), backordered: -i64::from(e.backordered), ..none };
            Some((of(e.order_id, e.reservation_id), units))
        }
        stock::Event::ReservationExpired(e) => {
            let units = Units { reserved: -i64::from(e.qty), backordered: -i64::from(e.backordered), ..none };
            Some((of(e.order_id, e.reservation_id), units))
        }
        stock::Event::Shipped(e) => {
            let units = Units { reserved: -i64::from(e.qty), shipped: i64::from(e.qty), ..none };
            Some((of(e.order_id, e.reservation_id), units))
        }
        stock::Event::ShipmentPutBack(e) => {
            let qty = i64::from(e.qty);
            let units = Units { reserved: if e.released { 0 } else { qty }, shipped: -qty, ..none };
            Some((of(e.order_id, e.reservation_id), units))
        }
        stock::Event::ReservationDeferred(e) => {
            let units = Units { reserved: -i64::from(e.qty), backordered: i64::from(e.qty), ..none };
            Some((of(e.order_id, e.reservation_id), units))
        }
        stock::Event::ReservationOrdered(e) => {
            let reserved = -i64::from(e.qty) - i64::from(e.freed);
            let units = Units { reserved, backordered: -i64::from(e.backordered), ..none };
            Some((Owner::Reservation(e.reservation_id), units))
        }
        stock::Event::BackorderAllocated(e) => {
            let units = Units { reserved: i64::from(e.qty), backordered: -i64::from(e.qty), ..none };
            Some((of(e.order_id, e.reservation_id), units))
        }
        stock::Event::Returned(e) => {
            let returned = i64::from(e.qty);
            let owner = Owner::Order(e.order_id?);
            Some((owner, Units { returned, ..none }))
        }
        stock::Event::Registered(_)
        | stock::Event::Received(_)
        | stock::Event::ReservationExtended(_)
        | stock::Event::WrittenOff(_)
        | stock::Event::Adjusted(_)
        | stock::Event::Counted(_) => None,
    }
}

impl std::ops::AddAssign for Units {
    fn add_assign(&mut self, more: Self) {
        self.reserved += more.reserved;
        self.backordered += more.backordered;
        self.shipped += more.shipped;
        self.returned += more.returned;
    }
}

/// Whether the laws across streams hold for an order, its payments, and its stock. `on_its_way`: a saga of the order is
/// running or parked, so that one side may know a fact that the other does not.
///
/// # Errors
/// The first violated law.
pub fn check(order: &Order, payments: &[&payment::Payment], stock: &Holdings, on_its_way: bool) -> Verdict {
    let paid: Vec<&Requested> = payments.iter().filter_map(|payment| payment.requested()).collect();
    let whole = order;
    let Order::Placed(order) = order else {
        let nothing = stock.values().all(|units| *units == Units::default());
        hold(UNITS, nothing, || format!("no order, and stock: {stock:?}"))?;
        return hold(OWNED, paid.iter().all(|paid| paid.captured == 0), || format!("no order, and captured: {paid:?}"));
    };
    units(order, stock, on_its_way)?;
    money(order, &paid, on_its_way)?;
    // The order knows all its money by now, so its own final law (I20) applies to the money that was really moved.
    if on_its_way { Ok(()) } else { super::order::check_settled(whole) }
}

fn units(order: &Placed, stock: &Holdings, on_its_way: bool) -> Verdict {
    let mut by_sku: BTreeMap<&Sku, (Units, Units)> = BTreeMap::new();
    for line in order.lines.values().filter(|line| line.line.stocked) {
        let (said, _) = by_sku.entry(&line.line.sku).or_default();
        *said += Units {
            reserved: i64::from(line.reserved),
            backordered: i64::from(line.backordered),
            shipped: i64::from(line.shipped),
            returned: i64::from(line.restocked) + i64::from(line.written_off),
        };
    }
    for ((_, sku), done) in stock {
        by_sku.entry(sku).or_default().1 += *done;
    }
    for (sku, (said, done)) in by_sku {
        let detail = || {
            let id = order.order_id;
            format!("order {id}, {sku}: the order says {said:?}, stock {done:?}")
        };
        let waiting = i64::from(waiting(order, sku));
        hold(GOODS_FOR_SHIPMENTS, done.shipped <= said.shipped + waiting, detail)?;
        hold(RETURNED, done.returned <= said.returned, detail)?;
        if on_its_way {
            continue;
        }
        let held = done.reserved + done.backordered;
        hold(LET_GO, !order.status.is_terminal() || held == 0, detail)?;
        let agree =
            said.reserved == done.reserved && said.backordered == done.backordered && said.shipped == done.shipped;
        // A rejected or cancelled order keeps its last recorded numbers; the law above says that nothing is held.
        let ended = matches!(order.status, Status::Rejected | Status::Cancelled);
        hold(UNITS, agree || ended, detail)?;
        hold(RETURNED, said.returned == done.returned, detail)?;
    }
    Ok(())
}

/// Units of shipments that wait, or that were withdrawn and are not put back yet.
fn waiting(order: &Placed, sku: &Sku) -> u32 {
    let waits = |status| matches!(status, ShipmentStatus::Requested | ShipmentStatus::Withdrawn);
    let shipments = order.shipments.values().filter(|shipment| waits(shipment.status));
    let lines = shipments.flat_map(|shipment| &shipment.lines);
    let of = lines.filter(|(line_id, _)| order.lines.get(line_id).is_some_and(|line| line.line.sku == *sku));
    of.map(|(_, line)| line.qty).sum()
}

/// The value of what left, shipping charges included.
fn left(order: &Placed) -> Minor {
    let shipments = order.shipments.values();
    let left = shipments.filter(|shipment| shipment.status.has_left());
    left.map(|shipment| {
        let lines = shipment.lines.values().map(|line| line.amount);
        shipment.shipping + lines.sum::<Minor>()
    })
    .sum()
}

fn pays_later(order: &Placed) -> bool {
    order.payment_terms.capture == Capture::PayLater
}

fn money(order: &Placed, paid: &[&Requested], on_its_way: bool) -> Verdict {
    let detail = || {
        let (id, status, told) = (order.order_id, order.status.name(), &order.payments);
        format!("order {id} is {status}, {} left, {:?}; it was told {told:?}; {paid:?}", left(order), order.ledger())
    };
    hold(OWNED, paid.iter().all(|paid| paid.order_id == order.order_id), detail)?;
    let external: Minor = order.payments.iter().filter(|it| it.is_external()).map(|it| it.captured).sum();
    let gifts: Minor = order.refunds.values().filter(|refund| refund.by_hand).map(|refund| refund.amount).sum();
    let taken: Minor = external + paid.iter().map(|paid| paid.captured).sum::<Minor>();
    hold(PAID, pays_later(order) || left(order) <= taken + gifts + super::order::netted(order), detail)?;
    for told in order.payments.iter().filter(|payment| !payment.is_external()) {
        let paid = paid.iter().find(|paid| paid.payment_id == told.payment_id);
        let (captured, refunded) = paid.map_or((0, 0), |paid| (paid.captured, paid.refunded));
        hold(TOLD, told.captured <= captured && told.refunded <= refunded, detail)?;
    }
    if on_its_way {
        return Ok(());
    }
    for paid in paid {
        let told = order.payment_of(paid.payment_id);
        let told = told.map_or((0, 0, 0, 0), |it| (it.authorised, it.captured, it.refunded, it.voided));
        hold(TOLD, told == (paid.authorised, paid.captured, paid.refunded, paid.voided), detail)?;
        let undone = paid.captured == paid.refunded || !all_refunded(order);
        match order.status {
            Status::Pending => hold(OWNED, undone, detail)?,
            Status::Rejected | Status::Cancelled => hold(OWNED, undone && paid.held() == 0, detail)?,
            Status::Confirmed | Status::Completed => {}
        }
    }
    held_on(order, paid, detail)?;
    hold(SURPLUS, order.ledger().surplus() == 0, detail)?;
    hold(COVERED, order.ledger().uncovered() == 0 || may_be_uncovered(order, paid), detail)
}

/// Whether no part of a refund failed or was withdrawn.
fn all_refunded(order: &Placed) -> bool {
    order.refunds.values().flat_map(|refund| &refund.parts).all(RefundPart::stands)
}

/// The oldest payments are taken from first, and last those that others stand in for.
fn held_on(order: &Placed, paid: &[&Requested], detail: impl Fn() -> String) -> Verdict {
    let mut needed = match order.status {
        Status::Rejected | Status::Cancelled => 0,
        Status::Pending | Status::Confirmed | Status::Completed => order.ledger().to_capture(),
    };
    let holds = |it: &Payment| it.held() + it.captured > 0;
    let replaced = |payment: &Payment| {
        order.payments.iter().any(|other| other.replaces == Some(payment.payment_id) && holds(other))
    };
    let (last, first): (Vec<_>, Vec<_>) = order.payments.iter().partition(|payment| replaced(payment));
    for told in first.into_iter().chain(last) {
        let Some(paid) = paid.iter().find(|paid| paid.payment_id == told.payment_id) else {
            continue;
        };
        let whole = needed > 0 && !paid.can().partial_void;
        hold(HELD_ON, paid.live.is_empty() && (paid.held() <= needed || whole), &detail)?;
        needed = (needed - paid.held()).max(0);
    }
    let unknown = paid.iter().filter(|paid| order.payment_of(paid.payment_id).is_none());
    hold(HELD_ON, unknown.map(|paid| paid.held()).sum::<Minor>() == 0, detail)
}

fn may_be_uncovered(order: &Placed, paid: &[&Requested]) -> bool {
    let lost = |paid: &&&Requested| paid.authorised == 0 || paid.voided > 0;
    let token = order.payment_terms.instrument.token();
    pays_later(order) || token.is_empty() || paid.iter().any(|paid| lost(&paid))
}

/// Whether the laws that cross streams hold of a reservation that no order asked for, and what stock holds for it.
///
/// # Errors
/// The first law that does not.
pub fn check_reservation(reservation: &Reservation, stock: &Holdings, on_its_way: bool) -> Verdict {
    let held = |units: &Units| units.reserved + units.backordered;
    match reservation {
        Reservation::Absent => {
            hold(RESERVED, stock.values().all(|u| held(u) == 0), || format!("no reservation, and stock: {stock:?}"))
        }
        Reservation::Ended { opened, .. } => {
            let nothing = on_its_way || stock.values().all(|units| held(units) == 0);
            let id = opened.reservation_id;
            hold(LET_GO, nothing, || format!("reservation {id} has ended, and stock: {stock:?}"))
        }
        Reservation::Open(opened) => {
            for ((location, sku), units) in stock {
                let mut items = opened.items.iter();
                let item = items.find(|item| item.sku == *sku && item.location == *location);
                let asked = item.map_or(0, |item| i64::from(item.qty));
                let id = opened.reservation_id;
                hold(RESERVED, held(units) <= asked, || {
                    format!("reservation {id} asked for {asked} of {sku} and has {units:?}")
                })?;
            }
            Ok(())
        }
    }
}

/// Whether a reservation and the order that is said to have taken it over say the same of each other.
///
/// # Errors
/// If they do not.
pub fn check_taken_over(reservation: &Reservation, order: &Order) -> Verdict {
    let named = order.placed().and_then(|order| Some((order.order_id, order.basket?)));
    let ended = match reservation {
        Reservation::Ended { opened, end: End::Ordered { order_id } } => Some((*order_id, opened.reservation_id)),
        _ => None,
    };
    hold(TAKEN_OVER, named.is_some() && named == ended, || {
        format!("the order says that it was placed on {named:?}, the reservation that it has ended with {ended:?}")
    })
}
