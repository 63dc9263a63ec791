//! The verdicts on an order: confirmed, rejected, completed. Confirming is the pivot: never without the money that it needs.

use super::{Decision, wrong_state};
use crate::order::command::Confirm;
use crate::order::event::{Completed, Confirmed, Event, RejectReason, Rejected};
use crate::order::refusal::Refusal;
use crate::order::state::{Placed, Status};
use crate::stock::Shortfall;

pub(super) fn confirm(order: &Placed, confirm: &Confirm) -> Decision {
    let as_before = (confirm.payment_id.is_none() || order.payment.payment_id == confirm.payment_id)
        && (confirm.reservation_id.is_none() || order.reservation_id == confirm.reservation_id);
    match order.status {
        Status::Confirmed if as_before => return Ok(Vec::new()),
        Status::Pending if !order.cancelling() => {}
        _ => return Err(wrong_state(order)),
    }
    if order.needs_payment() && confirm.authorised < order.totals.total {
        return Err(Refusal::NotPaid { needed: order.totals.total, available: confirm.authorised });
    }
    Ok(vec![Event::Confirmed(Confirmed {
        payment_id: confirm.payment_id,
        reservation_id: confirm.reservation_id,
        authorised: confirm.authorised,
    })])
}

pub(super) fn reject(
    order: &Placed,
    reason: RejectReason,
    detail: Option<&String>,
    shortfalls: &[Shortfall],
) -> Decision {
    match order.status {
        Status::Pending => {
            Ok(vec![Event::Rejected(Rejected { reason, detail: detail.cloned(), shortfalls: shortfalls.to_vec() })])
        }
        Status::Rejected => Ok(Vec::new()),
        Status::Confirmed | Status::Completed | Status::Cancelled => Err(wrong_state(order)),
    }
}

/// Completed, if something shipped and nothing is left to.
pub(super) fn completed(order: &Placed) -> Vec<Event> {
    let done = order.status == Status::Confirmed && order.all_open_units() == 0 && order.shipped_units() > 0;
    if done { vec![Event::Completed(Completed {})] } else { Vec::new() }
}
