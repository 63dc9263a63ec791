//! Money given back because somebody says so, and what becomes of what was granted. Never grants more than was taken, never more for a line
//! than it is worth, and nothing while nobody knows what was taken.

use super::{Decision, bounds, fingerprint, known, units};
use crate::ids::RefundId;
use crate::money::{LARGEST, Minor};
use crate::order::command::GrantRefund;
use crate::order::event::{Event, PaymentStatus, RefundDeclined, RefundGranted, RefundPaid, RefundWithdrawn};
use crate::order::refusal::{Part, Refusal};
use crate::order::state::{Placed, Refund, RefundPart, RefundProgress, Status};

pub(super) fn grant(order: &Placed, grant: &GrantRefund) -> Decision {
    let asked = fingerprint(grant.refund_id.0, grant);
    if let Some(there) = order.refunds.get(&grant.refund_id) {
        return known(there.asked == Some(asked), Part::Refund, grant.refund_id.0);
    }
    let amount = amount(order, grant)?;
    bounds::refund(order, &grant.reason)?;
    let parts = parts(order, amount)?;
    Ok(vec![Event::RefundGranted(RefundGranted {
        refund_id: grant.refund_id,
        attempt: 1,
        amount,
        parts,
        lines: grant.lines.clone(),
        shipping: grant.shipping,
        by_hand: true,
        return_id: None,
        cancellation_id: None,
        edit_id: None,
        shipment_id: None,
        reason: grant.reason.clone(),
        asked: Some(asked),
    })])
}

/// Out of which payments an amount is given back.
fn parts(order: &Placed, amount: Minor) -> Result<Vec<crate::order::event::PaymentShare>, Refusal> {
    if order.payments.iter().any(|payment| payment.status == PaymentStatus::Unknown) {
        return Err(Refusal::PaymentUnknown);
    }
    let ledger = order.ledger();
    let refundable = ledger.refundable();
    if amount > refundable {
        let (captured, granted) = (ledger.captured, ledger.granted);
        return Err(Refusal::ExceedsRefundable { asked: amount, captured, granted, refundable });
    }
    Ok(order.spread(amount, |payment| order.refundable_of(payment)).0)
}

/// The amount as given, which is that of lines and shipping where these are named.
fn amount(order: &Placed, grant: &GrantRefund) -> Result<Minor, Refusal> {
    let refund_id = grant.refund_id;
    let mut sum = i128::from(shipping(order, grant)?);
    units::once(grant.lines.iter().map(|line| (line.line_id, ())))?;
    for line in &grant.lines {
        units::known(order, line.line_id, line.qty)?;
        if !(1..=LARGEST).contains(&line.amount) {
            let amount = line.amount;
            return Err(Refusal::InvalidRefund { refund_id, amount });
        }
        fits(order, refund_id, line)?;
        sum += i128::from(line.amount);
    }
    let sum = Minor::try_from(sum).unwrap_or(Minor::MAX);
    let named = !grant.lines.is_empty() || grant.shipping > 0;
    let amount = grant.amount.unwrap_or(sum);
    if !(1..=LARGEST).contains(&amount) {
        return Err(Refusal::InvalidRefund { refund_id, amount });
    }
    if named && amount != sum {
        return Err(Refusal::RefundSumsDiffer { refund_id, amount, sum });
    }
    Ok(amount)
}

fn shipping(order: &Placed, grant: &GrantRefund) -> Result<Minor, Refusal> {
    shipping_fits(order, grant.refund_id, grant.shipping)?;
    Ok(grant.shipping)
}

fn shipping_fits(order: &Placed, refund_id: RefundId, asked: Minor) -> Result<(), Refusal> {
    // Of an order that was rejected nothing is charged: its money went back as a whole.
    let charged = if order.status == Status::Rejected { 0 } else { order.totals.shipping };
    let left = (charged - order.shipping_cancelled - order.refunded_shipping()).max(0);
    if (0..=left).contains(&asked) { Ok(()) } else { Err(Refusal::RefundExceedsShipping { refund_id, asked, left }) }
}

/// Of a line no more than left and was given back neither by hand nor because it came back or got lost.
fn fits(order: &Placed, refund_id: RefundId, asked: &crate::order::event::LineValue) -> Result<(), Refusal> {
    let Some(line) = order.lines.get(&asked.line_id) else {
        return Ok(());
    };
    let by_hand: u32 = order
        .refunds
        .values()
        .filter(|refund| refund.by_hand && refund.standing() > 0)
        .flat_map(|refund| &refund.lines)
        .filter(|of| of.line_id == asked.line_id)
        .fold(0, |sum, of| sum.saturating_add(of.qty));
    let gone = line.returned.saturating_add(line.lost_refunded).max(by_hand);
    let units = line.shipped.saturating_sub(gone);
    let value = (line.shipped_value - order.credit_of(line)).max(0);
    if asked.qty > units || asked.amount > value {
        let (line_id, qty) = (asked.line_id, asked.qty);
        return Err(Refusal::RefundExceedsLine { refund_id, line_id, qty, asked: asked.amount, units, value });
    }
    Ok(())
}

