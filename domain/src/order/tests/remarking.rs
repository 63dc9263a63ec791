//! Holds, addresses, notes and labels.

use super::*;
use crate::ids::{HoldId, NoteId};
use crate::order::event::{Address, Visibility};
use crate::order::refusal::Refusal;
use crate::order::state::Status;
use crate::personal::Personal;

fn hold(number: u128) -> Command {
    Command::PlaceHold {
        hold_id: HoldId(id(number)),
        reason: "address".to_owned(),
        note: Some(Personal::Known("ask her".to_owned())),
        until: None,
    }
}

fn release(number: u128) -> Command {
    Command::ReleaseHold { hold_id: HoldId(id(number)), resolution: "asked".to_owned() }
}

fn send_to(city: &str) -> Command {
    Command::ChangeAddress { ship_to: Personal::Known(Address { city: city.to_owned(), ..Address::default() }) }
}

fn one_event(events: &[Event]) {
    assert_eq!(events.len(), 1, "{events:?}");
}

#[test]
fn a_hold_is_placed_once_and_released_once() {
    let order = pending(three_lines()).when(hold(1)).then_with(one_event);
    assert_eq!(order.look().open_holds().len(), 1);
    let order = order.when(release(1)).then_with(one_event);
    assert_eq!(order.look().open_holds().len(), 0);
    let order = order.when(hold(1)).then_nothing();
    let hold_id = HoldId(id(2));
    order.when(release(2)).then_refused(Refusal::HoldNotFound { hold_id });
    shipped(three_lines())
        .when(hold(1))
        .then_refused(Refusal::OrderState { status: Status::Completed, cancelling: false });
}

#[test]
fn an_order_is_sent_elsewhere_while_something_is_left_to_send() {
    let order = pending(three_lines()).when(send_to("York")).then_with(one_event);
    let order = order.when(send_to("York")).then_nothing();
    order.when(send_to("Leeds")).then_with(one_event);
    let order = confirmed(three_lines()).after([request_shipment(1, Some(vec![units(L1, 3)]))]);
    order.when(send_to("York")).then_with(one_event);
    shipped(three_lines()).when(send_to("York")).then_refused(Refusal::AlreadyShipped {
        line_id: None,
        shipped: 9,
        in_shipment: 0,
        open: 0,
    });
    confirmed(three_lines())
        .after([cancel(1, None)])
        .when(send_to("York"))
        .then_refused(Refusal::OrderState { status: Status::Confirmed, cancelling: true });
}

#[test]
fn notes_are_added_once_and_labels_are_replaced() {
    let note = Command::AddNote {
        note_id: NoteId(id(1)),
        text: Personal::Known("hello".to_owned()),
        visibility: Visibility::Customer,
    };
    let order = pending(three_lines()).when(note).then_with(one_event);
    assert_eq!(order.look().notes.len(), 1);
    let tags = Command::SetTags { tags: vec!["vip".to_owned()] };
    let order = order.when(tags).then_with(one_event);
    assert_eq!(order.look().tags, ["vip"]);
}
