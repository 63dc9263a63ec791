//! Refunds and facts of payments: never more than was captured, nothing while the outcome is unknown, no older fact
//! after a newer one.

use super::*;
use crate::ids::{OrderId, RefundId};
use crate::order::event::{LineValue, PaymentShare, RefundDeclined, RefundGranted};
use crate::order::ledger::refund_at_payment;
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
            attempt: 1,
            amount: 60,
            parts: vec![PaymentShare { payment_id: payment_id(), amount: 60 }],
            lines: vec![],
            shipping: 0,
            by_hand: true,
            return_id: None,
            cancellation_id: None,
            edit_id: None,
            shipment_id: None,
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

fn of_line(number: u128, amount: Option<Minor>, line: LineValue) -> Command {
    Command::GrantRefund(GrantRefund { lines: vec![line], ..grant(number, amount) })
}

#[test]
fn a_refund_by_line_counts_on_its_line() {
    let line = |qty, amount| LineValue { line_id: L1, qty, amount };
    let order = shipped(three_lines()).when(of_line(1, None, line(1, 1_000))).then_with(|events| {
        assert!(matches!(events, [Event::RefundGranted(granted)] if granted.amount == 1_000), "{events:?}");
    });
    assert_eq!((order.look().owed(), order.look().balance()), (3_900, 0));
    // That unit comes back: its money was given back before.
    let order = order.after([request_return(1, &[(L1, 1)])]);
    let order = order.when(receive(1, 1, &[(L1, 1, Disposition::Restock)])).then_with(|events| {
        assert!(matches!(events, [Event::ReturnReceived(_)]), "{events:?}");
    });
    // The next one comes back as well.
    let order = order.after([request_return(2, &[(L1, 1)])]);
    let order = order.when(receive(2, 1, &[(L1, 1, Disposition::Restock)])).then_with(|events| {
        assert!(matches!(events, [_, Event::RefundGranted(granted)] if granted.amount == 1_000), "{events:?}");
    });
    assert_eq!((order.look().owed(), order.look().balance()), (2_900, 0));
}

#[test]
fn units_amounts_and_their_sum_are_judged() {
    let refund_id = RefundId(id(1));
    let line = |qty, amount| LineValue { line_id: L1, qty, amount };
    shipped(three_lines()).when(of_line(1, Some(100), line(1, 1_000))).then_refused(Refusal::RefundSumsDiffer {
        refund_id,
        amount: 100,
        sum: 1_000,
    });
    shipped(three_lines()).when(of_line(1, None, line(4, 1_000))).then_refused(Refusal::RefundExceedsLine {
        refund_id,
        line_id: L1,
        qty: 4,
        asked: 1_000,
        units: 3,
        value: 3_000,
    });
    shipped(three_lines()).when(of_line(1, None, line(1, 3_001))).then_refused(Refusal::RefundExceedsLine {
        refund_id,
        line_id: L1,
        qty: 1,
        asked: 3_001,
        units: 3,
        value: 3_000,
    });
    // Half of the units came back already.
    shipped(three_lines())
        .after([request_return(1, &[(L1, 2)]), receive(1, 1, &[(L1, 2, Disposition::Restock)])])
        .when(of_line(1, None, line(2, 1_000)))
        .then_refused(Refusal::RefundExceedsLine {
            refund_id,
            line_id: L1,
            qty: 2,
            asked: 1_000,
            units: 1,
            value: 1_000,
        });
    let shipping = |amount| Command::GrantRefund(GrantRefund { shipping: amount, ..grant(1, None) });
    shipped(three_lines()).when(shipping(501)).then_refused(Refusal::RefundExceedsShipping {
        refund_id,
        asked: 501,
        left: 500,
    });
    let order = shipped(three_lines()).after([shipping(500)]);
    assert_eq!((order.look().owed(), order.look().balance()), (4_400, 0));
}

