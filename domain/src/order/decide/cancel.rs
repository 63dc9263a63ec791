//! Cancelling what has not left. Never touches units that left: those come back as a return. A shipment that waits is withdrawn where its units
//! are cancelled.

use std::collections::BTreeMap;

use super::{Decision, bounds, fingerprint, known, pay, units, wrong_state};
use crate::Aggregate;
use crate::ids::{CancellationId, LineId, ShipmentId};
use crate::order::Order;
use crate::order::command::Units;
use crate::order::event::{
    CancellationClosed, Event, LineUnits, LineValue, LinesCancelled, PaymentRecorded, ShipmentWithdrawn,
};
use crate::order::line::LineRelease;
use crate::order::refusal::{Part, Refusal};
use crate::order::state::{LineState, Placed, ShipmentStatus, Status};

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
    for units in &wanted {
        free(order, *units)?;
    }
    // What waits to leave is withdrawn where free units are not enough; the newest first.
    let mut after = Order::Placed(order.clone());
    let mut events = Vec::new();
    let mut put_back: BTreeMap<LineId, u32> = BTreeMap::new();
    for (shipment_id, release) in withdrawn(order, &wanted) {
        for units in &release {
            *put_back.entry(units.line_id).or_default() += units.qty;
        }
        let (cancellation_id, reason) = (Some(cancellation_id), reason.to_owned());
        let event = ShipmentWithdrawn { shipment_id, cancellation_id, release, reason };
        let event = Event::ShipmentWithdrawn(event);
        after.evolve(&event);
        events.push(event);
    }
    let Some(order) = after.placed() else {
        return Ok(events);
    };
    let mut cancelled = Vec::with_capacity(wanted.len());
    let mut release = Vec::new();
    for units in &wanted {
        let Some(line) = order.lines.get(&units.line_id) else {
            continue;
        };
        cancelled.push(LineValue {
            line_id: units.line_id,
            qty: units.qty,
            amount: line.value_of_next(units.qty, order.rounding),
        });
        // Stock lets go of the units of a withdrawn shipment as it puts them back.
        let back = put_back.get(&units.line_id).copied().unwrap_or(0);
        let goods = released(order, line, units.qty);
        let goods = goods.map(|goods| LineRelease { qty: goods.qty.saturating_sub(back), ..goods });
        release.extend(goods.filter(|goods| goods.qty + goods.backordered > 0));
    }
    let units: u64 = wanted.iter().map(|u| u64::from(u.qty)).sum();
    let whole = order.shipped_units() == 0 && order.all_open_units() == units;
    // No unit is left for another shipment: a charge that no shipment carries is cancelled too.
    let shipping = if order.free_units() == units { order.shipping_left() } else { 0 };
    events.push(Event::LinesCancelled(LinesCancelled {
        cancellation_id,
        amount: shipping + cancelled.iter().map(|l| l.amount).sum::<i64>(),
        lines: cancelled,
        shipping,
        release,
        reason: reason.to_owned(),
        whole,
        asked: Some(asked),
    }));
    Ok(events)
}

/// The shipments that have to be withdrawn so that these units are free, and which units of each: the newest ids first, no more than are
/// needed.
fn withdrawn(order: &Placed, wanted: &[Units]) -> Vec<(ShipmentId, Vec<LineUnits>)> {
    let mut missing: BTreeMap<LineId, u32> = wanted
        .iter()
        .filter_map(|units| {
            let free = order.lines.get(&units.line_id)?.free();
            (units.qty > free).then(|| (units.line_id, units.qty - free))
        })
        .collect();
    let mut shipments = Vec::new();
    for (shipment_id, shipment) in order.shipments.iter().rev() {
        let mut taken = Vec::new();
        for (line_id, line) in shipment.lines.iter().filter(|_| shipment.status == ShipmentStatus::Requested) {
            if let Some(missing) = missing.get_mut(line_id).filter(|missing| **missing > 0) {
                let qty = line.qty.min(*missing);
                *missing -= qty;
                taken.push(LineUnits { line_id: *line_id, qty });
            }
        }
        if !taken.is_empty() {
            shipments.push((*shipment_id, taken));
        }
    }
    shipments
}

/// What inventory releases when units of a line are not wanted any more.
pub(super) fn released(order: &Placed, line: &LineState, units: u32) -> Option<LineRelease> {
    let taken = line.take(units);
    (line.line.stocked && taken.units() > 0).then(|| LineRelease {
        line_id: line.line.line_id,
        qty: taken.reserved,
        backordered: taken.backordered,
        location: order.location.clone(),
    })
}

pub(super) fn close(order: &Placed, cancellation_id: CancellationId, declined: Option<&PaymentRecorded>) -> Decision {
    let Some(cancellation) = order.cancellations.get(&cancellation_id) else {
        return Err(Refusal::CancellationNotFound { cancellation_id });
    };
    if cancellation.closed {
        return Ok(Vec::new());
    }
    let mut events = declined.map_or_else(|| Ok(Vec::new()), |told| pay::record(order, told))?;
    events.push(Event::CancellationClosed(CancellationClosed { cancellation_id }));
    Ok(events)
}

fn all_free(order: &Placed) -> Vec<Units> {
    let units =
        |(line_id, line): (&LineId, &LineState)| Units { line_id: *line_id, qty: line.free() + line.waiting(order) };
    let all = order.lines.iter().map(units);
    all.filter(|units| units.qty > 0).collect()
}

/// Units that can be cancelled: free ones, and those of shipments that wait.
fn free(order: &Placed, units: Units) -> Result<(), Refusal> {
    let Some(line) = order.lines.get(&units.line_id) else {
        return Ok(());
    };
    let (asked, open) = (units.qty, line.free() + line.waiting(order));
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
