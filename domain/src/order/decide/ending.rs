//! What follows from the end of an authorisation that the order still needs: the same money is held again in its place, or the order is put on
//! hold until somebody has seen to it. In the batch that tells of it, and computed from what is there, so that facts may come in any order.

use std::collections::BTreeSet;

use super::bounds;
use crate::ids::{HoldId, PaymentId, within};
use crate::instrument::Instrument;
use crate::money::Minor;
use crate::order::event::{Added, Event, Happened, HoldPlaced, Means, PaymentAdded, PaymentStatus};
use crate::order::state::{Ending, Payment, Placed, Status};
use crate::payment::event::OnExpiry;

/// The reason of the hold while what is held can still be taken.
const NEAR: &str = "authorisation_ending";
/// The reason of the hold once it cannot.
const OVER: &str = "authorisation_expired";

/// The next event that follows, if one does. What is held is looked at whenever money may have moved; what has ended when something was told
/// of it, since what is uncovered later has other reasons.
pub(super) fn follows(events: &[Event], order: &Placed) -> Option<Event> {
    // Before it is confirmed checkout sees to its money; once it ends, nothing more is taken.
    if order.status != Status::Confirmed || order.cancelling() {
        return None;
    }
    let told: BTreeSet<PaymentId> = events.iter().flat_map(|event| told_of(event, order)).collect();
    let concerned = |payment: &&Payment| !payment.holds_nothing() || told.contains(&payment.payment_id);
    order.payments.iter().filter(concerned).find_map(|payment| of_payment(order, payment))
}

/// The payments of whose end an event tells something, or of what was to take their place.
fn told_of(event: &Event, order: &Placed) -> Vec<PaymentId> {
    match event {
        // What was told before is seen to from here on.
        Event::Confirmed(_) => order.payments.iter().map(|payment| payment.payment_id).collect(),
        Event::PaymentRecorded(told) => match told.fact.as_ref().map(|fact| &fact.what) {
            Some(Happened::Ending { .. } | Happened::Expired) => vec![told.payment_id],
            Some(Happened::Declined { .. }) => {
                order.payment_of(told.payment_id).and_then(|payment| payment.replaces).into_iter().collect()
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn of_payment(order: &Placed, payment: &Payment) -> Option<Event> {
    // That its end is near and that it is there are two facts, which may come in any order: what follows waits for both.
    let ending = payment.ending?;
    let missing = order.missing(payment);
    if missing == 0 {
        return None;
    }
    match order.in_place_of(payment.payment_id) {
        None => renewal(order, payment, ending, missing).or_else(|| hold(order, payment)),
        // Its answer decides; that nobody knows it yet is no decline, as long as the money is held.
        Some(other) if other.awaited() > 0 => None,
        Some(other) if other.status == PaymentStatus::Unknown && !payment.holds_nothing() => None,
        Some(_) => hold(order, payment),
    }
}

/// The same money, held again with the same means of payment.
fn renewal(order: &Placed, payment: &Payment, ending: Ending, amount: Minor) -> Option<Event> {
    let able = ending.then == OnExpiry::Reauthorise && payment.abilities.reauthorise;
    let instrument = instrument(order, payment).filter(|instrument| !instrument.token().is_empty())?;
    if !able || gains_nothing(order, payment, ending) || bounds::payment(order).is_err() {
        return None;
    }
    Some(Event::PaymentAdded(PaymentAdded {
        payment_id: PaymentId(within(order.order_id, "renewal", payment.payment_id.0, &end_of(payment))),
        amount,
        means: Means::Provider { instrument: instrument.clone() },
        added: Added::Renewal,
        replaces: Some(payment.payment_id),
        asked: None,
    }))
}

fn instrument<'a>(order: &'a Placed, payment: &'a Payment) -> Option<&'a Instrument> {
    match &payment.means {
        Some(Means::Provider { instrument }) => Some(instrument),
        Some(Means::External { .. }) => None,
        None => Some(&order.payment_terms.instrument),
    }
}

/// Whether it took the place of another payment and its own end is near as soon: the same would follow over and over.
fn gains_nothing(order: &Placed, payment: &Payment, ending: Ending) -> bool {
    let before = payment.replaces.and_then(|id| order.payment_of(id)).and_then(|before| before.capture_before);
    let ends = before.zip(payment.capture_before);
    ends.is_some_and(|(before, now)| now <= before.plus_seconds(ending.lead_s))
}

/// Once for each end while it is near, and once when it is there; not while somebody has still to see to the first.
fn hold(order: &Placed, payment: &Payment) -> Option<Event> {
    let of = |reason: &str| {
        HoldId(within(order.order_id, "ending", payment.payment_id.0, &format!("{reason}/{}", end_of(payment))))
    };
    let reason = if payment.holds_nothing() { OVER } else { NEAR };
    let hold_id = of(reason);
    let known = order.holds.contains_key(&hold_id) || order.released_holds.contains_key(&hold_id);
    if known || order.holds.contains_key(&of(NEAR)) {
        return None;
    }
    Some(Event::HoldPlaced(HoldPlaced { hold_id, reason: reason.to_owned(), note: None, until: None }))
}

/// Which end of the payment it is: a raise may have moved it.
fn end_of(payment: &Payment) -> String {
    payment.capture_before.map_or_else(String::new, |end| end.to_string())
}
