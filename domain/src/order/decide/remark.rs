//! Holds, addresses, notes and labels: what is said about an order. None of it moves goods or money.

use super::{Decision, bounds, cancel, known, wrong_state};
use crate::ids::{HoldId, NoteId};
use crate::order::event::{
    Address, Event, HoldPlaced, HoldReleased, NoteAdded, ShippingAddressChanged, TagsSet, Visibility,
};
use crate::order::refusal::{Part, Refusal};
use crate::order::state::{Placed, Status};
use crate::personal::Personal;
use crate::time::Timestamp;

pub(super) fn place_hold(
    order: &Placed,
    hold_id: HoldId,
    reason: &str,
    note: Option<&Personal<String>>,
    until: Option<Timestamp>,
) -> Decision {
    let released = || order.released_holds.get(&hold_id).map(|released| &released.hold);
    if let Some(there) = order.holds.get(&hold_id).or_else(released) {
        let same = there.reason == reason && there.note.as_ref() == note && there.until == until;
        return known(same, Part::Hold, hold_id.0);
    }
    if order.status.is_terminal() {
        return Err(wrong_state(order));
    }
    bounds::hold(order, reason, note)?;
    Ok(vec![Event::HoldPlaced(HoldPlaced { hold_id, reason: reason.to_owned(), note: note.cloned(), until })])
}

pub(super) fn release_hold(order: &Placed, hold_id: HoldId, resolution: &str) -> Decision {
    if let Some(there) = order.released_holds.get(&hold_id) {
        return known(there.resolution == resolution, Part::Hold, hold_id.0);
    }
    if !order.holds.contains_key(&hold_id) {
        return Err(Refusal::HoldNotFound { hold_id });
    }
    Ok(vec![Event::HoldReleased(HoldReleased { hold_id, resolution: resolution.to_owned() })])
}

/// What left or is on its way goes to the old address; what is still free goes to the new one.
pub(super) fn change_address(order: &Placed, ship_to: &Personal<Address>) -> Decision {
    let free = order.free_units() > 0;
    match order.status {
        Status::Pending | Status::Confirmed if free => {}
        Status::Completed => return Err(cancel::already_shipped(order)),
        Status::Confirmed if !order.cancelling() => return Err(cancel::already_shipped(order)),
        _ => return Err(wrong_state(order)),
    }
    if order.ship_to.as_ref() == Some(ship_to) {
        return Ok(Vec::new());
    }
    bounds::remark(order)?;
    Ok(vec![Event::ShippingAddressChanged(ShippingAddressChanged { ship_to: ship_to.clone() })])
}

pub(super) fn add_note(order: &Placed, note_id: NoteId, text: &Personal<String>, visibility: Visibility) -> Decision {
    if let Some(there) = order.notes.get(&note_id) {
        let same = there.visibility == visibility && (there.text == *text || there.text == Personal::Erased);
        return known(same, Part::Note, note_id.0);
    }
    bounds::note(order, text)?;
    Ok(vec![Event::NoteAdded(NoteAdded { note_id, text: text.clone(), visibility, reported: false })])
}

/// Bounded by what happened, and never refused: there is no caller who would be told.
pub(super) fn report(order: &Placed, note_id: NoteId, text: &Personal<String>) -> Decision {
    if order.notes.contains_key(&note_id) {
        return Ok(Vec::new());
    }
    let visibility = Visibility::Internal;
    Ok(vec![Event::NoteAdded(NoteAdded { note_id, text: text.clone(), visibility, reported: true })])
}

pub(super) fn set_tags(order: &Placed, tags: &[String]) -> Decision {
    if order.tags == tags {
        return Ok(Vec::new());
    }
    bounds::remark(order)?;
    Ok(vec![Event::TagsSet(TagsSet { tags: tags.to_vec() })])
}
