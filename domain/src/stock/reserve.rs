//! Reserving: all lines or none unless less is allowed, what there is first, then what may wait, never beyond either.

use super::command::Reserve;
use super::decide::{Decision, at_least_one, at_most};
use super::event::{Backordered, Event, LineShare, Reserved};
use super::evolve::over;
use super::refusal::{Refusal, Shortfall};
use super::state::Stock;
use crate::ids::{LineId, LocationId, Sku};

/// A line's units, and where they come from.
struct Part {
    line_id: LineId,
    wanted: u32,
    may_wait: bool,
    held: u32,
    promised: u32,
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
    let filled = fill(stock, (&wish.sku, &wish.location), &mut parts);
    if !wish.allow_partial {
        filled?;
    }
    Ok(events(stock, wish, &parts))
}

/// Whether a new reservation of these units would be granted whole.
pub(super) fn check(stock: &Stock, of: (&Sku, &LocationId), lines: &[LineShare], backorder_ok: &[LineId]) -> Decision {
    let mut parts = parts(lines, backorder_ok)?;
    fill(stock, of, &mut parts)?;
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
fn fill(stock: &Stock, (sku, location): (&Sku, &LocationId), parts: &mut [Part]) -> Result<(), Refusal> {
    let (mut available, mut room) = match stock.of {
        Some(_) => (stock.unclaimed(), stock.backorder_room()),
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

fn events(stock: &Stock, wish: &Reserve, parts: &[Part]) -> Vec<Event> {
    let mut events = Vec::with_capacity(2);
    let lines = shares(parts, |part| part.held);
    if !lines.is_empty() {
        let mut ends = stock.tombstones.values();
        events.push(Event::Reserved(Reserved {
            reservation_id: wish.reservation_id,
            order_id: wish.order_id,
            qty: sum(parts, |part| part.held),
            lines,
            expires_at: wish.expires_at,
            forgotten_until: ends.any(|end| over(*end, wish.now)).then_some(wish.now),
        }));
    }
    let lines = shares(parts, |part| part.promised);
    if !lines.is_empty() {
        events.push(Event::Backordered(Backordered {
            reservation_id: wish.reservation_id,
            order_id: wish.order_id,
            qty: sum(parts, |part| part.promised),
            lines,
            expected_at: None,
        }));
    }
    events
}

fn shares(parts: &[Part], units: impl Fn(&Part) -> u32) -> Vec<LineShare> {
    let shares = parts.iter().map(|part| LineShare { line_id: part.line_id, qty: units(part) });
    shares.filter(|share| share.qty > 0).collect()
}

fn sum(parts: &[Part], units: impl Fn(&Part) -> u32) -> u32 {
    let parts = parts.iter();
    parts.fold(0, |sum, part| sum.saturating_add(units(part)))
}
