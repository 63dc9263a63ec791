//! Ids that callers name within an order, and the bounds on their numbers.

use serde_json::Value;

use super::*;
use crate::ids::{EditId, HoldId, NoteId, within};
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
    // A released hold is not placed again under its id, and the caller gets an error.
    let released = Command::ReleaseHold { hold_id: HoldId(id(1)), resolution: "fine".to_owned() };
    order().after([hold(1, "one"), released]).when(hold(1, "two")).then_refused(taken(Part::Hold, 1));
}

/// Another value of the same type.
fn other(value: &Value) -> Value {
    match value {
        Value::Number(number) => (number.as_u64().unwrap() + 1).into(),
        Value::String(text) => match text.as_str() {
            "internal" => "customer".into(),
            "restock" => "damaged".into(),
            text if text.parse::<Uuid>().is_ok() => id(77).to_string().into(),
            text if text.parse::<crate::time::Timestamp>().is_ok() => "2020-01-01T00:00:00Z".into(),
            text if text.parse::<f64>().is_ok() => "7.77".into(),
            text => format!("{text}x").into(),
        },
        other => panic!("{other} has no other value"),
    }
}

/// The places of all fields of a command, except those that are left out.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| places(value, &format!("{at}/{name}"), found)),
        Value::Array(entries) => {
            entries.iter().enumerate().for_each(|(i, value)| places(value, &format!("{at}/{i}"), found));
        }
        Value::Null => {}
        _ => found.push(at.to_owned()),
    }
}

/// The same command with one thing changed or left out, each thing in turn.
fn variations(command: &Command, fixed: &[&str]) -> Vec<Command> {
    let written = serde_json::to_value(command).unwrap();
    let mut found = Vec::new();
    places(&written, "", &mut found);
    let said = found.into_iter().filter(|at| !fixed.iter().any(|fixed| at.ends_with(fixed)));
    let changed = said.map(|at| {
        let mut changed = written.clone();
        *changed.pointer_mut(&at).unwrap() = other(written.pointer(&at).unwrap());
        serde_json::from_value::<Command>(changed).unwrap_or_else(|error| panic!("{at}: {error}"))
    });
    let kind = written.as_object().unwrap().keys().next().unwrap();
    let optional = written[kind].as_object().unwrap().iter().filter(|(name, value)| {
        !value.is_null() && !fixed.iter().any(|fixed| fixed.trim_start_matches('/') == name.as_str())
    });
    let left_out = optional.filter_map(|(name, _)| {
        let mut less = written.clone();
        less[kind][name] = Value::Null;
        serde_json::from_value::<Command>(less).ok()
    });
    changed.chain(left_out).collect()
}

#[test]
fn an_id_with_the_same_content_is_a_repetition_and_with_anything_else_it_is_taken() {
    let at = Some("2026-01-01T00:00:00Z".parse().unwrap());
    let text = |text: &str| Personal::Known(text.to_owned());
    let shipment = Command::RequestShipment {
        shipment_id: crate::ids::ShipmentId(id(1)),
        lines: Some(vec![units(L1, 1), units(L2, 2)]),
        location: Some("main".parse().unwrap()),
        carrier: Some("DHL".to_owned()),
        tracking: Some("7".to_owned()),
    };
    let mut refund = grant(1, Some(300));
    refund.lines = vec![crate::order::event::LineValue { line_id: L1, qty: 1, amount: 300 }];
    let hold = Command::PlaceHold {
        hold_id: HoldId(id(1)),
        reason: "look".to_owned(),
        note: Some(text("at this")),
        until: at,
    };
    let added = new_line(LineId(9), 2, "10.00");
    let edit = edit(1, vec![Change::SetQty { line_id: L1, qty: 5 }, Change::Add(added)]);
    let release = Command::ReleaseHold { hold_id: HoldId(id(1)), resolution: "fine".to_owned() };
    let decline = Command::DeclineReturn { return_id: crate::ids::ReturnId(id(1)), reason: "late".to_owned() };
    let announced = || request_return(1, &[(L1, 2), (L2, 1)]);
    let came = Command::ReceiveReturn {
        return_id: crate::ids::ReturnId(id(1)),
        receipt: Some(1),
        lines: vec![crate::order::command::ReceivedUnits {
            line_id: L1,
            qty: 1,
            disposition: Disposition::Restock,
            location: Some("main".parse().unwrap()),
        }],
    };
    let open = || confirmed(three_lines());
    let left = || shipped(three_lines());
    let cases = [
        (open(), shipment, "/shipment_id", Part::Shipment),
        (open(), cancel(1, Some(vec![units(L1, 1), units(L2, 2)])), "/cancellation_id", Part::Cancellation),
        (open(), edit, "/edit_id", Part::Edit),
        (open(), note(1, "one"), "/note_id", Part::Note),
        (open(), hold.clone(), "/hold_id", Part::Hold),
        (open().after([hold]), release, "/hold_id", Part::Hold),
        (left(), Command::GrantRefund(refund), "/refund_id", Part::Refund),
        (left(), announced(), "/return_id", Part::Return),
        (left().after([announced()]), decline, "/return_id", Part::Return),
        (left().after([announced()]), came, "/return_id", Part::Receipt),
    ];
    for (order, command, own, what) in cases {
        // Which receipt it is belongs to its name, as the id does; a line that is added is not looked at more closely than another.
        let others = variations(&command, &[own, "/receipt", "/tax_included", "/backorder_ok", "/stocked"]);
        assert!(!others.is_empty());
        let mut order = order.when(command.clone()).then_with(happens);
        order = order.when(command).then_nothing();
        for other in others {
            order = order.when(other).then_refused(taken(what, 1));
        }
    }
}

