//! Reserving: all lines or none unless less is allowed, what there is first, then what may wait, never beyond either. An order that takes
//! over a reservation has what that holds before anything else.

use super::allocate::TOGETHER;
use super::command::Reserve;
use super::decide::{Decision, at_least_one, at_most};
use super::event::{Backordered, Event, LineShare, ReservationOrdered, ReservationReleased, Reserved};
use super::evolve::over;
use super::refusal::{Refusal, Shortfall};
use super::state::{Held, Stock};
use crate::ids::{LineId, LocationId, OrderId, ReservationId, Sku};

/// A line's units, and where they come from.
struct Part {
    line_id: LineId,
    wanted: u32,
    may_wait: bool,
    held: u32,
    promised: u32,
}

/// A reservation that no order asked for, as far as it holds something here.
struct Basket<'a> {
    id: ReservationId,
    held: &'a Held,
    /// What it gives: what it holds, but for units that there is no stock for.
    gives: u32,
}

impl<'a> Basket<'a> {
    fn of(stock: &'a Stock, id: ReservationId) -> Option<Self> {
        let held = stock.reservations.get(&id).filter(|held| held.order_id.is_none())?;
        let short = stock.shortage().iter().find(|short| short.reservation_id == id).map_or(0, |short| short.qty);
        Some(Self { id, held, gives: held.reserved().saturating_sub(short) })
    }

    /// That its units are held on for the lines, as many as they have of it.
    fn ordered(&self, order_id: OrderId, wish: &Reserve, lines: Vec<LineShare>) -> Event {
        let qty = lines.iter().fold(0_u32, |sum, share| sum.saturating_add(share.qty));
        let freed = self.held.reserved().saturating_sub(qty);
        let backordered = self.held.backordered();
        if qty == 0 {
            return Event::ReservationReleased(ReservationReleased {
                reservation_id: self.id,
                order_id: None,
                qty: freed,
                backordered,
                lines: vec![],
                whole: true,
                release_id: order_id.0,
                expires_at: None,
                reason: "ordered".to_owned(),
            });
        }
        Event::ReservationOrdered(ReservationOrdered {
            reservation_id: self.id,
            order_id,
            held_by: wish.reservation_id,
            qty,
            lines,
            freed,
            backordered,
            expires_at: wish.expires_at,
        })
    }
}

pub(super) fn reserve(stock: &Stock, wish: &Reserve) -> Decision {
    let reservation_id = wish.reservation_id;
    let mut parts = parts(&wish.lines, &wish.backorder_ok)?;
    if let Some(held) = stock.reservations.get(&reservation_id) {
        if held.order_id != wish.order_id {
            return Err(Refusal::ReservationExists { reservation_id });
        }
        // It took effect already. Lines that it got nothing for (less was allowed) are not asked for again either.
        if parts.iter().any(|part| held.lines.contains_key(&part.line_id)) {
            return Ok(vec![]);
        }
    } else if stock.is_over(reservation_id) {
        return Err(Refusal::ReservationEnded { reservation_id });
    }
    if wish.expires_at.is_some_and(|end| end <= wish.now) {
        return Err(Refusal::ReservationEnded { reservation_id });
    }
    let basket = wish.order_id.zip(wish.basket);
    let basket = basket.and_then(|(order_id, id)| Some((order_id, Basket::of(stock, id)?)));
    let filled = fill(stock, (&wish.sku, &wish.location), &mut parts, basket.as_ref().map(|(_, basket)| basket));
    if !wish.allow_partial {
        filled?;
    }
    // An order that gets nothing leaves the basket as it is, so that the same again gets nothing either.
    let got = parts.iter().any(|part| part.held > 0 || part.promised > 0);
    Ok(match basket.filter(|_| got) {
        Some((order_id, basket)) => taking_over(stock, wish, &mut parts, order_id, &basket),
        None => [reserved(stock, wish, &parts), backordered(wish, &parts)].into_iter().flatten().collect(),
    })
}

/// Whether a new reservation of these units would be granted whole.
pub(super) fn check(stock: &Stock, of: (&Sku, &LocationId), lines: &[LineShare], backorder_ok: &[LineId]) -> Decision {
    let mut parts = parts(lines, backorder_ok)?;
    fill(stock, of, &mut parts, None)?;
    Ok(vec![])
}

