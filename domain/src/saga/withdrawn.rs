//! Units that an order counts as back and stock has not put back yet: a cancellation that needs some units of a shipment withdraws all of it,
//! and the others are free at once. A release of them would find nothing, and the put-back would then reserve units that no line wants. So
//! a saga that releases units first waits until the shipments that were withdrawn before are back.

use serde_json::json;

use super::process::Batch;
use super::state::State;
use super::step::Notice;
use crate::ids::{CancellationId, ShipmentId};
use crate::order::state::{Placed, ShipmentStatus};
use crate::{Event, order};

/// The note with the shipments that are back.
const BACK: &str = "back";

/// The shipments that an earlier cancellation withdrew and stock has not put back; those that `own` withdrew are not among them, since it
/// releases nothing of theirs.
pub(super) fn not_back_yet(order: &Placed, own: Option<CancellationId>) -> Vec<ShipmentId> {
    let shipments = order.shipments.iter().filter(|(_, shipment)| shipment.status == ShipmentStatus::Withdrawn);
    let earlier =
        shipments.filter(|(_, shipment)| shipment.cancellation_id.is_some() && shipment.cancellation_id != own);
    earlier.map(|(id, _)| *id).collect()
}

/// Whether all of them are back.
pub(super) fn are_back(state: &State, shipments: &[ShipmentId]) -> bool {
    let back = noted(state);
    shipments.iter().all(|shipment| back.contains(shipment))
}

/// Hears which of them are back.
pub(super) fn hear(state: &State, batch: &Batch, shipments: &[ShipmentId], notices: &mut Vec<Notice>) {
    let mut back = noted(state);
    let before = back.len();
    for recorded in &batch.events {
        if let Event::Order(order::Event::ShipmentRefused(it)) = &recorded.event
            && shipments.contains(&it.shipment_id)
            && !back.contains(&it.shipment_id)
        {
            back.push(it.shipment_id);
        }
    }
    if back.len() > before {
        notices.push(Notice::Note { note: BACK, value: json!(back) });
    }
}

fn noted(state: &State) -> Vec<ShipmentId> {
    state.notes.get(BACK).and_then(|back| serde_json::from_value(back.clone()).ok()).unwrap_or_default()
}
