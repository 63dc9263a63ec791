//! Shipping: only what is reserved leaves, and only when it is paid for or may go unpaid. Never while a hold is open.

use super::units::{self, invalid};
use super::{Decision, bounds, fingerprint, known, wrong_state};
use crate::ids::{LineId, LocationId, ShipmentId};
use crate::money::Minor;
use crate::order::command::Units;
use crate::order::event::{
    Capture, Event, LineUnits, LineValue, PaymentShare, PaymentStatus, ShipmentDelivered, ShipmentDispatched,
    ShipmentRefused, ShipmentRequested, ShipmentWithdrawn, TrackingUpdated,
};
use crate::order::line::LineProblem;
use crate::order::refusal::{Part, Refusal, ReservedUnits};
use crate::order::state::{LineState, Placed, Shipment, ShipmentLine, ShipmentStatus, Status};
use crate::time::Timestamp;

/// Who carries a shipment, and under which number.
#[derive(Clone, Copy)]
pub(super) struct Parcel<'a> {
    pub(super) carrier: Option<&'a String>,
    pub(super) tracking: Option<&'a String>,
}

pub(super) fn request(
    order: &Placed,
    shipment_id: ShipmentId,
    lines: Option<&[Units]>,
    location: Option<&LocationId>,
    parcel: Parcel<'_>,
) -> Decision {
    let asked = (lines.map(units::sorted), location, parcel.carrier, parcel.tracking);
    let asked = fingerprint(shipment_id.0, &asked);
    if let Some(there) = order.shipments.get(&shipment_id) {
        let units = || there.lines.iter().map(|(line_id, line)| Units { line_id: *line_id, qty: line.qty });
        let equal = |lines: &[Units]| units().eq(units::sorted(lines));
        let alike = || lines.is_none_or(equal) && location.is_none_or(|location| *location == there.location);
        let same = there.asked.map_or_else(alike, |there| there == asked);
        return known(same, Part::Shipment, shipment_id.0);
    }
    let wanted = lines.map(|lines| units::named(order, lines)).transpose()?;
    if order.status != Status::Confirmed || order.cancelling() {
        return Err(wrong_state(order));
    }
    not_held(order)?;
    let location = location.unwrap_or(&order.location);
    let lines = reserved(order, wanted, location)?;
    bounds::shipment(order, lines.len())?;
    let shipping = order.shipping_left();
    let value = shipping + lines.iter().map(|l| l.amount).sum::<Minor>();
    let captures = captures(order, value)?;
    Ok(vec![Event::ShipmentRequested(ShipmentRequested {
        shipment_id,
        lines,
        location: location.clone(),
        shipping,
        to_capture: captures.iter().map(|share| share.amount).sum(),
        captures,
        ship_to: order.ship_to.clone(),
        carrier: parcel.carrier.cloned(),
        tracking: parcel.tracking.cloned(),
        asked: Some(asked),
    })])
}

/// The units that shall leave, each line with its value; all that are reserved if none are named.
fn reserved(order: &Placed, wanted: Option<Vec<Units>>, location: &LocationId) -> Result<Vec<LineValue>, Refusal> {
    let wanted = wanted.unwrap_or_else(|| all(order.lines.iter(), LineState::shippable));
    let mut lines = Vec::with_capacity(wanted.len());
    let mut missing = Vec::new();
    for units in wanted {
        let Some(line) = order.lines.get(&units.line_id) else {
            continue;
        };
        let (line_id, asked) = (units.line_id, units.qty);
        if asked > line.free() {
            let open = line.free();
            return Err(Refusal::QuantityExceedsOpen { line_id, asked, open });
        }
        let elsewhere = line.line.stocked && *location != order.location;
        let reserved = if elsewhere { 0 } else { line.shippable() };
        if asked > reserved {
            missing.push(ReservedUnits { line_id, asked, reserved });
        }
        lines.push(LineValue { line_id, qty: asked, amount: line.value_of_next(asked, order.rounding) });
    }
    if lines.is_empty() || !missing.is_empty() {
        return Err(Refusal::NotReserved { location: order.location.clone(), lines: missing });
    }
    Ok(lines)
}

/// What has to be captured before a shipment of this value leaves, and from where: what is kept beyond the other shipments is used first.
fn captures(order: &Placed, value: Minor) -> Result<Vec<PaymentShare>, Refusal> {
    if order.payment_terms.capture == Capture::PayLater || value == 0 {
        return Ok(Vec::new());
    }
    let ledger = order.ledger();
    // What the shipment adds to what is due, and what is there or on its way for that.
    let due = order.due_with(value, ShipmentStatus::is_live);
    let needed = (due - ledger.available() - order.promised()).clamp(0, value);
    if needed == 0 {
        return if given_back(order) { Err(Refusal::NotPaid { needed: value, available: 0 }) } else { Ok(Vec::new()) };
    }
    if order.payment().status == PaymentStatus::Unknown {
        return Err(Refusal::PaymentUnknown);
    }
    // What is captured at confirmation is on its way: a capture for this shipment would take the money a second time.
    let awaited = order.payment_terms.capture == Capture::AtConfirmation;
    let (captures, missing) = order.spread(needed, |payment| if awaited { 0 } else { order.free_of(payment) });
    if missing > 0 {
        return Err(Refusal::NotPaid { needed, available: needed - missing });
    }
    Ok(captures)
}

/// Whether all that was taken is given back again: goods that leave then are given away, which somebody says by a price of 0.
fn given_back(order: &Placed) -> bool {
    let ledger = order.ledger();
    ledger.captured > 0 && ledger.available() == 0
}

