//! Payments of an order: added, let go of, and what happened to them. What is taken is never fewer, and each fact is told once.

use super::ship::not_held;
use super::{Decision, bounds, fingerprint, known, wrong_state};
use crate::ids::{OrderId, PaymentId};
use crate::money::{LARGEST, Minor};
use crate::order::command::AddPayment;
use crate::order::event::{Capture, Event, Means, PaymentAdded, PaymentRecorded, PaymentReleased};
use crate::order::refusal::{Part, Refusal};
use crate::order::state::{Payment, Placed, Status};
use crate::payment::abilities::Abilities;
use crate::saga::checkout;

pub(super) fn add(order: &Placed, add: &AddPayment) -> Decision {
    let asked = fingerprint(add.payment_id.0, add);
    if let Some(there) = order.payment_of(add.payment_id) {
        return known(there.asked == Some(asked), Part::Payment, add.payment_id.0);
    }
    match order.status {
        Status::Pending | Status::Confirmed | Status::Completed if !order.cancelling() => {}
        _ => return Err(wrong_state(order)),
    }
    bounds::payment(order)?;
    let open = order.ledger().uncovered();
    // What takes the place of an ending payment holds what that one still does, for a while.
    let replaced = order.to_replace();
    let most = open + replaced.map_or(0, |(_, held)| held);
    let amount = add.amount.unwrap_or(most);
    if amount < 1 || amount > most {
        return Err(Refusal::ExceedsOwed { asked: amount, open: most });
    }
    let replaces = replaced.filter(|_| amount > open).map(|(replaced, _)| replaced.payment_id);
    Ok(vec![Event::PaymentAdded(PaymentAdded {
        payment_id: add.payment_id,
        amount,
        means: add.means.clone(),
        added: add.added,
        replaces,
        asked: Some(asked),
    })])
}

/// What an edit made the order worth more is held as another payment, where there is something to pay with.
pub(super) fn more(order: &Placed, payment_id: PaymentId) -> Result<Option<Event>, Refusal> {
    let amount = order.ledger().uncovered();
    let instrument = &order.payment_terms.instrument;
    if amount == 0 || order.payment_terms.capture == Capture::PayLater || instrument.token().is_empty() {
        return Ok(None);
    }
    bounds::payment(order)?;
    Ok(Some(Event::PaymentAdded(PaymentAdded {
        payment_id,
        amount,
        means: Means::Provider { instrument: instrument.clone() },
        added: crate::order::event::Added::Edit,
        replaces: None,
        asked: None,
    })))
}

/// An order that ended counts on nothing: there the payment alone decides.
pub(super) fn release(order: &Placed, payment_id: PaymentId, keep: Minor, payment_version: u64) -> Decision {
    if !is_ours(order, payment_id) {
        return Err(Refusal::AnotherPayment { payment_id });
    }
    let there = order.payment_of(payment_id);
    let already = there.is_some_and(|payment| {
        let none = payment.authorised > 0 && payment.holds_nothing();
        // What a gateway cannot void in part stays, as the payment itself says.
        let whole = keep > 0 && !payment.abilities.partial_void;
        // A void that the order itself asked for may not be at the payment yet: it counts on no more anyway.
        none || whole || payment.to_keep().is_some_and(|there| there <= keep)
    });
    if already || matches!(order.status, Status::Rejected | Status::Cancelled) {
        return Ok(Vec::new());
    }
    Ok(vec![Event::PaymentReleased(PaymentReleased { payment_id, keep: keep.max(0), payment_version })])
}

/// Whether money may be taken for it now.
pub(super) fn clear_capture(order: &Placed) -> Decision {
    match order.status {
        Status::Confirmed | Status::Completed if !order.cancelling() => {}
        _ => return Err(wrong_state(order)),
    }
    not_held(order)?;
    Ok(Vec::new())
}

fn is_ours(order: &Placed, payment_id: PaymentId) -> bool {
    order.payments.is_empty() || payment_id == first_of(order.order_id) || order.payment_of(payment_id).is_some()
}

fn first_of(order_id: OrderId) -> PaymentId {
    checkout::payment_of(order_id)
}

pub(super) fn record(order: &Placed, told: &PaymentRecorded) -> Decision {
    if !is_ours(order, told.payment_id) {
        let payment_id = order.payment().payment_id.unwrap_or_default();
        return Err(Refusal::AnotherPayment { payment_id });
    }
    let there = order.payment_of(told.payment_id);
    let Some(known) = there else {
        return recorded(0, told);
    };
    let again = |version: u64| known.told.contains(&version);
    let news = told.fact.as_ref().is_some_and(|fact| !again(fact.version));
    if told.payment_version < known.version {
        // What happened before the sums that are known: the sums stay, the fact is news.
        let now = PaymentRecorded { fact: told.fact.clone(), ..sums(known) };
        return Ok(if news { vec![Event::PaymentRecorded(now)] } else { Vec::new() });
    }
    let unchanged = PaymentRecorded { payment_version: told.payment_version, fact: None, ..sums(known) };
    let abilities = Some(told.abilities.unwrap_or(Abilities::ALL));
    let same = PaymentRecorded { fact: None, refund_pending: 0, abilities, ..told.clone() } == unchanged;
    if same && !news {
        return Ok(Vec::new());
    }
    if told.payment_version == known.version && !news && known.version > 0 {
        return Ok(Vec::new());
    }
    recorded(known.captured, told)
}

fn recorded(captured_before: Minor, told: &PaymentRecorded) -> Decision {
    if adds_up(captured_before, told) {
        return Ok(vec![Event::PaymentRecorded(told.clone())]);
    }
    Err(Refusal::InvalidPayment {
        authorised: told.authorised,
        captured: told.captured,
        refunded: told.refunded,
        refund_pending: told.refund_pending,
    })
}

fn sums(payment: &Payment) -> PaymentRecorded {
    PaymentRecorded {
        payment_id: payment.payment_id,
        payment_version: payment.version,
        status: payment.status,
        authorised: payment.authorised,
        captured: payment.captured,
        refunded: payment.refunded,
        refund_pending: 0,
        voided: payment.voided,
        keeps: payment.keeps,
        capture_before: payment.capture_before,
        abilities: Some(payment.abilities),
        fact: None,
    }
}

fn adds_up(captured_before: Minor, told: &PaymentRecorded) -> bool {
    let amounts = [told.authorised, told.captured, told.refunded, told.refund_pending, told.voided];
    amounts.iter().all(|amount| (0..=LARGEST).contains(amount))
        && told.captured + told.voided <= told.authorised
        && told.captured >= captured_before
        && told.refunded + told.refund_pending <= told.captured
}