#[test]
fn goodwill_is_neither_clawed_back_nor_owed() {
    let order = shipped(three_lines()).after([Command::GrantRefund(grant(1, Some(300)))]);
    assert_eq!((order.look().owed(), order.look().balance()), (4_600, 0));
    let mut place = three_lines();
    place.payment.capture = Capture::AtConfirmation;
    let order = confirmed(place)
        .after([payment(PaymentStatus::Captured, 9, [4_900, 4_900, 0]), Command::GrantRefund(grant(1, Some(300)))]);
    order.when(cancel(2, Some(vec![units(L1, 1)]))).then_with(|events| {
        let [_, Event::RefundGranted(granted)] = events else {
            panic!("{events:?}");
        };
        assert_eq!((granted.amount, granted.by_hand), (1_000, false));
    });
}

#[test]
fn a_return_gives_what_is_left_and_nothing_where_nothing_is() {
    let all = [(L1, 3), (L2, 5), (L3, 1)];
    let received: Vec<_> = all.iter().map(|(line, qty)| (*line, *qty, Disposition::Restock)).collect();
    let back = [request_return(1, &all), receive(1, 1, &received)];
    let order = shipped(three_lines()).after([Command::GrantRefund(grant(1, Some(4_000)))]).after(back.clone());
    let granted: Vec<Minor> = order.look().refunds.values().map(|refund| refund.amount).collect();
    assert_eq!(granted.iter().sum::<Minor>(), 4_900);
    let order = shipped(three_lines()).after([Command::GrantRefund(grant(1, Some(4_900)))]).after(back);
    assert_eq!((order.look().refunds.len(), order.look().balance()), (1, 0));
}

/// The provider will not pay what was granted in an attempt.
fn failed(refund_id: RefundId, attempt: u32) -> Command {
    Command::FailRefund(RefundDeclined {
        refund_id,
        payment_id: payment_id(),
        at_payment: refund_at_payment(OrderId(id(1)), refund_id, attempt),
        code: "no".to_owned(),
    })
}

#[test]
fn what_the_provider_declines_can_be_granted_again_at_once() {
    let refund_id = RefundId(id(1));
    let order = shipped(three_lines()).after([Command::GrantRefund(grant(1, Some(4_000))), failed(refund_id, 1)]);
    let ledger = order.look().ledger();
    assert_eq!((ledger.granted, ledger.failed, ledger.refundable(), ledger.balance()), (0, 4_000, 4_900, 0));
    let again = Command::RetryRefund { refund_id, attempt: Some(2) };
    let order = order.after([again.clone()]);
    assert_eq!(order.look().ledger().granted, 4_000);
    let order = order.when(again).then_nothing();
    // What is heard of the first attempt once more is about what failed already.
    let order = order.when(failed(refund_id, 1)).then_nothing();
    order.after([failed(refund_id, 2), Command::GrantRefund(grant(2, Some(4_900)))]).look();
}

#[test]
fn a_refund_that_followed_from_a_return_and_failed_is_owed_until_it_is_made_good() {
    let order =
        shipped(three_lines()).after([request_return(1, &[(L1, 1)]), receive(1, 1, &[(L1, 1, Disposition::Restock)])]);
    let refund_id = *order.look().refunds.keys().next().unwrap();
    let order = order.after([failed(refund_id, 1)]);
    let ledger = order.look().ledger();
    assert_eq!((ledger.unpaid, ledger.balance(), ledger.surplus()), (1_000, -1_000, 0));
    // It is not refunded automatically a second time, and pays for no other goods.
    let order = order.after([payment(PaymentStatus::Captured, 19, [4_901, 4_900, 0])]);
    assert_eq!(order.look().refunds.len(), 1);
    let order = order.after([Command::GrantRefund(grant(7, Some(1_200)))]);
    let ledger = order.look().ledger();
    assert_eq!((ledger.unpaid, ledger.goodwill, ledger.owed, ledger.balance()), (0, 200, 3_700, 0));
    // What was made good by hand is not granted a second time.
    order.when(Command::RetryRefund { refund_id, attempt: None }).then_refused(Refusal::ExceedsRefundable {
        asked: 1_000,
        captured: 4_900,
        granted: 1_200,
        refundable: 0,
    });
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
        voided: 0,
        keeps: None,
        capture_before: None,
        abilities: None,
        fact: None,
    });
    confirmed(three_lines()).when(other).then_refused(Refusal::AnotherPayment { payment_id });
}
