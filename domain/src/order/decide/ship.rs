//! Shipping: only what is reserved leaves, and only when it is paid for or may go unpaid. Never while a hold is open.

use super::units::{self, invalid};
use super::{Decision, bounds, fingerprint, known, wrong_state};
use crate::ids::{LineId, LocationId, ShipmentId};
use crate::money::Minor;
use crate::order::command::Units;
use crate::order::event::{
    Capture, Event, LineUnits, LineValue, PaymentStatus, ShipmentDelivered, ShipmentDispatched, ShipmentLost,
    ShipmentRefused, ShipmentRequested, TrackingUpdated,
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
    let to_capture = to_capture(order, value)?;
    Ok(vec![Event::ShipmentRequested(ShipmentRequested {
        shipment_id,
        lines,
        location: location.clone(),
        shipping,
        to_capture,
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

/// What has to be captured before a shipment of this value leaves: what is captured beyond the other shipments is used first.
fn to_capture(order: &Placed, value: Minor) -> Result<Minor, Refusal> {
    let payment = &order.payment;
    if order.payment_terms.capture == Capture::PayLater || value == 0 {
        return Ok(0);
    }
    let surplus = order.captured_for_goods() - order.value_of_shipments(ShipmentStatus::is_live);
    let needed = value - surplus.clamp(0, value);
    if needed == 0 {
        return Ok(0);
    }
    if payment.status == PaymentStatus::Unknown {
        return Err(Refusal::PaymentUnknown);
    }
    let held = !matches!(payment.status, PaymentStatus::None | PaymentStatus::Voided | PaymentStatus::Declined);
    // What is captured at confirmation is on its way: a capture for this shipment would take the money a second time.
    let awaited = order.payment_terms.capture == Capture::AtConfirmation && payment.captured == 0;
    // Other shipments still have to capture what they are short of.
    let promised = (-surplus).max(0);
    let available = if held && !awaited { (payment.authorised - payment.captured - promised).max(0) } else { 0 };
    if needed > available {
        return Err(Refusal::NotPaid { needed, available });
    }
    Ok(needed)
}

pub(super) fn dispatch(order: &Placed, shipment_id: ShipmentId) -> Decision {
    let shipment = find(order, shipment_id)?;
    match shipment.status {
        ShipmentStatus::Requested => {}
        ShipmentStatus::Dispatched | ShipmentStatus::Delivered | ShipmentStatus::Lost => {
            return Ok(Vec::new());
        }
        ShipmentStatus::Refused => return Err(wrong_stage(shipment_id, shipment)),
    }
    not_held(order)?;
    if order.payment_terms.capture != Capture::PayLater {
        let lines: Minor = shipment.lines.values().map(|l| l.amount).sum();
        let needed = shipment.shipping + lines;
        let left = order.value_of_shipments(ShipmentStatus::has_left);
        let available = (order.captured_for_goods() - left).max(0);
        if needed > available {
            return Err(Refusal::NotPaid { needed, available });
        }
    }
    Ok(vec![Event::ShipmentDispatched(ShipmentDispatched { shipment_id })])
}

pub(super) fn refuse(order: &Placed, shipment_id: ShipmentId, reason: &str) -> Decision {
    let shipment = find(order, shipment_id)?;
    match shipment.status {
        ShipmentStatus::Requested => {
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
    if shipment.status == ShipmentStatus::Refused {
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

pub(super) fn report_lost(order: &Placed, shipment_id: ShipmentId, lines: Option<&[Units]>) -> Decision {
    let lines = under_way(order, shipment_id, lines)?;
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![Event::ShipmentLost(ShipmentLost { shipment_id, lines })])
}

/// The units named, or all, of what left and neither arrived nor got lost.
fn under_way(order: &Placed, shipment_id: ShipmentId, lines: Option<&[Units]>) -> Result<Vec<LineUnits>, Refusal> {
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

fn all<'a, L: 'a>(lines: impl Iterator<Item = (&'a LineId, &'a L)>, units: fn(&L) -> u32) -> Vec<Units> {
    lines.map(|(line_id, line)| Units { line_id: *line_id, qty: units(line) }).filter(|units| units.qty > 0).collect()
}

fn find(order: &Placed, shipment_id: ShipmentId) -> Result<&Shipment, Refusal> {
    let missing = Refusal::ShipmentNotFound { shipment_id };
    order.shipments.get(&shipment_id).ok_or(missing)
}

fn wrong_stage(shipment_id: ShipmentId, shipment: &Shipment) -> Refusal {
    Refusal::ShipmentState { shipment_id, status: shipment.status }
}

fn not_held(order: &Placed) -> Result<(), Refusal> {
    let holds = order.open_holds();
    if holds.is_empty() { Ok(()) } else { Err(Refusal::OnHold { holds }) }
}