/// The lines that are wanted, each once.
fn parts(lines: &[LineShare], backorder_ok: &[LineId]) -> Result<Vec<Part>, Refusal> {
    let mut parts: Vec<Part> = Vec::with_capacity(lines.len());
    let mut total = 0_i64;
    for share in lines {
        at_least_one(share.qty)?;
        total += i64::from(share.qty);
        at_most(total)?;
        match parts.iter_mut().find(|part| part.line_id == share.line_id) {
            Some(part) => part.wanted = part.wanted.saturating_add(share.qty),
            None => parts.push(Part {
                line_id: share.line_id,
                wanted: share.qty,
                may_wait: backorder_ok.contains(&share.line_id),
                held: 0,
                promised: 0,
            }),
        }
    }
    if parts.is_empty() {
        return Err(Refusal::InvalidQuantity { qty: 0 });
    }
    parts.sort_unstable_by_key(|part| part.line_id);
    Ok(parts)
}

/// What there is goes to lines that cannot wait before lines that can.
///
/// # Errors
/// If that is not all that is wanted.
fn fill(
    stock: &Stock,
    (sku, location): (&Sku, &LocationId),
    parts: &mut [Part],
    basket: Option<&Basket<'_>>,
) -> Result<(), Refusal> {
    let (mut available, mut room) = match stock.of {
        Some(_) => {
            let (gives, waits) = basket.map_or((0, 0), |basket| (basket.gives, basket.held.backordered()));
            let unclaimed = stock.available().saturating_sub(stock.backordered.saturating_sub(waits));
            (unclaimed.saturating_add(gives), stock.backorder_room())
        }
        None => (0, 0),
    };
    for may_wait in [false, true] {
        for part in parts.iter_mut().filter(|part| part.may_wait == may_wait) {
            part.held = part.wanted.min(available);
            available -= part.held;
        }
    }
    for part in parts.iter_mut().filter(|part| part.may_wait) {
        part.promised = (part.wanted - part.held).min(room);
        room -= part.promised;
    }
    let wanted = sum(parts, |part| part.wanted);
    let promised = sum(parts, |part| part.held.saturating_add(part.promised));
    if promised < wanted {
        let (sku, location) = (sku.clone(), location.clone());
        return Err(Refusal::OutOfStock(Shortfall { sku, location, wanted, available: promised }));
    }
    Ok(())
}

/// What a reservation that is taken over gives comes first. Who waits here is promised something before anything else is said, so that what
/// was held early does not lend its place to what is promised now.
fn taking_over(
    stock: &Stock,
    wish: &Reserve,
    parts: &mut [Part],
    order_id: OrderId,
    basket: &Basket<'_>,
) -> Vec<Event> {
    let mut events: Vec<Event> = backordered(wish, parts).into_iter().collect();
    let mut left = basket.gives;
    let mut lines = Vec::with_capacity(parts.len());
    for part in parts.iter_mut() {
        let qty = part.held.min(left);
        left -= qty;
        part.held -= qty;
        lines.push(LineShare { line_id: part.line_id, qty });
    }
    lines.retain(|share| share.qty > 0);
    events.push(basket.ordered(order_id, wish, lines));
    events.extend(reserved(stock, wish, parts));
    stock.with_allocations(events, TOGETHER)
}

fn reserved(stock: &Stock, wish: &Reserve, parts: &[Part]) -> Option<Event> {
    let lines = shares(parts, |part| part.held);
    if lines.is_empty() {
        return None;
    }
    let mut ends = stock.tombstones.values();
    Some(Event::Reserved(Reserved {
        reservation_id: wish.reservation_id,
        order_id: wish.order_id,
        qty: sum(parts, |part| part.held),
        lines,
        expires_at: wish.expires_at,
        forgotten_until: ends.any(|end| over(*end, wish.now)).then_some(wish.now),
    }))
}

fn backordered(wish: &Reserve, parts: &[Part]) -> Option<Event> {
    let lines = shares(parts, |part| part.promised);
    if lines.is_empty() {
        return None;
    }
    Some(Event::Backordered(Backordered {
        reservation_id: wish.reservation_id,
        order_id: wish.order_id,
        qty: sum(parts, |part| part.promised),
        lines,
        expected_at: None,
    }))
}

fn shares(parts: &[Part], units: impl Fn(&Part) -> u32) -> Vec<LineShare> {
    let shares = parts.iter().map(|part| LineShare { line_id: part.line_id, qty: units(part) });
    shares.filter(|share| share.qty > 0).collect()
}

fn sum(parts: &[Part], units: impl Fn(&Part) -> u32) -> u32 {
    let parts = parts.iter();
    parts.fold(0, |sum, part| sum.saturating_add(units(part)))
}
