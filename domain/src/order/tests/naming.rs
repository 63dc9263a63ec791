//! Ids that callers name within an order, and how many of what there may be.

use super::*;
use crate::ids::{EditId, HoldId, NoteId, RefundId, within};
use crate::order::event::Visibility;
use crate::order::refusal::{Part, Refusal};
use crate::personal::Personal;
use crate::saga::amendment;

fn note(number: u128, text: &str) -> Command {
    let text = Personal::Known(text.to_owned());
    Command::AddNote { note_id: NoteId(id(number)), text, visibility: Visibility::Internal }
}

fn hold(number: u128, note: &str) -> Command {
    let note = Some(Personal::Known(note.to_owned()));
    Command::PlaceHold { hold_id: HoldId(id(number)), reason: "look".to_owned(), note, until: None }
}

fn happens(events: &[Event]) {
    assert!(!events.is_empty());
}

fn taken(what: Part, number: u128) -> Refusal {
    Refusal::IdTaken { what, id: id(number) }
}

#[test]
fn an_id_that_the_order_knows_means_the_same_again_or_is_refused() {
    let order = || shipped(three_lines());
    let two = |command: Command, other: Command, what: Part| {
        order().after([command.clone()]).when(command.clone()).then_nothing();
        order().after([command]).when(other).then_refused(taken(what, 1));
    };
    two(note(1, "one"), note(1, "two"), Part::Note);
    let gift = |amount| Command::GrantRefund(grant(1, Some(amount)));
    two(gift(100), gift(200), Part::Refund);
    two(request_return(1, &[(L1, 1)]), request_return(1, &[(L1, 2)]), Part::Return);
    order().when(request_shipment(900, Some(vec![units(L1, 1)]))).then_refused(taken(Part::Shipment, 900));

    let order = || confirmed(three_lines());
    let two = |command: Command, other: Command, what: Part| {
        order().after([command.clone()]).when(command.clone()).then_nothing();
        order().after([command]).when(other).then_refused(taken(what, 1));
    };
    two(hold(1, "one"), hold(1, "two"), Part::Hold);
    two(cancel(1, Some(vec![units(L1, 1)])), cancel(1, Some(vec![units(L1, 2)])), Part::Cancellation);
    let qty = |qty| edit(1, vec![Change::SetQty { line_id: L1, qty }]);
    two(qty(5), qty(6), Part::Edit);
    // A hold that was released is not placed again under its id, and the caller is told so.
    let released = Command::ReleaseHold { hold_id: HoldId(id(1)), resolution: "fine".to_owned() };
    order().after([hold(1, "one"), released]).when(hold(1, "two")).then_refused(taken(Part::Hold, 1));
}

#[test]
fn what_is_said_about_an_order_is_bounded() {
    let notes = pending(three_lines()).after((1..=1_000).map(|number| note(number, "x")));
    let notes = notes.when(note(1, "x")).then_nothing();
    notes.when(note(1_001, "x")).then_refused(Refusal::TooMany { what: Part::Note, most: 1_000 });

    let long = "é".repeat(4_000);
    let texts = pending(three_lines()).after((1..=32).map(|number| note(number, &long)));
    let full = || Refusal::TooMany { what: Part::Text, most: 262_144 };
    texts.when(hold(1, &long)).then_refused(full());
    let texts = pending(three_lines()).after((1..=32).map(|number| hold(number, &long)));
    texts.when(note(1, &long)).then_refused(full());

    let tags = (1..=2_000).map(|number| Command::SetTags { tags: vec![number.to_string()] });
    let tagged = pending(three_lines()).after(tags);
    let more = Command::SetTags { tags: vec![] };
    tagged.when(more).then_refused(Refusal::TooMany { what: Part::Remark, most: 2_000 });

    let holds = pending(three_lines()).after((1..=200).flat_map(|number| {
        let hold_id = HoldId(id(number));
        [hold(number, "x"), Command::ReleaseHold { hold_id, resolution: "fine".to_owned() }]
    }));
    holds.when(hold(201, "x")).then_refused(Refusal::TooMany { what: Part::Hold, most: 200 });
}

#[test]
fn what_is_asked_of_an_order_is_bounded_and_what_follows_from_it_is_not() {
    let line = new_line(L1, 2_000, "10.00");
    let edits = (1..=500).map(|number: u32| {
        let changes = vec![Change::SetQty { line_id: L1, qty: 2_000 + number }];
        edit(u128::from(number), changes)
    });
    let edited = confirmed(place_of(vec![line.clone()])).after(edits);
    let more = edit(501, vec![Change::SetQty { line_id: L1, qty: 3_000 }]);
    let edited = edited.when(more).then_refused(Refusal::TooMany { what: Part::Edit, most: 500 });
    let cancelled = edited.after((1..=500).map(|number| cancel(10_000 + number, Some(vec![units(L1, 1)]))));
    let most = Refusal::TooMany { what: Part::Cancellation, most: 500 };
    let cancelled = cancelled.when(cancel(20_000, Some(vec![units(L1, 1)]))).then_refused(most);
    // What an edit leads to where inventory has not got the units is never counted.
    let own = |number| within(OrderId(id(1)), amendment::KIND, EditId(id(number)).0, "cancellation").as_u128();
    let cancelled = cancelled.when(cancel(own(7), Some(vec![units(L1, 1)]))).then_with(happens);
    let most = Refusal::TooMany { what: Part::Cancellation, most: 500 };
    let cancelled = cancelled.when(cancel(20_000, Some(vec![units(L1, 1)]))).then_refused(most);
    cancelled.when(cancel(own(8), Some(vec![units(L1, 1)]))).then_with(happens);

    let given =
        shipped(place_of(vec![line])).after((1..=500).map(|number| Command::GrantRefund(grant(number, Some(1)))));
    let gift = Command::GrantRefund(grant(501, Some(1)));
    let given = given.when(gift).then_refused(Refusal::TooMany { what: Part::Refund, most: 500 });
    let given = given.after([request_return(1, &[(L1, 1)]), receive(1, 1, &[(L1, 1, Disposition::Restock)])]);
    let mut owed = grant(502, Some(1_000));
    (owed.refund_id, owed.return_id) = (RefundId(id(502)), Some(crate::ids::ReturnId(id(1))));
    given.when(Command::GrantRefund(owed)).then_with(happens);
}