fn find(order: &Placed, refund_id: RefundId) -> Result<&Refund, Refusal> {
    order.refunds.get(&refund_id).ok_or(Refusal::RefundNotFound { refund_id })
}

/// What it was granted for may have come back, or have been refunded otherwise, meanwhile.
fn fits_again(order: &Placed, refund_id: RefundId, refund: &Refund) -> Result<(), Refusal> {
    let (now, then) = (refund.counted(), refund.counting(refund.amount));
    shipping_fits(order, refund_id, then.shipping - now.shipping)?;
    for ((line_id, had), (_, has)) in now.lines.into_iter().zip(then.lines) {
        let Some(line) = order.lines.get(&line_id) else {
            continue;
        };
        let (asked, value) = (has - had, (line.shipped_value - order.credit_of(line)).max(0));
        if asked > value {
            let units = line.shipped.saturating_sub(line.returned.saturating_add(line.lost_refunded));
            let qty = refund.lines.iter().filter(|of| of.line_id == line_id).map(|of| of.qty).sum();
            return Err(Refusal::RefundExceedsLine { refund_id, line_id, qty, asked, units, value });
        }
    }
    Ok(())
}

/// What followed from something and failed may have been made good by hand meanwhile.
fn still_unpaid(order: &Placed, amount: Minor) -> Result<(), Refusal> {
    let ledger = order.ledger();
    if amount <= ledger.unpaid {
        return Ok(());
    }
    let (captured, granted, refundable) = (ledger.captured, ledger.granted, ledger.unpaid);
    Err(Refusal::ExceedsRefundable { asked: amount, captured, granted, refundable })
}

/// What failed of it, or was withdrawn, is granted once more. `attempt` is the one that this makes.
pub(super) fn retry(order: &Placed, refund_id: RefundId, attempt: Option<u32>) -> Decision {
    let refund = find(order, refund_id)?;
    let amount = refund.failed() + refund.withdrawn();
    if attempt.is_some_and(|attempt| attempt <= refund.attempt) || amount == 0 {
        return Ok(Vec::new());
    }
    if refund.by_hand {
        fits_again(order, refund_id, refund)?;
    } else {
        still_unpaid(order, amount)?;
    }
    let parts = parts(order, amount)?;
    Ok(vec![Event::RefundGranted(RefundGranted {
        refund_id,
        attempt: refund.attempt.saturating_add(1),
        amount: refund.amount,
        parts,
        lines: refund.lines.clone(),
        shipping: refund.shipping,
        by_hand: refund.by_hand,
        return_id: refund.return_id,
        cancellation_id: refund.cancellation_id,
        edit_id: refund.edit_id,
        shipment_id: refund.shipment_id,
        reason: refund.reason.clone(),
        asked: refund.asked,
    })])
}

pub(super) fn fail(order: &Placed, declined: &RefundDeclined) -> Decision {
    let refund = find(order, declined.refund_id)?;
    let open = |part: &RefundPart| declined.is_of(part) && part.progress == RefundProgress::Pending;
    if !refund.parts.iter().any(open) {
        return Ok(Vec::new());
    }
    Ok(vec![Event::RefundDeclined(declined.clone())])
}

fn owed_by_hand(order: &Placed, refund: &Refund) -> bool {
    let external = |payment_id| order.payment_of(payment_id).is_some_and(crate::order::state::Payment::is_external);
    refund.parts.iter().any(|part| part.progress == RefundProgress::Pending && external(part.payment_id))
}

pub(super) fn confirm_paid(order: &Placed, refund_id: RefundId, reference: &str) -> Decision {
    let refund = find(order, refund_id)?;
    if owed_by_hand(order, refund) {
        return Ok(vec![Event::RefundPaid(RefundPaid { refund_id, reference: reference.to_owned() })]);
    }
    let told = RefundProgress::Done { reference: Some(reference.to_owned()) };
    let again = refund.parts.iter().any(|part| part.progress == told);
    if again { Ok(Vec::new()) } else { Err(Refusal::NothingOwedByHand { refund_id }) }
}

pub(super) fn withdraw(order: &Placed, refund_id: RefundId, reason: &str) -> Decision {
    let refund = find(order, refund_id)?;
    if owed_by_hand(order, refund) {
        bounds::declined(order, reason)?;
        return Ok(vec![Event::RefundWithdrawn(RefundWithdrawn { refund_id, reason: reason.to_owned() })]);
    }
    let told = RefundProgress::Withdrawn { reason: reason.to_owned() };
    let again = refund.parts.iter().any(|part| part.progress == told);
    if again { Ok(Vec::new()) } else { Err(Refusal::NothingOwedByHand { refund_id }) }
}
