//! How an order moves past what happened to its shipments. Units and values move together, never one without the other.

use crate::ids::ShipmentId;
use crate::order::event::{
    AfterLoss, LineUnits, LineValue, LossDecided, ShipmentFound, ShipmentRequested, ShipmentWithdrawn,
};
use crate::order::state::{Placed, Shipment, ShipmentCapture, ShipmentLine, ShipmentStatus};

/// What happened to units in transit.
#[derive(Clone, Copy)]
pub(super) enum Arrival {
    Delivered,
    Lost,
}

impl Placed {
    pub(super) fn request_shipment(&mut self, requested: &ShipmentRequested) {
        for value in &requested.lines {
            if let Some(line) = self.lines.get_mut(&value.line_id) {
                line.shipping = line.shipping.saturating_add(value.qty);
                line.shipping_value = line.shipping_value.saturating_add(value.amount);
            }
        }
        self.shipping_shipped = self.shipping_shipped.saturating_add(requested.shipping);
        let of = |value: &LineValue| {
            let line = ShipmentLine { qty: value.qty, amount: value.amount, ..ShipmentLine::default() };
            (value.line_id, line)
        };
        let shipment = Shipment {
            status: ShipmentStatus::Requested,
            lines: requested.lines.iter().map(of).collect(),
            location: requested.location.clone(),
            shipping: requested.shipping,
            to_capture: requested.to_capture,
            captures: requested.captures.iter().map(|share| ShipmentCapture { share: *share, done: false }).collect(),
            ship_to: requested.ship_to.clone(),
            cancellation_id: None,
            decisions: 0,
            resent: Vec::new(),
            carrier: requested.carrier.clone(),
            tracking: requested.tracking.clone(),
            refused: None,
            asked: requested.asked,
        };
        self.shipments.insert(requested.shipment_id, shipment);
    }

    pub(super) fn dispatch(&mut self, shipment_id: ShipmentId) {
        let Some(shipment) = self.shipments.get_mut(&shipment_id) else {
            return;
        };
        shipment.status = ShipmentStatus::Dispatched;
        for (line_id, part) in &shipment.lines {
            if let Some(line) = self.lines.get_mut(line_id) {
                line.shipping = line.shipping.saturating_sub(part.qty);
                line.reserved = line.reserved.saturating_sub(part.qty);
                line.shipped = line.shipped.saturating_add(part.qty);
                line.shipping_value = line.shipping_value.saturating_sub(part.amount);
                line.shipped_value = line.shipped_value.saturating_add(part.amount);
            }
        }
    }

    pub(super) fn withdraw_shipment(&mut self, withdrawn: &ShipmentWithdrawn) {
        let Some(shipment) = self.shipments.get_mut(&withdrawn.shipment_id) else {
            return;
        };
        shipment.status = ShipmentStatus::Withdrawn;
        shipment.refused = Some(withdrawn.reason.clone());
        shipment.cancellation_id = withdrawn.cancellation_id;
        // The cancellation that comes next has the units; otherwise they are back once stock has put them back.
        if withdrawn.cancellation_id.is_some() {
            self.units_back(withdrawn.shipment_id);
        }
    }

    pub(super) fn refuse_shipment(&mut self, shipment_id: ShipmentId, reason: &str) {
        let Some(shipment) = self.shipments.get_mut(&shipment_id) else {
            return;
        };
        shipment.status = ShipmentStatus::Refused;
        shipment.refused.get_or_insert_with(|| reason.to_owned());
        if shipment.cancellation_id.is_none() {
            self.units_back(shipment_id);
        }
    }

    fn units_back(&mut self, shipment_id: ShipmentId) {
        let Some(shipment) = self.shipments.get(&shipment_id) else {
            return;
        };
        self.shipping_shipped = self.shipping_shipped.saturating_sub(shipment.shipping);
        for (line_id, part) in &shipment.lines {
            if let Some(line) = self.lines.get_mut(line_id) {
                line.shipping = line.shipping.saturating_sub(part.qty);
                line.shipping_value = line.shipping_value.saturating_sub(part.amount);
                line.basis = line.taken();
            }
        }
    }

    pub(super) fn decide_loss(&mut self, decided: &LossDecided) {
        let Some(shipment) = self.shipments.get_mut(&decided.shipment_id) else {
            return;
        };
        shipment.decisions = decided.decision;
        shipment.resent.extend(decided.order_id);
        for value in &decided.lines {
            let (Some(part), Some(line)) = (shipment.lines.get_mut(&value.line_id), self.lines.get_mut(&value.line_id))
            else {
                continue;
            };
            part.decided = part.decided.saturating_add(value.qty).min(part.lost);
            if decided.then == AfterLoss::Refund {
                line.lost_refunded = line.lost_refunded.saturating_add(value.qty);
                line.lost_value = line.lost_value.saturating_add(value.amount);
            }
        }
    }

    pub(super) fn found(&mut self, found: &ShipmentFound) {
        let Some(shipment) = self.shipments.get_mut(&found.shipment_id) else {
            return;
        };
        for units in &found.lines {
            let (Some(part), Some(line)) = (shipment.lines.get_mut(&units.line_id), self.lines.get_mut(&units.line_id))
            else {
                continue;
            };
            let qty = units.qty.min(part.lost);
            part.lost -= qty;
            part.delivered = part.delivered.saturating_add(qty);
            part.decided = part.decided.min(part.lost);
            line.lost = line.lost.saturating_sub(qty);
            line.delivered = line.delivered.saturating_add(qty);
        }
        if !shipment.lines.values().any(|part| part.under_way() > 0 || part.lost > 0) {
            shipment.status = ShipmentStatus::Delivered;
        }
    }

    pub(super) fn arrived(&mut self, shipment_id: ShipmentId, lines: &[LineUnits], arrival: Arrival) {
        let Some(shipment) = self.shipments.get_mut(&shipment_id) else {
            return;
        };
        for units in lines {
            let (Some(part), Some(line)) = (shipment.lines.get_mut(&units.line_id), self.lines.get_mut(&units.line_id))
            else {
                continue;
            };
            match arrival {
                Arrival::Delivered => {
                    part.delivered = part.delivered.saturating_add(units.qty);
                    line.delivered = line.delivered.saturating_add(units.qty);
                }
                Arrival::Lost => {
                    part.lost = part.lost.saturating_add(units.qty);
                    line.lost = line.lost.saturating_add(units.qty);
                }
            }
        }
        let under_way = |part: &ShipmentLine| part.under_way() > 0;
        if !shipment.lines.values().any(under_way) {
            let lost = shipment.lines.values().any(|part| part.lost > 0);
            shipment.status = if lost { ShipmentStatus::Lost } else { ShipmentStatus::Delivered };
        }
    }
}
