//! The verdicts on an order: confirmed or rejected. Confirming is the pivot: never without the money that it needs.

use super::{Decision, wrong_state};
use crate::money::Minor;
use crate::order::command::Confirm;
use crate::order::event::{Confirmed, Event, PaymentRecorded, RejectReason, Rejected};
use crate::order::refusal::Refusal;
use crate::order::state::{Payment, Placed, Status};
use crate::saga::checkout;
use crate::stock::Shortfall;

pub(super) fn confirm(order: &Placed, confirm: &Confirm) -> Decision {
    let as_before = confirm.payment_id.is_none_or(|id| order.payment_of(id).is_some())
        && (confirm.reservation_id.is_none() || order.reservation_id == confirm.reservation_id);
    match order.status {
        Status::Confirmed if as_before => return Ok(Vec::new()),
        Status::Pending if !order.cancelling() => {}
        _ => return Err(wrong_state(order)),
    }
    let available = available(order, confirm);
    if order.needs_payment() && available < order.totals.total {
        return Err(Refusal::NotPaid { needed: order.totals.total, available });
    }
    Ok(vec![Event::Confirmed(Confirmed {
        payment_id: confirm.payment_id,
        reservation_id: confirm.reservation_id,
        authorised: confirm.authorised,
        payment_version: confirm.payment_version,
        capture_before: confirm.capture_before,
        abilities: confirm.abilities,
    })])
}

/// What checkout's payment holds, unless somebody lets go of it, and what the others hold or took.
fn available(order: &Placed, confirm: &Confirm) -> Minor {
    let own = confirm.payment_id.unwrap_or_else(|| checkout::payment_of(order.order_id));
    let known = order.payment_of(own);
    let voiding = known.is_some_and(Payment::is_voiding);
    let others = order.payments.iter().filter(|payment| payment.payment_id != own);
    let others: Minor = others.map(|payment| payment.captured - payment.refunded + payment.held()).sum();
    if voiding {
        return others;
    }
    others
        + match known {
            // What payments itself told since is newer than what checkout had from it.
            Some(known) if known.version > confirm.payment_version => known.captured - known.refunded + known.held(),
            Some(known) => known.to_keep().map_or(confirm.authorised, |keep| confirm.authorised.min(keep)),
            None => confirm.authorised,
        }
}

pub(super) fn reject(
    order: &Placed,
    reason: RejectReason,
    detail: Option<&String>,
    shortfalls: &[Shortfall],
    payment: Option<&PaymentRecorded>,
) -> Decision {
    match order.status {
        Status::Pending => {
            let (detail, shortfalls, payment) = (detail.cloned(), shortfalls.to_vec(), payment.cloned());
            Ok(vec![Event::Rejected(Rejected { reason, detail, shortfalls, payment })])
        }
        Status::Rejected => Ok(Vec::new()),
        Status::Confirmed | Status::Completed | Status::Cancelled => Err(wrong_state(order)),
    }
}