#[test]
fn what_daybook_reports_is_noted_however_many_notes_there_are() {
    let report = |number| Command::Report { note_id: NoteId(id(number)), text: Personal::Known("look".to_owned()) };
    let notes = pending(three_lines()).after((1..=1_000).map(|number| note(number, "x")));
    let notes = notes.when(report(2_000)).then_with(happens);
    notes.when(note(1_001, "x")).then_refused(Refusal::TooMany { what: Part::Note, most: 1_000 });
    // It takes no caller's place.
    let notes = pending(three_lines()).after((1..=999).map(|number| note(number, "x")));
    let notes = notes.after([report(2_000), report(2_001)]);
    notes.when(note(1_000, "x")).then_with(happens);
}

#[test]
fn every_text_of_an_order_counts_and_none_keeps_it_from_being_undone() {
    let line = new_line(L1, 2_000, "10.00");
    let long = "é".repeat(250);
    let full = || Refusal::TooMany { what: Part::Text, most: 262_144 };
    let of_return = |number: u128| Command::RequestReturn {
        return_id: crate::ids::ReturnId(id(number)),
        lines: (1..=10)
            .map(|n| crate::order::command::ReturnUnits { line_id: LineId(n), qty: 1, reason: long.clone() })
            .collect(),
    };
    let ten = (1..=10).map(|n| new_line(LineId(n), 60, "10.00")).collect();
    let returns = shipped(place_of(ten)).after((1..=52).map(of_return));
    returns.when(of_return(53)).then_refused(full());

    let all = || Refusal::TooMany { what: Part::Text, most: 524_288 };
    let reason = "é".repeat(500);
    let cancels = |number: u128| Command::Cancel {
        cancellation_id: crate::ids::CancellationId(id(number)),
        lines: Some(vec![units(L1, 1)]),
        reason: reason.clone(),
    };
    let said = (1..=32).map(|number| note(number, &"é".repeat(4_000)));
    let held = hold(1, "");
    let order = confirmed(place_of(vec![line])).after([held]).after(said);
    // The limit is reached, and undoing still works.
    let order = order.after((1..=268).map(cancels));
    let order = order.when(cancels(269)).then_refused(all());
    let release = Command::ReleaseHold { hold_id: HoldId(id(1)), resolution: reason.clone() };
    let order = order.when(release).then_with(happens);
    order.when(hold(2, &"é".repeat(4_000))).then_refused(full());
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
    // Free goods: an upward edit of other goods is another payment, of which fewer are allowed.
    let line = new_line(L1, 2_000, "0");
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
    // Cancellations that follow from an edit, when stock lacks the units, never count.
    let own = |number| within(OrderId(id(1)), amendment::KIND, EditId(id(number)).0, "cancellation").as_u128();
    let cancelled = cancelled.when(cancel(own(7), Some(vec![units(L1, 1)]))).then_with(happens);
    let most = Refusal::TooMany { what: Part::Cancellation, most: 500 };
    let cancelled = cancelled.when(cancel(20_000, Some(vec![units(L1, 1)]))).then_refused(most);
    cancelled.when(cancel(own(8), Some(vec![units(L1, 1)]))).then_with(happens);

    let line = new_line(L1, 2_000, "10.00");
    let given =
        shipped(place_of(vec![line])).after((1..=500).map(|number| Command::GrantRefund(grant(number, Some(1)))));
    let gift = Command::GrantRefund(grant(501, Some(1)));
    let given = given.when(gift).then_refused(Refusal::TooMany { what: Part::Refund, most: 500 });
    let given = given.after([request_return(1, &[(L1, 1)])]);
    given.when(receive(1, 1, &[(L1, 1, Disposition::Restock)])).then_with(|events| {
        assert!(matches!(events, [_, Event::RefundGranted(_)]), "{events:?}");
    });
}

#[test]
fn what_an_order_holds_can_always_be_let_go_in_one_batch() {
    let lines: Vec<_> = (1..=400).map(|line| new_line(LineId(line), 1, "1.00")).collect();
    let more = |number: u32| {
        let changes = (1..=400).map(|line| Change::SetQty { line_id: LineId(line), qty: number + 1 });
        edit(u128::from(number), changes.collect())
    };
    let order = confirmed(place_of(lines)).after((1..=17).map(more));
    let order = order.when(more(18)).then_refused(Refusal::TooMany { what: Part::Increase, most: 6_800 });
    // Fewer are held by none.
    let fewer = edit(99, vec![Change::SetQty { line_id: LineId(1), qty: 1 }]);
    order.when(fewer).then_with(happens);
}
