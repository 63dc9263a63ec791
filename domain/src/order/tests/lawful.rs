//! Each law of an order is broken on purpose: a law that never speaks up proves nothing.

use super::*;
use crate::ids::{RefundId, ReturnId, ShipmentId};
use crate::order::state::Status;

/// Part shipped, part cancelled, part returned and refunded, one shipment requested.
fn eventful() -> Order {
    let order = confirmed(three_lines()).after([
        request_shipment(1, Some(vec![units(L1, 2), units(L2, 1)])),
        payment(PaymentStatus::PartCaptured, 3, [4_900, 2_700, 0]),
        dispatch(1),
        cancel(2, Some(vec![units(L2, 1)])),
        request_return(3, &[(L1, 2)]),
        receive(3, 1, &[(L1, 1, Disposition::Restock)]),
        Command::GrantRefund(grant(4, Some(100))),
        request_shipment(5, Some(vec![units(L2, 1)])),
    ]);
    order.look();
    order.peek().clone()
}

#[track_caller]
fn broken(law: &str, tamper: impl FnOnce(&mut Placed)) {
    let mut order = eventful();
    if let Order::Placed(placed) = &mut order {
        tamper(placed);
    }
    let violation = laws::order::check(&order).unwrap_err();
    assert_eq!(violation.law, law, "{violation:?}");
    assert!(!violation.detail.is_empty());
}

#[track_caller]
fn broken_line(law: &str, tamper: impl FnOnce(&mut crate::order::state::LineState)) {
    broken(law, |order| tamper(order.lines.get_mut(&L1).unwrap()));
}

#[test]
fn an_order_that_is_not_there_breaks_no_law() {
    assert_eq!(laws::order::check(&Order::Absent), Ok(()));
    assert_eq!(laws::order::check_step(&Order::Absent, &eventful()), Ok(()));
}

#[test]
fn counters_that_do_not_add_up_are_seen() {
    let sum = "ordered = cancelled + reserved + backordered + unassigned + shipped";
    broken_line(sum, |line| line.reserved += 1);
    broken_line("none beyond reserved ships", |line| line.shipping += 2);
    broken_line("delivered + lost ≤ shipped", |line| line.delivered += 3);
    broken_line("returned + announced + lost ≤ shipped", |line| {
        line.return_requested += 1;
    });
    broken_line("restocked + written off = returned", |line| {
        line.written_off += 1;
    });
}

#[test]
fn values_that_do_not_add_up_are_seen() {
    let arithmetic = "line total = subtotal − discounts + tax";
    broken_line(arithmetic, |line| line.line.total += 1);
    broken_line("only units have a value", |line| line.cancelled_value += 1);
    broken_line("the parts of a line are not worth more than it", |line| {
        line.shipped_value += 2_000;
    });
    broken_line("what came back is worth what it was shipped for", |line| {
        line.returned_value += 2_000;
    });
    broken("the last unit takes the rest of its line", |order| {
        let line = order.lines.get_mut(&L2).unwrap();
        line.cancelled += 3;
        line.reserved -= 2;
        line.shipping = 0;
        line.shipping_value = 0;
        line.reserved -= 1;
    });
}

#[test]
fn sums_that_are_not_those_of_the_lines_are_seen() {
    let sums = "totals = Σ lines and charges";
    broken(sums, |order| order.totals.total += 1);
    broken(sums, |order| order.totals.tax += 1);
    broken("shipping charges are due once", |order| {
        order.shipping_cancelled += 1;
    });
    broken("Σ shipments = lines", |order| {
        order.shipments.remove(&ShipmentId(id(5)));
    });
    broken("Σ shipping charges of shipments = what is due with them", |order| order.shipping_shipped -= 1);
    broken("Σ announced returns = lines", |order| {
        let announced = order.returns.get_mut(&ReturnId(id(3))).unwrap();
        announced.open.clear();
    });
    broken("Σ returns = value that came back", |order| {
        let announced = order.returns.get_mut(&ReturnId(id(3))).unwrap();
        announced.refund -= 1;
    });
    broken("Σ cancellations = value cancelled", |order| {
        order.cancellations.clear();
    });
}

