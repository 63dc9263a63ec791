//! Editing: the new lines, the new amounts, and the work for inventory.

use super::*;
use crate::order::event::Edited;
use crate::order::line::LineProblem;
use crate::order::refusal::{EditProblem, Refusal};
use crate::order::state::Status;

fn set_qty(line_id: LineId, qty: u32) -> Change {
    Change::SetQty { line_id, qty }
}

#[track_caller]
fn edited(order: Given<Order>, changes: Vec<Change>) -> (Given<Order>, Edited) {
    let mut found = None;
    let order = order.when(edit(1, changes)).then_with(|events| {
        if let Some(Event::Edited(edited)) = events.first() {
            found = Some(edited.clone());
        }
    });
    order.look();
    (order, found.unwrap())
}

#[test]
fn an_edit_says_what_the_lines_are_and_what_is_owed() {
    let changes = vec![
        set_qty(L1, 5),
        Change::Add(new_line(LineId(4), 2, "1.50")),
        Change::Reprice { line_id: L2, unit_price: price("3") },
        Change::Discount { line_id: L2, discount: 100 },
    ];
    let (order, edited) = edited(confirmed(three_lines()), changes);
    assert_eq!(edited.changes.len(), 3);
    assert_eq!(edited.totals_before.total, 4_900);
    assert_eq!(edited.totals_after.total, 4_900 + 2_000 + 300 + 400);
    assert_eq!(edited.balance_change, 2_700);
    assert_eq!(edited.reserve, [at_main(L1, 2), at_main(LineId(4), 2)]);
    assert_eq!(edited.release, []);
    let line = &order.look().lines[&L1];
    assert_eq!((line.reserved, line.unassigned()), (3, 2));
}

#[test]
fn fewer_units_let_go_of_what_was_held_last() {
    let order = pending(place_of(vec![new_line(L1, 6, "1.00")]));
    let order = order.after([record_reserved(&[(L1, 3)], &[(L1, 2)]), confirm(1_100)]);
    let (order, edited) = edited(order, vec![set_qty(L1, 2)]);
    assert_eq!(edited.release, [release_at_main(L1, 1, 2)]);
    let line = &order.look().lines[&L1];
    assert_eq!((line.reserved, line.backordered), (2, 0));
}

#[test]
fn what_is_no_ware_needs_no_stock_when_more_is_ordered() {
    let (order, edited) = edited(confirmed(three_lines()), vec![set_qty(L3, 4)]);
    assert_eq!(edited.reserve, []);
    assert_eq!(order.look().lines[&L3].reserved, 4);
}

#[test]
fn only_a_confirmed_order_is_edited() {
    pending(three_lines())
        .when(edit(1, vec![set_qty(L1, 5)]))
        .then_refused(Refusal::OrderState { status: Status::Pending, cancelling: false });
    confirmed(three_lines())
        .after([cancel(1, None)])
        .when(edit(1, vec![set_qty(L1, 5)]))
        .then_refused(Refusal::OrderState { status: Status::Confirmed, cancelling: true });
}

#[test]
fn a_quantity_is_never_below_what_left_or_was_cancelled() {
    let order = confirmed(three_lines())
        .after([request_shipment(5, Some(vec![units(L2, 2)])), cancel(1, Some(vec![units(L2, 1)]))]);
    order.when(edit(1, vec![set_qty(L2, 2)])).then_refused(Refusal::QuantityExceedsOpen {
        line_id: L2,
        asked: 3,
        open: 2,
    });
}

#[test]
fn the_value_of_what_left_stays_and_the_rest_is_worth_the_difference() {
    let order = confirmed(three_lines()).after([
        request_shipment(5, Some(vec![units(L2, 2)])),
        payment(PaymentStatus::PartCaptured, 3, [4_900, 900, 0]),
        dispatch(5),
    ]);
    let reprice = Change::Reprice { line_id: L2, unit_price: price("4") };
    let (order, _) = edited(order, vec![reprice]);
    let line = &order.look().lines[&L2];
    assert_eq!(line.shipped_value, 400);
    assert_eq!(line.value_of_next(1, Rounding::HalfEven), 533);
    assert_eq!(line.value_of_next(3, Rounding::HalfEven), 1_600);
    let cheap = Change::Reprice { line_id: L2, unit_price: price("0.5") };
    order
        .when(edit(2, vec![cheap]))
        .then_refused(Refusal::InvalidEdit { line_id: Some(L2), problem: EditProblem::ValueTaken });
}

#[test]
fn an_edit_that_leaves_nothing_to_ship_completes_an_order_that_shipped() {
    let order = confirmed(place_of(vec![new_line(L1, 3, "1.00")])).after([
        request_shipment(5, Some(vec![units(L1, 2)])),
        payment(PaymentStatus::PartCaptured, 3, [800, 700, 0]),
        dispatch(5),
    ]);
    let (order, _) = edited(order, vec![set_qty(L1, 2)]);
    assert_eq!(order.look().status, Status::Completed);
}

#[test]
fn edits_that_cannot_be_right_are_refused() {
    let refused = |changes, refusal| confirmed(three_lines()).when(edit(1, changes)).then_refused(refusal);
    let invalid = |line_id, problem| Refusal::InvalidEdit { line_id, problem };
    refused(vec![], invalid(None, EditProblem::Empty));
    let line_id = Some(LineId(9));
    let problem = LineProblem::NotFound;
    refused(vec![set_qty(LineId(9), 1)], Refusal::InvalidLine { line_id, problem });
    let line_id = Some(L1);
    let problem = LineProblem::Duplicate;
    let again = Change::Add(new_line(L1, 1, "1"));
    refused(vec![again], Refusal::InvalidLine { line_id, problem });
    let (qty, largest) = (0, 1_000_000);
    let problem = LineProblem::Quantity { qty, largest };
    // Quantities are looked at before anything else, so that 0 is not taken for a cancellation.
    refused(vec![set_qty(L1, 0)], Refusal::InvalidLine { line_id, problem });
    let charged = super::cancelling::with_a_charge_that_no_shipment_has();
    charged.when(edit(1, vec![set_qty(L1, 1)])).then_refused(invalid(None, EditProblem::NothingLeft));
    let one = confirmed(place_of(vec![new_line(L1, 3, "1.00")]));
    one.after([cancel(1, Some(vec![units(L1, 2)]))])
        .when(edit(1, vec![set_qty(L1, 2)]))
        .then_refused(invalid(None, EditProblem::NothingLeft));
    let shipped = confirmed(three_lines()).after([
        request_shipment(5, Some(vec![units(L1, 3)])),
        payment(PaymentStatus::PartCaptured, 3, [4_900, 3_500, 0]),
        dispatch(5),
    ]);
    let dearer = Change::Reprice { line_id: L1, unit_price: price("11") };
    shipped.when(edit(1, vec![dearer])).then_refused(invalid(Some(L1), EditProblem::LineClosed));
}

#[test]
fn an_edit_that_changes_nothing_is_nothing() {
    confirmed(three_lines()).when(edit(1, vec![set_qty(L1, 3)])).then_nothing();
}
