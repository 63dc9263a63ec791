//! What got lost on its way, what is done about that, and what turns up after all. Lost units cannot come back as well.

use super::Decision;
use super::ship::{all, find, under_way, wrong_stage};
use super::units::{self, invalid};
use crate::Aggregate;
use crate::ids::ShipmentId;
use crate::order::Order;
use crate::order::command::Units;
use crate::order::event::{AfterLoss, Event, LineUnits, LineValue, LossDecided, ShipmentFound, ShipmentLost};
use crate::order::line::LineProblem;
use crate::order::refusal::Refusal;
use crate::order::replacement::replacement_of;
use crate::order::state::{LineState, Placed, Shipment, ShipmentLine};

pub(super) fn report(
    order: &Placed,
    shipment_id: ShipmentId,
    lines: Option<&[Units]>,
    sent: Option<&[Units]>,
    then: AfterLoss,
) -> Decision {
    let lines = under_way(order, shipment_id, lines)?;
    for LineUnits { line_id, qty } in &lines {
        // What is announced to come back has arrived.
        let open = order.lines.get(line_id).map_or(0, LineState::returnable);
        if *qty > open {
            return Err(Refusal::QuantityExceedsShipment { shipment_id, line_id: *line_id, asked: *qty, open });
        }
    }
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let lost = Event::ShipmentLost(ShipmentLost { shipment_id, lines });
    if then == AfterLoss::Later {
        return Ok(vec![lost]);
    }
    let mut after = Order::Placed(order.clone());
    after.evolve(&lost);
    let mut events = vec![lost];
    if let Some(after) = after.placed() {
        let decision = after.shipments.get(&shipment_id).map(|shipment| shipment.decisions.saturating_add(1));
        events.extend(decide(after, shipment_id, decision, sent, then)?);
    }
    Ok(events)
}

/// Of all lost units of it of which nobody decided that yet. `sent` is what the order sends that is placed with it.
pub(super) fn decide(
    order: &Placed,
    shipment_id: ShipmentId,
    decision: Option<u32>,
    sent: Option<&[Units]>,
    then: AfterLoss,
) -> Decision {
    let shipment = find(order, shipment_id)?;
    let next = shipment.decisions.saturating_add(1);
    if decision.is_some_and(|decision| decision < next) || then == AfterLoss::Later {
        return Ok(Vec::new());
    }
    let open = all(shipment.lines.iter(), ShipmentLine::undecided);
    if open.is_empty() || sent.is_some_and(|sent| *sent != *open) {
        return Err(Refusal::NothingLost { shipment_id });
    }
    let value = |units: &Units| LineValue {
        line_id: units.line_id,
        qty: units.qty,
        amount: match (then, order.lines.get(&units.line_id)) {
            (AfterLoss::Refund, Some(line)) => line.refund_of_next(units.qty, order.rounding),
            _ => 0,
        },
    };
    let lines = open.iter().map(value).collect();
    let order_id = (then == AfterLoss::Resend).then(|| replacement_of(order.order_id, shipment_id, next));
    Ok(vec![Event::LossDecided(LossDecided { shipment_id, decision: next, then, lines, order_id })])
}

pub(super) fn found(order: &Placed, shipment_id: ShipmentId, lines: Option<&[Units]>) -> Decision {
    let shipment = find(order, shipment_id)?;
    if !shipment.status.has_left() {
        return Err(wrong_stage(shipment_id, shipment));
    }
    let named = match lines {
        Some(lines) => units::named(order, lines)?,
        None => all(shipment.lines.iter(), |line| line.lost),
    };
    let mut found = Vec::with_capacity(named.len());
    for units in named {
        found.push(lost(shipment_id, shipment, units)?);
    }
    if found.is_empty() {
        Ok(Vec::new())
    } else {
        Ok(vec![Event::ShipmentFound(ShipmentFound { shipment_id, lines: found })])
    }
}

fn lost(shipment_id: ShipmentId, shipment: &Shipment, units: Units) -> Result<LineUnits, Refusal> {
    let Units { line_id, qty } = units;
    let Some(line) = shipment.lines.get(&line_id) else {
        return Err(invalid(line_id, LineProblem::NotFound));
    };
    if qty > line.lost {
        return Err(Refusal::QuantityExceedsShipment { shipment_id, line_id, asked: qty, open: line.lost });
    }
    Ok(LineUnits { line_id, qty })
}
