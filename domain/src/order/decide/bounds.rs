//! How much may be said about an order, and asked of it. Every answer tells all of it and every decision folds it, so each kind has a
//! bound. What long processes do because of what was taken is never counted: it is bounded by that, and must not be refused.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::ids::{CancellationId, within};
use crate::order::command::ReturnUnits;
use crate::order::refusal::{Part, Refusal};
use crate::order::state::{Hold, Note, Placed, Refund};
use crate::personal::Personal;
use crate::saga::amendment;

const NOTES: usize = 1_000;
const HOLDS: usize = 200;
/// Of what is said: notes, and the reasons and notes of holds and of returns; in bytes of UTF-8.
const TEXT: usize = 256 * 1_024;
/// Of what is said and of the words with which something is undone: those of cancellations, refunds and declined returns have room also
/// where all that may be said is said. A hold is always released, so that nothing is frozen; there are few.
const ALL_TEXT: usize = 2 * TEXT;
/// Changes of tags, of the address, and of tracking numbers.
const REMARKS: usize = 2_000;
const EDITS: usize = 500;
const CANCELLATIONS: usize = 500;
const REFUNDS: usize = 500;
const SHIPMENTS: usize = 500;
/// That hold money, took some, or are asked for; and in all, declined ones included.
const PAYMENTS: usize = 20;
const ALL_PAYMENTS: usize = 200;
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

fn notes(order: &Placed) -> impl Iterator<Item = &Note> {
    order.notes.values().filter(|note| !note.reported)
}

fn refunds_by_hand(order: &Placed) -> impl Iterator<Item = &Refund> {
    order.refunds.values().filter(|refund| refund.by_hand)
}

fn said(order: &Placed) -> usize {
    let notes: usize = notes(order).map(|note| size(Some(&note.text))).sum();
    let released = order.released_holds.values().map(|released| &released.hold);
    let of = |hold: &Hold| hold.reason.len() + size(hold.note.as_ref());
    let holds: usize = order.holds.values().chain(released).map(of).sum();
    let lines = order.returns.values().flat_map(|announced| &announced.lines);
    notes + holds + lines.map(|line| line.reason.len()).sum::<usize>()
}

fn undone(order: &Placed) -> usize {
    let resolutions = order.released_holds.values().map(|released| released.resolution.len());
    let cancellations = order.cancellations.values().map(|cancellation| cancellation.reason.len());
    let refunds = refunds_by_hand(order).map(|refund| refund.reason.len());
    let declined = order.returns.values().filter_map(|announced| announced.declined.as_ref()).map(String::len);
    let withdrawn = order.shipments.values().filter_map(|shipment| shipment.refused.as_ref()).map(String::len);
    resolutions.chain(cancellations).chain(refunds).chain(declined).chain(withdrawn).sum()
}

fn room_to_say(order: &Placed, more: usize) -> Result<(), Refusal> {
    room(Part::Text, said(order), more, TEXT)
}

fn room_to_undo(order: &Placed, reason: &str) -> Result<(), Refusal> {
    room(Part::Text, said(order) + undone(order), reason.len(), ALL_TEXT)
}

pub(super) fn note(order: &Placed, text: &Personal<String>) -> Result<(), Refusal> {
    room(Part::Note, notes(order).count(), 1, NOTES)?;
    room_to_say(order, size(Some(text)))
}

pub(super) fn hold(order: &Placed, reason: &str, note: Option<&Personal<String>>) -> Result<(), Refusal> {
    room(Part::Hold, order.holds.len() + order.released_holds.len(), 1, HOLDS)?;
    room_to_say(order, reason.len() + size(note))
}

pub(super) fn remark(order: &Placed) -> Result<(), Refusal> {
    room(Part::Remark, order.remarks as usize, 1, REMARKS)
}

pub(super) fn edit(order: &Placed) -> Result<(), Refusal> {
    room(Part::Edit, order.edits.len(), 1, EDITS)
}

/// All that inventory holds for the order is let go in one batch of at most 8,192 events: one for each line, one for each time that an edit
/// ordered more of one, and two for each line to those who wait for its units.
pub(super) fn increases(order: &Placed, lines: usize, more: usize) -> Result<(), Refusal> {
    match more {
        0 => Ok(()),
        more => room(Part::Increase, order.increases as usize, more, 8_000_usize.saturating_sub(3 * lines)),
    }
}

/// An edit that inventory has not got the units for cancels them again: there are no more of those than edits.
pub(super) fn cancellation(order: &Placed, id: CancellationId, reason: &str) -> Result<(), Refusal> {
    let number = order.cancellations.len();
    let text = room_to_undo(order, reason);
    if number < CANCELLATIONS && text.is_ok() {
        return Ok(());
    }
    let of_an_edit = |edit: Uuid| CancellationId(within(order.order_id, amendment::KIND, edit, "cancellation"));
    let of_edits: BTreeSet<_> = order.edits.keys().map(|edit| of_an_edit(edit.0)).collect();
    if of_edits.contains(&id) {
        return Ok(());
    }
    let by_hand = order.cancellations.keys().filter(|id| !of_edits.contains(id));
    room(Part::Cancellation, by_hand.count(), 1, CANCELLATIONS)?;
    text
}

/// Those that follow from a return or a cancellation are bounded by these.
pub(super) fn refund(order: &Placed, reason: &str) -> Result<(), Refusal> {
    room(Part::Refund, refunds_by_hand(order).count(), 1, REFUNDS)?;
    room_to_undo(order, reason)
}

pub(super) fn payment(order: &Placed) -> Result<(), Refusal> {
    let live = order.payments.iter().filter(|it| !it.holds_nothing() || it.captured > 0 || it.awaited() > 0);
    room(Part::Payment, live.count(), 1, PAYMENTS)?;
    room(Part::Payment, order.payments.len(), 1, ALL_PAYMENTS)
}

pub(super) fn shipment(order: &Placed, lines: usize) -> Result<(), Refusal> {
    room(Part::Shipment, order.shipments.len(), 1, SHIPMENTS)?;
    let there = order.shipments.values().map(|shipment| shipment.lines.len()).sum();
    room(Part::ShipmentLine, there, lines, SHIPMENT_LINES)
}

pub(super) fn announced(order: &Placed, lines: &[ReturnUnits]) -> Result<(), Refusal> {
    room(Part::Return, order.returns.len(), 1, RETURNS)?;
    let there = order.returns.values().map(|announced| announced.lines.len()).sum();
    room(Part::ReturnLine, there, lines.len(), RETURN_LINES)?;
    room_to_say(order, lines.iter().map(|line| line.reason.len()).sum())
}

pub(super) fn declined(order: &Placed, reason: &str) -> Result<(), Refusal> {
    room_to_undo(order, reason)
}

/// A shipment is withdrawn once: there are no more of those than shipments.
pub(super) fn withdrawn(order: &Placed, reason: &str) -> Result<(), Refusal> {
    room_to_undo(order, reason)
}

pub(super) fn receipt(order: &Placed) -> Result<(), Refusal> {
    let there: usize = order.returns.values().map(|announced| announced.receipts as usize).sum();
    room(Part::Receipt, there, 1, RECEIPTS)
}
