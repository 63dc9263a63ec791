//! Money given back, and what payments says. Never grants more than was captured, and nothing while nobody knows what was.

use super::{Decision, bounds, fingerprint, known, units};
use crate::money::{LARGEST, Minor};
use crate::order::command::GrantRefund;
use crate::order::event::{Event, PaymentRecorded, PaymentStatus, RefundGranted};
use crate::order::refusal::{Part, Refusal};
use crate::order::state::Placed;

pub(super) fn grant(order: &Placed, grant: &GrantRefund) -> Decision {
    let asked = fingerprint(grant.refund_id.0, grant);
    if let Some(there) = order.refunds.get(&grant.refund_id) {
        let lines = || grant.lines.iter().map(|line| line.amount).sum();
        let amount = grant.amount.or_else(|| (!grant.lines.is_empty()).then(lines));
        let alike = || {
            there.reason == grant.reason
                && (there.return_id, there.cancellation_id) == (grant.return_id, grant.cancellation_id)
                && amount.is_none_or(|amount: Minor| amount == there.amount)
        };
        let same = there.asked.map_or_else(alike, |there| there == asked);
        return known(same, Part::Refund, grant.refund_id.0);
    }
    let amount = amount(order, grant)?;
    if grant.return_id.is_none() && grant.cancellation_id.is_none() {
        bounds::refund(order, &grant.reason)?;
    }
    if order.payment.status == PaymentStatus::Unknown {
        return Err(Refusal::PaymentUnknown);
    }
    let refundable = order.refundable();
    if amount > refundable {
        return Err(Refusal::ExceedsRefundable {
            asked: amount,
            captured: order.payment.captured,
            granted: order.granted(),
            refundable,
        });
    }
    Ok(vec![Event::RefundGranted(RefundGranted {
        refund_id: grant.refund_id,
        amount,
        lines: grant.lines.clone(),
        return_id: grant.return_id,
        cancellation_id: grant.cancellation_id,
        reason: grant.reason.clone(),
        asked: Some(asked),
    })])
}

/// The amount as given; without one the value of the lines, or what is left of the return or cancellation that it follows from.
fn amount(order: &Placed, grant: &GrantRefund) -> Result<Minor, Refusal> {
    let refund_id = grant.refund_id;
    let follows = following(order, grant)?;
    units::once(grant.lines.iter().map(|line| (line.line_id, ())))?;
    let mut lines = 0_i128;
    for line in &grant.lines {
        units::known(order, line.line_id, line.qty)?;
        if !(0..=LARGEST).contains(&line.amount) {
            let amount = line.amount;
            return Err(Refusal::InvalidRefund { refund_id, amount });
        }
        lines += i128::from(line.amount);
    }
    let amount = match grant.amount {
        Some(amount) => amount,
        None if grant.lines.is_empty() => follows,
        None => Minor::try_from(lines).unwrap_or(Minor::MAX),
    };
    if !(1..=LARGEST).contains(&amount) {
        return Err(Refusal::InvalidRefund { refund_id, amount });
    }
    Ok(amount)
}

/// What the return or the cancellation that it follows from is worth and was not granted yet; both have to be there.
fn following(order: &Placed, grant: &GrantRefund) -> Result<Minor, Refusal> {
    let mut worth = 0;
    if let Some(return_id) = grant.return_id {
        let missing = Refusal::ReturnNotFound { return_id };
        worth += order.returns.get(&return_id).ok_or(missing)?.refund;
    }
    if let Some(cancellation_id) = grant.cancellation_id {
        let missing = Refusal::CancellationNotFound { cancellation_id };
        worth += order.cancellations.get(&cancellation_id).ok_or(missing)?.amount;
    }
    let granted: Minor = order
        .refunds
        .values()
        .filter(|r| {
            (r.return_id.is_some() && r.return_id == grant.return_id)
                || (r.cancellation_id.is_some() && r.cancellation_id == grant.cancellation_id)
        })
        .map(|r| r.amount)
        .sum();
    Ok(worth - granted)
}

pub(super) fn record_payment(order: &Placed, recorded: &PaymentRecorded) -> Decision {
    let known = &order.payment;
    if let Some(payment_id) = known.payment_id
        && payment_id != recorded.payment_id
    {
        return Err(Refusal::AnotherPayment { payment_id });
    }
    if let Some(newest) = &known.recorded {
        let unchanged = PaymentRecorded { payment_version: recorded.payment_version, ..newest.clone() };
        if recorded.payment_version <= newest.payment_version || *recorded == unchanged {
            return Ok(Vec::new());
        }
    }
    if !adds_up(known.captured, recorded) {
        return Err(Refusal::InvalidPayment {
            authorised: recorded.authorised,
            captured: recorded.captured,
            refunded: recorded.refunded,
            refund_pending: recorded.refund_pending,
        });
    }
    Ok(vec![Event::PaymentRecorded(recorded.clone())])
}

fn adds_up(captured_before: Minor, recorded: &PaymentRecorded) -> bool {
    let amounts = [recorded.authorised, recorded.captured, recorded.refunded, recorded.refund_pending];
    amounts.iter().all(|amount| (0..=LARGEST).contains(amount))
        && recorded.captured <= recorded.authorised
        && recorded.captured >= captured_before
        && recorded.refunded + recorded.refund_pending <= recorded.captured
}