#[test]
fn money_that_does_not_add_up_is_seen() {
    broken("captured ≤ authorised", |order| {
        order.payments[0].authorised = 2_699;
    });
    broken("refunded + refund pending ≤ captured", |order| {
        order.payments[0].refunded = 2_701;
    });
    let refund = RefundId(id(4));
    broken("Σ granted ≤ captured", |order| {
        order.refunds.get_mut(&refund).unwrap().parts[0].amount = 2_701;
    });
    broken("a refund is more than nothing", |order| {
        order.refunds.get_mut(&refund).unwrap().amount = 0;
    });
    broken("nothing ships before it is captured", |order| {
        order.payments[0].captured = 2_599;
    });
    broken("Σ parts = refund", |order| {
        order.refunds.get_mut(&refund).unwrap().amount = 101;
    });
    broken("refunded by a line ≤ what left of it", |order| {
        let refund = order.refunds.get_mut(&refund).unwrap();
        refund.lines = vec![crate::order::event::LineValue { line_id: L3, qty: 1, amount: 100 }];
    });
}

#[test]
fn ends_that_are_none_are_seen() {
    broken("nothing ships before confirmation", |order| {
        order.status = Status::Pending;
    });
    broken("completed means shipped, and nothing open", |order| {
        order.status = Status::Completed;
    });
    let rejected = "rejected means nothing held and nothing shipped";
    broken(rejected, |order| order.status = Status::Rejected);
    let cancelled = "cancelled means all of it, and nothing shipped";
    broken(cancelled, |order| order.status = Status::Cancelled);
}

#[track_caller]
fn step_broken(law: &str, tamper: impl FnOnce(&mut Placed)) {
    let before = eventful();
    let mut after = before.clone();
    if let Order::Placed(placed) = &mut after {
        tamper(placed);
    }
    let violation = laws::order::check_step(&before, &after).unwrap_err();
    assert_eq!(violation.law, law);
}

#[test]
fn steps_backwards_are_seen() {
    let ended = "terminal statuses have no successors";
    step_broken(ended, |order| order.status = Status::Pending);
    step_broken("captured money is never less", |order| {
        order.payments[0].captured -= 1;
    });
    step_broken("lines stay", |order| {
        order.lines.remove(&L2);
    });
    step_broken("what happened to units stays", |order| {
        order.lines.get_mut(&L1).unwrap().shipped -= 1;
    });
    let before = eventful();
    let violation = laws::order::check_step(&before, &Order::Absent).unwrap_err();
    assert_eq!(violation.law, "an order stays");
    let mut completed = before.clone();
    let Order::Placed(placed) = &mut completed else {
        panic!("it is placed");
    };
    placed.status = Status::Completed;
    let violation = laws::order::check_step(&completed, &before).unwrap_err();
    assert_eq!(violation.law, ended);
}

/// Shipped, one unit back and refunded, completed.
fn settled() -> Order {
    let order =
        shipped(three_lines()).after([request_return(3, &[(L1, 1)]), receive(3, 1, &[(L1, 1, Disposition::Restock)])]);
    let refund_id = *order.look().refunds.keys().next().unwrap();
    let order = order.after([refunded(20, refund_id, [4_900, 4_900, 1_000])]);
    order.look();
    order.peek().clone()
}

#[test]
fn an_order_that_ended_kept_the_money_of_the_goods_that_were_kept() {
    assert_eq!(laws::order::check_settled(&settled()), Ok(()));
    assert_eq!(laws::order::check_settled(&eventful()), Ok(()));
    let tampered = |law: &str, tamper: fn(&mut Placed)| {
        let mut order = settled();
        if let Order::Placed(placed) = &mut order {
            tamper(placed);
        }
        assert_eq!(laws::order::check_settled(&order).unwrap_err().law, law);
    };
    let kept = "captured − refunded = value of units kept";
    tampered(kept, |order| order.payments[0].captured = 4_899);
    tampered(kept, |order| order.status = Status::Rejected);
    let granted = "what is granted is given back";
    tampered(granted, |order| {
        for refund in order.refunds.values_mut() {
            refund.parts[0].progress = crate::order::state::RefundProgress::Pending;
        }
    });
}

#[test]
fn a_gift_and_an_uncaptured_cancellation_are_settled() {
    let order = confirmed(three_lines()).after([
        request_shipment(1, Some(vec![units(L1, 3)])),
        payment(PaymentStatus::PartCaptured, 3, [4_900, 3_500, 0]),
        dispatch(1),
        cancel(2, None),
        close(2),
        Command::GrantRefund(grant(3, Some(5))),
        refunded(4, RefundId(id(3)), [4_900, 3_500, 5]),
    ]);
    assert_eq!(order.look().status, Status::Completed);
    assert_eq!(laws::order::check_settled(order.peek()), Ok(()));
}
