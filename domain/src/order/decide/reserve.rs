//! What inventory told about an order's stock. Told twice it adds nothing: units are assigned once, and never more than are open.

use std::collections::BTreeMap;

use super::{Decision, cancel, units, wrong_state};
use crate::ids::{CancellationId, EditId, LineId, ReservationId};
use crate::order::command::Units;
use crate::order::event::{Event, LinesBackordered, LinesReserved, LinesUnreserved, StockWanted};
use crate::order::line::LineQty;
use crate::order::refusal::{Refusal, ReservedUnits};
use crate::order::state::{LineState, Placed, Status};

/// Units of stocked lines that can still be moved, by line.
struct Left(BTreeMap<LineId, u32>);

impl Left {
    fn new(order: &Placed, units: fn(&LineState) -> u32) -> Self {
        let stocked = order.lines.iter().filter(|(_, line)| line.line.stocked);
        Self(stocked.map(|(id, line)| (*id, units(line))).collect())
    }

    /// As much of these as is left.
    fn take(&mut self, lines: &[LineQty]) -> Vec<LineQty> {
        let mut taken = Vec::new();
        for line in lines {
            let Some(left) = self.0.get_mut(&line.line_id) else {
                continue;
            };
            let qty = line.qty.min(*left);
            *left -= qty;
            if qty > 0 {
                taken.push(LineQty { qty, ..line.clone() });
            }
        }
        taken
    }
}

pub(super) fn reserved(
    order: &Placed,
    reservation_id: ReservationId,
    reserved: &[LineQty],
    backordered: &[LineQty],
) -> Decision {
    alive(order)?;
    let mut left = Left::new(order, LineState::unassigned);
    let mut events = Vec::new();
    let lines = left.take(reserved);
    if !lines.is_empty() {
        events.push(Event::LinesReserved(LinesReserved { reservation_id, lines, from_backorder: false }));
    }
    let lines = left.take(backordered);
    if !lines.is_empty() {
        events.push(Event::LinesBackordered(LinesBackordered { reservation_id, lines }));
    }
    Ok(events)
}

/// Units that the order waits for have come. Refused as long as units may be waited for of which the order has not heard; units that it does
/// not wait for any more change nothing.
pub(super) fn allocated(order: &Placed, reservation_id: ReservationId, come: &[LineQty]) -> Decision {
    alive(order)?;
    let lines = Left::new(order, |line| line.backordered).take(come);
    let unheard = |come: &LineQty| order.lines.get(&come.line_id).is_some_and(|line| line.unassigned() > 0);
    if lines.is_empty() && come.iter().any(unheard) {
        let waits = |come: &LineQty| ReservedUnits { line_id: come.line_id, asked: come.qty, reserved: 0 };
        return Err(Refusal::NotReserved { location: order.location.clone(), lines: come.iter().map(waits).collect() });
    }
    Ok(some(&lines, || {
        Event::LinesReserved(LinesReserved { reservation_id, lines: lines.clone(), from_backorder: true })
    }))
}

pub(super) fn unreserved(order: &Placed, reservation_id: ReservationId, lines: &[LineQty], reason: &str) -> Decision {
    alive(order)?;
    let lines = Left::new(order, |line| line.shippable() + line.backordered).take(lines);
    Ok(some(&lines, || {
        Event::LinesUnreserved(LinesUnreserved { reservation_id, lines: lines.clone(), reason: reason.to_owned() })
    }))
}

/// Of what inventory had not got for an edit: what the order still wants and nobody holds or has promised. As much as was refused is cancelled;
/// fewer units, since the order was edited or cancelled meanwhile, are asked for once more.
pub(super) fn resolve_shortage(
    order: &Placed,
    edit_id: EditId,
    attempt: u32,
    refused: &[LineQty],
    cancellation_id: CancellationId,
) -> Decision {
    alive(order)?;
    if order.cancellations.contains_key(&cancellation_id) {
        return Ok(Vec::new());
    }
    let wanted = Left::new(order, LineState::unassigned).take(refused);
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let sum = |lines: &[LineQty]| lines.iter().map(|line| u64::from(line.qty)).sum::<u64>();
    if sum(&wanted) < sum(refused) {
        let attempt = attempt.saturating_add(1);
        return Ok(vec![Event::StockWanted(StockWanted { edit_id, attempt, reserve: wanted })]);
    }
    let units: Vec<Units> = wanted.iter().map(|line| Units { line_id: line.line_id, qty: line.qty }).collect();
    cancel::cancel(order, cancellation_id, Some(&units), "out_of_stock")
}

/// All of these or none: inventory lets as many wait in the same batch.
pub(super) fn deferred(order: &Placed, lines: &[LineQty], reason: &str) -> Decision {
    if order.status != Status::Confirmed {
        return Err(wrong_state(order));
    }
    units::once(lines.iter().map(|line| (line.line_id, ())))?;
    let held =
        |line_id: &LineId| order.lines.get(line_id).filter(|line| line.line.stocked).map_or(0, LineState::shippable);
    let short = |line: &&LineQty| line.qty > held(&line.line_id);
    let missing = lines.iter().filter(short).map(|line| ReservedUnits {
        line_id: line.line_id,
        asked: line.qty,
        reserved: held(&line.line_id),
    });
    let missing: Vec<_> = missing.collect();
    match order.reservation_id {
        Some(reservation_id) if missing.is_empty() && !lines.is_empty() => {
            let (lines, reason) = (lines.to_vec(), reason.to_owned());
            let unreserved = LinesUnreserved { reservation_id, lines: lines.clone(), reason };
            let backordered = LinesBackordered { reservation_id, lines };
            Ok(vec![Event::LinesUnreserved(unreserved), Event::LinesBackordered(backordered)])
        }
        _ => Err(Refusal::NotReserved { location: order.location.clone(), lines: missing }),
    }
}

/// An order that ended holds nothing: what inventory holds for it has to be let go.
fn alive(order: &Placed) -> Result<(), Refusal> {
    match order.status {
        Status::Pending | Status::Confirmed | Status::Completed => Ok(()),
        Status::Rejected | Status::Cancelled => Err(wrong_state(order)),
    }
}

fn some(lines: &[LineQty], event: impl FnOnce() -> Event) -> Vec<Event> {
    if lines.is_empty() { Vec::new() } else { vec![event()] }
}
