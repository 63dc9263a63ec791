//! Cancelling what has not left. Never touches units that left or are on their way: those come back as a return.

use std::collections::BTreeMap;

use super::{Decision, bounds, confirm, fingerprint, known, units, wrong_state};
use crate::ids::{CancellationId, LineId};
use crate::order::command::Units;
use crate::order::event::{CancellationClosed, Cancelled, Event, LineValue, LinesCancelled};
use crate::order::line::LineQty;
use crate::order::refusal::{Part, Refusal};
use crate::order::state::{LineState, Placed, Status};

pub(super) fn cancel(
    order: &Placed,
    cancellation_id: CancellationId,
    lines: Option<&[Units]>,
    reason: &str,
) -> Decision {
    let asked = fingerprint(cancellation_id.0, &(lines.map(units::sorted), reason));
    if let Some(there) = order.cancellations.get(&cancellation_id) {
        let named = |lines: &[Units]| lines.iter().map(|line| (line.line_id, line.qty)).collect::<BTreeMap<_, _>>();
        let alike = || there.reason == reason && lines.is_none_or(|lines| named(lines) == there.lines);
        let same = there.asked.map_or_else(alike, |there| there == asked);
        return known(same, Part::Cancellation, cancellation_id.0);
    }
    let all = all_free(order);
    let wanted = match lines {
        None => all.clone(),
        Some(lines) => units::named(order, lines)?,
    };
    match order.status {
        Status::Confirmed | Status::Completed => {}
        // Before confirmation, checkout has the stock and the money of all lines on its way.
        Status::Pending if wanted == all => {}
        Status::Pending | Status::Rejected | Status::Cancelled => return Err(wrong_state(order)),
    }
    if wanted.is_empty() {
        return Err(nothing_free(order));
    }
    bounds::cancellation(order, cancellation_id, reason)?;
    let mut cancelled = Vec::with_capacity(wanted.len());
    let mut release = Vec::new();
    for units in &wanted {
        let Some(line) = order.lines.get(&units.line_id) else {
            continue;
        };
        free(line, *units)?;
        cancelled.push(LineValue {
            line_id: units.line_id,
            qty: units.qty,
            amount: line.value_of_next(units.qty, order.rounding),
        });
        release.extend(released(order, line, units.qty));
    }
    let units: u64 = wanted.iter().map(|u| u64::from(u.qty)).sum();
    let whole = order.shipped_units() == 0 && order.all_open_units() == units;
    let shipping = if whole { order.shipping_left() } else { 0 };
    Ok(vec![Event::LinesCancelled(LinesCancelled {
        cancellation_id,
        amount: shipping + cancelled.iter().map(|l| l.amount).sum::<i64>(),
        lines: cancelled,
        shipping,
        release,
        reason: reason.to_owned(),
        whole,
        asked: Some(asked),
    })])
}

/// What inventory lets go of when units of a line are not wanted any more.
pub(super) fn released(order: &Placed, line: &LineState, units: u32) -> Option<LineQty> {
    let qty = line.take(units).units();
    (line.line.stocked && qty > 0).then(|| LineQty {
        line_id: line.line.line_id,
        qty,
        location: order.location.clone(),
    })
}

pub(super) fn close(order: &Placed, cancellation_id: CancellationId) -> Decision {
    let Some(cancellation) = order.cancellations.get(&cancellation_id) else {
        return Err(Refusal::CancellationNotFound { cancellation_id });
    };
    if cancellation.closed {
        return Ok(Vec::new());
    }
    let mut events = vec![Event::CancellationClosed(CancellationClosed { cancellation_id })];
    let others_open = order.cancellations.iter().any(|(id, other)| *id != cancellation_id && !other.closed);
    let nothing_left = order.all_open_units() == 0 && order.shipped_units() == 0;
    if !order.status.is_terminal() && nothing_left && !others_open {
        // The order is cancelled for the reason for which nothing of it was left.
        let whole = order.cancellations.values().find(|c| c.whole);
        events.push(Event::Cancelled(Cancelled { reason: whole.unwrap_or(cancellation).reason.clone() }));
    } else {
        events.extend(confirm::completed(order));
    }
    Ok(events)
}

fn all_free(order: &Placed) -> Vec<Units> {
    let units = |(line_id, line): (&LineId, &LineState)| Units { line_id: *line_id, qty: line.free() };
    let all = order.lines.iter().map(units);
    all.filter(|units| units.qty > 0).collect()
}

fn free(line: &LineState, units: Units) -> Result<(), Refusal> {
    let (asked, open) = (units.qty, line.free());
    let line_id = units.line_id;
    if asked <= open {
        Ok(())
    } else if asked <= open + line.shipping + line.shipped {
        Err(Refusal::AlreadyShipped { line_id: Some(line_id), shipped: line.shipped, in_shipment: line.shipping, open })
    } else {
        Err(Refusal::QuantityExceedsOpen { line_id, asked, open })
    }
}

fn nothing_free(order: &Placed) -> Refusal {
    let shipped = order.shipped_units();
    let in_shipment = order.units_in_shipment();
    if shipped + in_shipment == 0 {
        return wrong_state(order);
    }
    already_shipped(order)
}

/// Nothing of the order is free any more.
pub(super) fn already_shipped(order: &Placed) -> Refusal {
    let number = |units: u64| u32::try_from(units).unwrap_or(u32::MAX);
    Refusal::AlreadyShipped {
        line_id: None,
        shipped: number(order.shipped_units()),
        in_shipment: number(order.units_in_shipment()),
        open: 0,
    }
}