pub(super) fn dispatch(order: &Placed, shipment_id: ShipmentId) -> Decision {
    let shipment = find(order, shipment_id)?;
    match shipment.status {
        ShipmentStatus::Requested => {}
        ShipmentStatus::Dispatched | ShipmentStatus::Delivered | ShipmentStatus::Lost => {
            return Ok(Vec::new());
        }
        ShipmentStatus::Refused | ShipmentStatus::Withdrawn => return Err(wrong_stage(shipment_id, shipment)),
    }
    not_held(order)?;
    if order.payment_terms.capture != Capture::PayLater {
        let lines: Minor = shipment.lines.values().map(|l| l.amount).sum();
        let value = shipment.shipping + lines;
        let missing = order.due_with(value, ShipmentStatus::has_left) - order.ledger().available();
        if missing > 0 || (value > 0 && given_back(order)) {
            let available = if missing > 0 { (value - missing).max(0) } else { 0 };
            return Err(Refusal::NotPaid { needed: value, available });
        }
    }
    Ok(vec![Event::ShipmentDispatched(ShipmentDispatched { shipment_id })])
}

/// As long as it has not left; its units are back once stock has put them back.
pub(super) fn withdraw(order: &Placed, shipment_id: ShipmentId, reason: &str) -> Decision {
    let shipment = find(order, shipment_id)?;
    match shipment.status {
        ShipmentStatus::Requested => {
            bounds::withdrawn(order, reason)?;
            let (cancellation_id, release, reason) = (None, Vec::new(), reason.to_owned());
            Ok(vec![Event::ShipmentWithdrawn(ShipmentWithdrawn { shipment_id, cancellation_id, release, reason })])
        }
        ShipmentStatus::Withdrawn | ShipmentStatus::Refused => Ok(Vec::new()),
        ShipmentStatus::Dispatched | ShipmentStatus::Delivered | ShipmentStatus::Lost => {
            Err(wrong_stage(shipment_id, shipment))
        }
    }
}

pub(super) fn refuse(order: &Placed, shipment_id: ShipmentId, reason: &str) -> Decision {
    let shipment = find(order, shipment_id)?;
    match shipment.status {
        ShipmentStatus::Requested | ShipmentStatus::Withdrawn => {
            Ok(vec![Event::ShipmentRefused(ShipmentRefused { shipment_id, reason: reason.to_owned() })])
        }
        ShipmentStatus::Refused => Ok(Vec::new()),
        ShipmentStatus::Dispatched | ShipmentStatus::Delivered | ShipmentStatus::Lost => {
            Err(wrong_stage(shipment_id, shipment))
        }
    }
}

/// What is not named stays as it is.
pub(super) fn update_tracking(order: &Placed, shipment_id: ShipmentId, parcel: Parcel<'_>) -> Decision {
    let shipment = find(order, shipment_id)?;
    if matches!(shipment.status, ShipmentStatus::Refused | ShipmentStatus::Withdrawn) {
        return Err(wrong_stage(shipment_id, shipment));
    }
    let carrier = parcel.carrier.or(shipment.carrier.as_ref()).cloned();
    let tracking = parcel.tracking.or(shipment.tracking.as_ref()).cloned();
    if carrier == shipment.carrier && tracking == shipment.tracking {
        return Ok(Vec::new());
    }
    bounds::remark(order)?;
    Ok(vec![Event::TrackingUpdated(TrackingUpdated { shipment_id, carrier, tracking })])
}

pub(super) fn confirm_delivery(
    order: &Placed,
    shipment_id: ShipmentId,
    lines: Option<&[Units]>,
    at: Option<Timestamp>,
) -> Decision {
    let lines = under_way(order, shipment_id, lines)?;
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![Event::ShipmentDelivered(ShipmentDelivered { shipment_id, lines, at })])
}

/// The units named, or all, of what left and neither arrived nor got lost.
pub(super) fn under_way(
    order: &Placed,
    shipment_id: ShipmentId,
    lines: Option<&[Units]>,
) -> Result<Vec<LineUnits>, Refusal> {
    let shipment = find(order, shipment_id)?;
    if !shipment.status.has_left() {
        return Err(wrong_stage(shipment_id, shipment));
    }
    let named = match lines {
        Some(lines) => units::named(order, lines)?,
        None => all(shipment.lines.iter(), ShipmentLine::under_way),
    };
    let mut units = Vec::with_capacity(named.len());
    for Units { line_id, qty } in named {
        let Some(line) = shipment.lines.get(&line_id) else {
            return Err(invalid(line_id, LineProblem::NotFound));
        };
        let open = line.under_way();
        if qty > open {
            return Err(Refusal::QuantityExceedsShipment { shipment_id, line_id, asked: qty, open });
        }
        units.push(LineUnits { line_id, qty });
    }
    Ok(units)
}

pub(super) fn all<'a, L: 'a>(lines: impl Iterator<Item = (&'a LineId, &'a L)>, units: fn(&L) -> u32) -> Vec<Units> {
    lines.map(|(line_id, line)| Units { line_id: *line_id, qty: units(line) }).filter(|units| units.qty > 0).collect()
}

pub(super) fn find(order: &Placed, shipment_id: ShipmentId) -> Result<&Shipment, Refusal> {
    let missing = Refusal::ShipmentNotFound { shipment_id };
    order.shipments.get(&shipment_id).ok_or(missing)
}

pub(super) fn wrong_stage(shipment_id: ShipmentId, shipment: &Shipment) -> Refusal {
    Refusal::ShipmentState { shipment_id, status: shipment.status }
}

pub(super) fn not_held(order: &Placed) -> Result<(), Refusal> {
    let holds = order.open_holds();
    if holds.is_empty() { Ok(()) } else { Err(Refusal::OnHold { holds }) }
}
