//! Refunds and what payments tells: never more than was captured, nothing while the outcome is unknown, nothing old after something new.

use super::*;
use crate::ids::{CancellationId, RefundId, ReturnId};
use crate::order::event::{LineValue, RefundGranted};
use crate::order::refusal::Refusal;

#[test]
fn of_two_refunds_of_sixty_on_a_hundred_one_is_granted() {
    let mut place = place_of(vec![new_line(L1, 1, "1.00")]);
    place.shipping.clear();
    let order = shipped(place);
    let order = order.when(Command::GrantRefund(grant(1, Some(60)))).then_with(|events| {
        let [Event::RefundGranted(granted)] = events else {
            panic!("{events:?}");
        };
        let expected = RefundGranted {
            refund_id: RefundId(id(1)),
            amount: 60,
            lines: vec![],
            return_id: None,
            cancellation_id: None,
            reason: "sorry".to_owned(),
            asked: granted.asked,
        };
        assert_eq!(*granted, expected);
    });
    assert_eq!(order.look().refundable(), 40);
    order.when(Command::GrantRefund(grant(2, Some(60)))).then_refused(Refusal::ExceedsRefundable {
        asked: 60,
        captured: 100,
        granted: 60,
        refundable: 40,
    });
}

#[test]
fn a_refund_is_more_than_nothing() {
    for amount in [0, -5, Minor::MIN, Minor::MAX] {
        shipped(three_lines())
            .when(Command::GrantRefund(grant(1, Some(amount))))
            .then_refused(Refusal::InvalidRefund { refund_id: RefundId(id(1)), amount });
    }
}

#[test]
fn nothing_is_refunded_while_the_outcome_is_unknown() {
    shipped(three_lines())
        .after([payment(PaymentStatus::Unknown, 20, [4_900, 4_900, 0])])
        .when(Command::GrantRefund(grant(1, Some(100))))
        .then_refused(Refusal::PaymentUnknown);
}

#[test]
fn a_refund_without_an_amount_is_worth_what_it_follows_from() {
    let order =
        shipped(three_lines()).after([request_return(1, &[(L1, 2)]), receive(1, 1, &[(L1, 2, Disposition::Restock)])]);
    let mut of_return = grant(1, None);
    of_return.return_id = Some(ReturnId(id(1)));
    let mut of_lines = grant(2, None);
    let line = LineValue { line_id: L2, qty: 1, amount: 150 };
    of_lines.lines = vec![line];
    let order = order.after([Command::GrantRefund(of_return.clone()), Command::GrantRefund(of_lines)]);
    let refunds = &order.look().refunds;
    assert_eq!(refunds[&RefundId(id(1))].amount, 2_000);
    assert_eq!(refunds[&RefundId(id(2))].amount, 150);
    // Nothing of the return is left to refund.
    of_return.refund_id = RefundId(id(3));
    order
        .when(Command::GrantRefund(of_return))
        .then_refused(Refusal::InvalidRefund { refund_id: RefundId(id(3)), amount: 0 });
}

#[test]
fn a_refund_follows_from_what_is_there() {
    let return_id = ReturnId(id(9));
    let mut refund = grant(1, Some(5));
    refund.return_id = Some(return_id);
    shipped(three_lines()).when(Command::GrantRefund(refund)).then_refused(Refusal::ReturnNotFound { return_id });
    let cancellation_id = CancellationId(id(9));
    let mut refund = grant(1, Some(5));
    refund.cancellation_id = Some(cancellation_id);
    shipped(three_lines())
        .when(Command::GrantRefund(refund))
        .then_refused(Refusal::CancellationNotFound { cancellation_id });
}

#[test]
fn what_payments_tells_is_recorded_in_its_order() {
    let order = confirmed(three_lines());
    let newer = payment(PaymentStatus::Captured, 5, [4_900, 4_900, 0]);
    let order = order.when(newer).then_with(|events| assert_eq!(events.len(), 1));
    let older = payment(PaymentStatus::Authorised, 4, [4_900, 0, 0]);
    let order = order.when(older).then_nothing();
    let same = payment(PaymentStatus::Captured, 6, [4_900, 4_900, 0]);
    let order = order.when(same).then_nothing();
    assert_eq!(order.look().balance(), 0);
    let order = order.after([payment(PaymentStatus::PartRefunded, 7, [4_900, 4_900, 900])]);
    assert_eq!(order.look().balance(), 900);
}

#[test]
fn payments_cannot_tell_what_cannot_be() {
    let cases = [[100, 200, 0], [200, 100, 150], [-1, 0, 0], [Minor::MAX, 0, 0]];
    for numbers in cases {
        let [authorised, captured, refunded] = numbers;
        confirmed(three_lines())
            .when(payment(PaymentStatus::Captured, 5, numbers))
            .then_refused(Refusal::InvalidPayment { authorised, captured, refunded, refund_pending: 0 });
    }
    let payment_id = payment_id();
    let other = Command::RecordPayment(PaymentRecorded {
        payment_id: PaymentId(id(99)),
        payment_version: 1,
        status: PaymentStatus::Authorised,
        authorised: 1,
        captured: 0,
        refunded: 0,
        refund_pending: 0,
    });
    confirmed(three_lines()).when(other).then_refused(Refusal::AnotherPayment { payment_id });
}
