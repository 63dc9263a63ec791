//! How much may be said about an order, and asked of it. Every answer tells all of it and every decision folds it, so each kind has a
//! bound. What long processes do because of what was taken is never counted: it is bounded by that, and must not be refused.

use crate::ids::{CancellationId, within};
use crate::order::refusal::{Part, Refusal};
use crate::order::state::{Hold, Placed};
use crate::personal::Personal;
use crate::saga::amendment;

const NOTES: usize = 1_000;
const HOLDS: usize = 200;
/// Of notes and of the notes of holds, in bytes of UTF-8.
const TEXT: usize = 256 * 1_024;
/// Changes of tags, of the address, and of tracking numbers.
const REMARKS: usize = 2_000;
const EDITS: usize = 500;
const CANCELLATIONS: usize = 500;
const REFUNDS: usize = 500;
const SHIPMENTS: usize = 500;
/// Of all shipments.
const SHIPMENT_LINES: usize = 20_000;
const RETURNS: usize = 200;
/// Of all returns.
const RETURN_LINES: usize = 10_000;
/// Of all returns.
const RECEIPTS: usize = 1_000;

fn room(what: Part, there: usize, more: usize, most: usize) -> Result<(), Refusal> {
    if there.saturating_add(more) <= most {
        return Ok(());
    }
    Err(Refusal::TooMany { what, most: u32::try_from(most).unwrap_or(u32::MAX) })
}

fn size(text: Option<&Personal<String>>) -> usize {
    text.and_then(Personal::known).map_or(0, String::len)
}

fn room_for_text(order: &Placed, more: usize) -> Result<(), Refusal> {
    let notes: usize = order.notes.values().map(|note| size(Some(&note.text))).sum();
    let of = |hold: &Hold| size(hold.note.as_ref());
    let holds: usize = order.holds.values().map(of).sum();
    let released: usize = order.released_holds.values().map(|released| of(&released.hold)).sum();
    room(Part::Text, notes + holds + released, more, TEXT)
}

pub(super) fn note(order: &Placed, text: &Personal<String>) -> Result<(), Refusal> {
    room(Part::Note, order.notes.len(), 1, NOTES)?;
    room_for_text(order, size(Some(text)))
}

pub(super) fn hold(order: &Placed, note: Option<&Personal<String>>) -> Result<(), Refusal> {
    room(Part::Hold, order.holds.len() + order.released_holds.len(), 1, HOLDS)?;
    room_for_text(order, size(note))
}

pub(super) fn remark(order: &Placed) -> Result<(), Refusal> {
    room(Part::Remark, order.remarks as usize, 1, REMARKS)
}

pub(super) fn edit(order: &Placed) -> Result<(), Refusal> {
    room(Part::Edit, order.edits.len(), 1, EDITS)
}

/// An edit that inventory has not got the units for cancels them again: there are no more of those than edits.
pub(super) fn cancellation(order: &Placed, id: CancellationId) -> Result<(), Refusal> {
    let of_an_edit = |id: CancellationId| {
        order.edits.keys().any(|edit| within(order.order_id, amendment::KIND, edit.0, "cancellation") == id.0)
    };
    match room(Part::Cancellation, order.cancellations.len(), 1, CANCELLATIONS) {
        Err(_) if of_an_edit(id) => Ok(()),
        Err(refusal) => {
            let own = order.cancellations.keys().filter(|id| of_an_edit(**id)).count();
            room(Part::Cancellation, order.cancellations.len() - own, 1, CANCELLATIONS).map_err(|_| refusal)
        }
        Ok(()) => Ok(()),
    }
}

/// Those that follow from a return or a cancellation are bounded by these.
pub(super) fn refund(order: &Placed) -> Result<(), Refusal> {
    let by_hand = order.refunds.values().filter(|it| it.return_id.is_none() && it.cancellation_id.is_none());
    room(Part::Refund, by_hand.count(), 1, REFUNDS)
}

pub(super) fn shipment(order: &Placed, lines: usize) -> Result<(), Refusal> {
    room(Part::Shipment, order.shipments.len(), 1, SHIPMENTS)?;
    let there = order.shipments.values().map(|shipment| shipment.lines.len()).sum();
    room(Part::ShipmentLine, there, lines, SHIPMENT_LINES)
}

pub(super) fn announced(order: &Placed, lines: usize) -> Result<(), Refusal> {
    room(Part::Return, order.returns.len(), 1, RETURNS)?;
    let there = order.returns.values().map(|announced| announced.lines.len()).sum();
    room(Part::ReturnLine, there, lines, RETURN_LINES)
}

pub(super) fn receipt(order: &Placed) -> Result<(), Refusal> {
    let there: usize = order.returns.values().map(|announced| announced.receipts as usize).sum();
    room(Part::Receipt, there, 1, RECEIPTS)
}
