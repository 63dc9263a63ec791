//! Where an order's stock, goods, returns and balance stand, read from its counters. It changes nothing.

use domain::money::Minor;
use domain::order::state::{
    FulfilmentStatus, LineState, Placed, ReturnStage, ReturnStatus, Status, StockStatus,
};

fn sum(order: &Placed, of: impl Fn(&LineState) -> u32) -> u64 {
    order.lines.values().map(|line| u64::from(of(line))).sum()
}

pub(super) fn stock_status(order: &Placed) -> StockStatus {
    let reserved = sum(order, |l| l.reserved);
    let backordered = sum(order, |l| l.backordered);
    let shipped = sum(order, |l| l.shipped);
    let open = sum(order, |l| l.line.qty - l.cancelled - l.shipped);
    match (reserved, backordered) {
        (0, 0) if order.was_reserved && shipped == 0 => StockStatus::Released,
        (0, 0) if order.was_reserved && open == 0 => StockStatus::Reserved,
        (0, 0) => StockStatus::None,
        (r, 0) if r == open => StockStatus::Reserved,
        (r, b) if b > 0 && r + b == open => StockStatus::Backordered,
        _ => StockStatus::PartReserved,
    }
}

pub(super) fn fulfilment_status(order: &Placed) -> FulfilmentStatus {
    let wanted = sum(order, |l| l.line.qty - l.cancelled);
    let shipped = sum(order, |l| l.shipped);
    let delivered = sum(order, |l| l.delivered);
    let ended = matches!(order.status, Status::Cancelled | Status::Rejected);
    if shipped == 0 {
        if ended || wanted == 0 {
            FulfilmentStatus::Cancelled
        } else {
            FulfilmentStatus::Unfulfilled
        }
    } else if delivered == 0 {
        if shipped < wanted {
            FulfilmentStatus::PartShipped
        } else {
            FulfilmentStatus::Shipped
        }
    } else if delivered < wanted {
        FulfilmentStatus::PartDelivered
    } else {
        FulfilmentStatus::Delivered
    }
}

pub(super) fn return_status(order: &Placed) -> ReturnStatus {
    let returned = sum(order, |l| l.returned);
    let requested = order
        .returns
        .values()
        .any(|r| matches!(r.stage, ReturnStage::Requested));
    if returned > 0 && returned == sum(order, |l| l.shipped) {
        ReturnStatus::Returned
    } else if returned > 0 {
        ReturnStatus::PartReturned
    } else if requested {
        ReturnStatus::Requested
    } else {
        ReturnStatus::None
    }
}

pub(super) fn balance(order: &Placed) -> Minor {
    let given_up: Minor = order
        .lines
        .values()
        .map(|l| l.cancelled_value + l.returned_value)
        .sum();
    let owed = order.totals.total - given_up - order.shipping_cancelled;
    let payment = &order.payment;
    owed - (payment.captured - payment.refunded - payment.refund_pending)
}
