//! The order that sends lost goods again, for nothing: the money of the lost ones is kept. It is placed in the same batch as the decision, and
//! goes its own way from there.

use super::command::{NewLine, Place, Units};
use super::event::{Capture, PaymentTerms};
use super::line::UnitPrice;
use super::state::{Placed, ShipmentLine};
use crate::ids::{LineId, OrderId, ShipmentId, within};

/// The order that the next decision about a shipment's lost units places.
#[must_use]
pub fn replacement_of(order_id: OrderId, shipment_id: ShipmentId, decision: u32) -> OrderId {
    OrderId(within(order_id, "loss", shipment_id.0, &format!("{decision}/order")))
}

/// What places the order that sends these units again.
#[must_use]
pub fn place(lost: &Placed, order_id: OrderId, units: &[Units]) -> Place {
    let line = |(number, units): (usize, &Units)| {
        let line = &lost.lines.get(&units.line_id)?.line;
        Some(NewLine {
            line_id: LineId(u32::try_from(number).ok()?.saturating_add(1)),
            sku: line.sku.clone(),
            title: line.title.clone(),
            qty: units.qty,
            unit_price: UnitPrice::default(),
            discount: 0,
            tax_bp: line.tax_bp,
            tax_included: line.tax_included,
            backorder_ok: line.backorder_ok,
            stocked: line.stocked,
        })
    };
    Place {
        order_id,
        external_ref: None,
        channel: lost.channel.clone(),
        customer: lost.customer.clone(),
        currency: lost.currency,
        rounding: lost.rounding,
        lines: units.iter().enumerate().filter_map(line).collect(),
        discount: 0,
        shipping: Vec::new(),
        ship_to: lost.ship_to.clone(),
        payment: PaymentTerms { capture: Capture::AtShipment, instrument: "".into(), retry_for_s: 0 },
        location: lost.location.clone(),
        reserve_for_s: lost.reserve_for_s,
        occurred_at: None,
        tags: Vec::new(),
        expected_total: Some(0),
        replaces: Some(lost.order_id),
        basket: None,
    }
}

/// The lost units of a shipment without a decision, including those that are reported as lost now.
#[must_use]
pub fn undecided(order: &Placed, shipment_id: ShipmentId, lost_now: &[Units]) -> Vec<Units> {
    let Some(shipment) = order.shipments.get(&shipment_id) else {
        return Vec::new();
    };
    let now = |line_id: &LineId| {
        lost_now.iter().filter(|units| units.line_id == *line_id).map(|units| units.qty).sum::<u32>()
    };
    let of =
        |(line_id, line): (&LineId, &ShipmentLine)| Units { line_id: *line_id, qty: line.undecided() + now(line_id) };
    shipment.lines.iter().map(of).filter(|units| units.qty > 0).collect()
}

/// The units of a shipment that are on their way.
#[must_use]
pub fn under_way(order: &Placed, shipment_id: ShipmentId) -> Vec<Units> {
    let lines = order.shipments.get(&shipment_id).into_iter().flat_map(|shipment| &shipment.lines);
    let units = lines.map(|(line_id, line)| Units { line_id: *line_id, qty: line.under_way() });
    units.filter(|units| units.qty > 0).collect()
}
