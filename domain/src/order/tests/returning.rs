//! Returns: only units that left, only announced units, each receipt once; single units are worth their line exactly.

use super::*;
use crate::ids::{LocationId, ReturnId};
use crate::order::event::LineValue;
use crate::order::line::LineProblem;
use crate::order::refusal::Refusal;
use crate::order::state::{ReturnStage, ReturnStatus};

const RESTOCK: Disposition = Disposition::Restock;
const DAMAGED: Disposition = Disposition::Damaged;
const MISSING: Disposition = Disposition::Missing;

#[track_caller]
fn refunds(order: Given<Order>, command: Command) -> (Given<Order>, Vec<LineValue>) {
    let mut found = Vec::new();
    let order = order.when(command).then_with(|events| {
        if let Some(Event::ReturnReceived(received)) = events.first() {
            found = received.refund.clone();
        }
    });
    order.look();
    (order, found)
}

#[test]
fn only_what_left_comes_back() {
    let order = confirmed(three_lines());
    order.when(request_return(1, &[(L1, 1)])).then_refused(Refusal::QuantityExceedsShipped {
        line_id: L1,
        asked: 1,
        returnable: 0,
    });
    let order = shipped(three_lines()).after([request_return(1, &[(L1, 2)])]);
    assert_eq!(order.look().return_status(), ReturnStatus::Requested);
    order.when(request_return(2, &[(L1, 2)])).then_refused(Refusal::QuantityExceedsShipped {
        line_id: L1,
        asked: 2,
        returnable: 1,
    });
}

#[test]
fn a_line_is_named_once_for_each_thing_that_becomes_of_it() {
    let twice = || Refusal::InvalidLine { line_id: Some(L1), problem: LineProblem::Duplicate };
    shipped(three_lines()).when(request_return(1, &[(L1, 1), (L2, 1), (L1, 1)])).then_refused(twice());
    let announced = || shipped(three_lines()).after([request_return(1, &[(L1, 3)])]);
    announced().when(receive(1, 1, &[(L1, 1, RESTOCK), (L1, 1, RESTOCK)])).then_refused(twice());
    let mut elsewhere = receive(1, 1, &[(L1, 1, RESTOCK), (L1, 1, RESTOCK), (L1, 1, DAMAGED)]);
    if let Command::ReceiveReturn { lines, .. } = &mut elsewhere {
        lines[0].location = Some(LocationId::try_new("shop").unwrap());
    }
    announced().when(elsewhere).then_with(|events| assert_eq!(events.len(), 2));
    let mut main = receive(1, 1, &[(L1, 1, RESTOCK), (L1, 1, RESTOCK)]);
    if let Command::ReceiveReturn { lines, .. } = &mut main {
        lines[0].location = Some(announced().look().location.clone());
    }
    announced().when(main).then_refused(twice());
    let mut refund = grant(1, None);
    refund.lines = vec![LineValue { line_id: L1, qty: 1, amount: 1 }; 2];
    announced().when(Command::GrantRefund(refund)).then_refused(twice());
}

#[test]
fn single_units_are_refunded_the_line_exactly() {
    let mut place = place_of(vec![new_line(L1, 7, "1.00")]);
    place.lines[0].discount = 33;
    let mut order = shipped(place);
    let mut amounts = Vec::new();
    for number in 1..=7 {
        order = order.after([request_return(number, &[(L1, 1)])]);
        let (next, refund) = refunds(order, receive(number, 1, &[(L1, 1, RESTOCK)]));
        amounts.push(refund[0].amount);
        order = next;
    }
    assert_eq!(amounts.iter().sum::<Minor>(), 667);
    assert_eq!(amounts, [95, 96, 95, 95, 95, 96, 95]);
    assert_eq!(order.look().return_status(), ReturnStatus::Returned);
}

#[test]
fn what_is_missing_is_not_refunded_and_not_waited_for() {
    let order = shipped(three_lines()).after([request_return(1, &[(L1, 3), (L2, 2)])]);
    let parcel = [(L1, 1, RESTOCK), (L1, 1, DAMAGED), (L1, 1, MISSING)];
    let (order, refund) = refunds(order, receive(1, 1, &parcel));
    let value = |line_id, qty, amount| LineValue { line_id, qty, amount };
    assert_eq!(refund, [value(L1, 2, 2_000)]);
    let line = &order.look().lines[&L1];
    assert_eq!((line.returned, line.restocked, line.written_off), (2, 1, 1));
    assert_eq!((line.return_requested, line.returnable()), (0, 1));
    let stage = |order: &Given<Order>| order.look().returns[&ReturnId(id(1))].stage;
    assert_eq!(stage(&order), ReturnStage::PartReceived);
    let (order, refund) = refunds(order, receive(1, 2, &[(L2, 2, MISSING)]));
    assert_eq!(refund, []);
    assert_eq!(stage(&order), ReturnStage::Received);
    assert_eq!(order.look().owed(), 2_900);
    assert_eq!(order.look().return_status(), ReturnStatus::PartReturned);
}

#[test]
fn each_receipt_counts_once_and_in_order() {
    let return_id = ReturnId(id(1));
    let order = || shipped(three_lines()).after([request_return(1, &[(L1, 3)]), receive(1, 1, &[(L1, 1, RESTOCK)])]);
    order().when(receive(1, 1, &[(L1, 1, RESTOCK)])).then_nothing();
    order().when(receive(1, 3, &[(L1, 1, RESTOCK)])).then_refused(Refusal::ReceiptOutOfOrder {
        return_id,
        expected: 2,
        given: 3,
    });
    order()
        .when(receive(1, 2, &[(L1, 2, RESTOCK), (L1, 1, MISSING)]))
        .then_refused(Refusal::QuantityExceedsAnnounced { return_id, line_id: L1, asked: 3, announced: 2 });
}

#[test]
fn what_was_never_announced_is_not_received() {
    let return_id = ReturnId(id(4));
    shipped(three_lines()).when(receive(4, 1, &[(L1, 1, RESTOCK)])).then_refused(Refusal::ReturnNotFound { return_id });
}

#[test]
fn a_declined_return_ends_the_announcement_of_what_did_not_come() {
    let return_id = ReturnId(id(1));
    let decline = Command::DeclineReturn { return_id, reason: "too late".to_owned() };
    let order = shipped(three_lines()).after([request_return(1, &[(L1, 3)])]);
    let order = order.when(decline.clone()).then_with(|events| assert_eq!(events.len(), 1));
    assert_eq!(order.look().lines[&L1].returnable(), 3);
    order
        .when(receive(1, 1, &[(L1, 1, RESTOCK)]))
        .then_refused(Refusal::ReturnState { return_id, stage: ReturnStage::Declined });
    let part = shipped(three_lines()).after([request_return(1, &[(L1, 3)]), receive(1, 1, &[(L1, 2, RESTOCK)])]);
    let part = part.when(decline.clone()).then_with(|_| ());
    assert_eq!(part.look().lines[&L1].returned, 2);
    assert_eq!(part.look().returns[&return_id].stage, ReturnStage::Received);
    shipped(three_lines())
        .after([request_return(1, &[(L1, 1)]), receive(1, 1, &[(L1, 1, RESTOCK)])])
        .when(decline)
        .then_refused(Refusal::ReturnState { return_id, stage: ReturnStage::Received });
}
