//! How sagas treat money. A saga never calls a provider; it sends a command to the payment and waits for evidence:
//! authorisations and voids are observed at the payment itself, captures and refunds at the order, which records every
//! fact of its payments.

use serde_json::{Value, json};

use super::event::{Direction, StepOutcome};
use super::process::Batch;
use super::state::{Progress, State};
use super::step::{Notice, Output};
use crate::ids::{CaptureId, OrderId, PaymentId, RefundId};
use crate::money::Minor;
use crate::order;
use crate::order::event::{Happened, PaymentRecorded};
use crate::payment::Payment;
use crate::payment::event::{Event, Verb};

/// Where an output or a refusal's details keep where the payment stands.
pub(super) const PAYMENT: &str = "payment";

/// What a step waits for at the payment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waits {
    Authorise,
    /// At most this much stays authorised.
    Void {
        keep: Minor,
    },
}

/// What a step waits for at the order.
#[derive(Clone, Copy, Debug)]
pub(super) enum WaitsTold {
    Capture(CaptureId),
    Refund(RefundId),
}

/// Observes the outcome of a step's request in a payment's events of a batch.
pub(super) fn hear(
    batch: &Batch,
    payment_id: PaymentId,
    (step, direction, waits): (&'static str, Direction, Waits),
    notices: &mut Vec<Notice>,
) {
    let seen = batch.payment.as_ref().filter(|seen| seen.payment_id == payment_id);
    let payment = seen.and_then(|seen| serde_json::to_value(seen.payment.record(seen.version)?).ok());
    let stream = payment_id.to_string();
    for recorded in batch.events.iter().filter(|recorded| *recorded.stream == *stream) {
        let crate::Event::Payment(event) = &recorded.event else {
            continue;
        };
        if let Some((attempt, outcome)) = outcome(event, waits, payment.as_ref()) {
            notices.push(Notice::Answer { step, direction, attempt, seen: Some(recorded.version), outcome });
        }
    }
    let looked_up = batch.command_id.is_nil();
    if let (true, Waits::Void { keep }, Some(seen)) = (looked_up, waits, seen)
        && holds_no_more_than(&seen.payment, keep)
    {
        let (seen, outcome) = (Some(seen.version), done(payment.as_ref()));
        notices.push(Notice::Answer { step, direction, attempt: None, seen, outcome });
    }
}

/// Observes the outcome of a step's request in the facts that an order recorded about its payments.
pub(super) fn hear_told(
    batch: &Batch,
    order_id: OrderId,
    payment_id: PaymentId,
    (step, waits): (&'static str, WaitsTold),
    notices: &mut Vec<Notice>,
) {
    for (version, told) in told(batch, order_id).filter(|(_, told)| told.payment_id == payment_id) {
        let Some(fact) = &told.fact else {
            continue;
        };
        let outcome = match (waits, &fact.what) {
            (WaitsTold::Capture(id), Happened::Captured { capture_id }) if *capture_id == id => done(None),
            (WaitsTold::Capture(id), Happened::CaptureFailed { capture_id, code, last }) if *capture_id == id => {
                not_done(code, *last)
            }
            (WaitsTold::Refund(id), Happened::Refunded { refund_id }) if *refund_id == id => done(None),
            (WaitsTold::Refund(id), Happened::RefundFailed { refund_id, code, last }) if *refund_id == id => {
                not_done(code, *last)
            }
            (WaitsTold::Capture(id), Happened::Unknown { asked: Verb::Capture { capture_id } })
                if *capture_id == id =>
            {
                unknown(None)
            }
            (WaitsTold::Refund(id), Happened::Unknown { asked: Verb::Refund { refund_id } }) if *refund_id == id => {
                unknown(None)
            }
            _ => continue,
        };
        notices.push(Notice::Answer { step, direction: Direction::Do, attempt: None, seen: Some(version), outcome });
    }
}

/// The facts about its payments that an order recorded in a batch, each with its version.
pub(super) fn told(batch: &Batch, order_id: OrderId) -> impl Iterator<Item = (u64, &PaymentRecorded)> {
    let stream = order_id.to_string();
    batch.events.iter().filter(move |recorded| *recorded.stream == *stream).filter_map(|recorded| {
        match &recorded.event {
            crate::Event::Order(order::Event::PaymentRecorded(told)) => Some((recorded.version, told)),
            _ => None,
        }
    })
}

fn done(payment: Option<&Value>) -> StepOutcome {
    let output = payment.map(|payment| (PAYMENT.to_owned(), payment.clone()));
    StepOutcome::Done { output: Output::from_iter(output) }
}

fn failed(code: &str, payment: Option<&Value>) -> StepOutcome {
    StepOutcome::NotDone {
        code: code.to_owned(),
        details: payment.map_or_else(|| json!({}), |payment| json!({ PAYMENT: payment })),
    }
}

/// Whether something else that moves held money is at the provider: it is asked again once that is settled.
pub(super) fn is_busy(details: &Value) -> bool {
    let stage = details.get("stage").and_then(Value::as_str);
    matches!(stage, Some("voiding" | "raising" | "authorising"))
}

/// Whether a refusal of a capture means that nothing is held any longer, or will be: another capture in flight may
/// still fail.
pub(super) fn is_gone(code: &str, details: &Value) -> bool {
    let pending = details.get("pending").and_then(Value::as_i64).unwrap_or(0) > 0;
    let gone = matches!(code, "payment-state" | "exceeds-authorised" | "authorisation-expired");
    gone && !pending && !is_busy(details)
}

/// The field of a refusal's details that forbids another attempt.
pub(super) const LAST: &str = "last";

fn not_done(code: &str, last: bool) -> StepOutcome {
    let details = if last { json!({ LAST: true }) } else { json!({}) };
    StepOutcome::NotDone { code: code.to_owned(), details }
}

/// Whether a refusal forbids another attempt.
pub(super) fn is_last(details: &Value) -> bool {
    details.get(LAST) == Some(&json!(true))
}

fn unknown(detail: Option<&String>) -> StepOutcome {
    StepOutcome::Unknown { detail: detail.cloned().unwrap_or_default() }
}

fn outcome(event: &Event, waits: Waits, payment: Option<&Value>) -> Option<(Option<u32>, StepOutcome)> {
    match (waits, event) {
        (Waits::Authorise, Event::Authorised(it)) => Some((Some(it.attempt), done(payment))),
        (Waits::Authorise, Event::Declined(it)) => Some((Some(it.attempt), failed(&it.code, payment))),
        // Another request's void of less leaves more held.
        (Waits::Void { keep }, Event::Voided(it)) if it.kept > keep => None,
        (Waits::Void { .. }, Event::Voided(_) | Event::Declined(_) | Event::AuthorisationExpired(_)) => {
            Some((None, done(payment)))
        }
        (Waits::Void { .. }, Event::VoidFailed(it)) => Some((None, failed(&it.code, payment))),
        (Waits::Authorise, Event::OutcomeUnknown(it)) if it.verb == Verb::Authorise => {
            Some((None, unknown(it.detail.as_ref())))
        }
        (Waits::Void { .. }, Event::OutcomeUnknown(it)) if it.verb == Verb::Void => {
            Some((None, unknown(it.detail.as_ref())))
        }
        _ => None,
    }
}

fn holds_no_more_than(payment: &Payment, keep: Minor) -> bool {
    match payment {
        Payment::Absent => true,
        Payment::Requested(it) => it.moving_held().is_none() && it.held() <= keep,
    }
}

/// Whether the authorised amount is being voided, or is gone: then the event of the authorisation is not the latest
/// state.
pub(super) fn is_let_go(batch: &Batch, payment_id: PaymentId) -> bool {
    let seen = batch.payment.as_ref().filter(|seen| seen.payment_id == payment_id);
    let Some(Payment::Requested(payment)) = seen.map(|seen| seen.payment.as_ref()) else {
        return false;
    };
    let all = payment.at_provider(Verb::Void).is_some_and(|void| void.amount >= payment.held());
    let letting_go = payment.void_wanted == Some(0) || all || payment.held() == 0;
    payment.authorised > 0 && letting_go
}

/// The newest that a saga knows of the payment.
pub(super) fn newest(state: &State) -> Option<PaymentRecorded> {
    let sides = state.steps.values().flat_map(|step| [&step.forth, &step.back]);
    let told = sides.filter_map(|side| match &side.progress {
        Progress::Done(output) => output.get(PAYMENT),
        Progress::NotDone { details, .. } => details.get(PAYMENT),
        _ => None,
    });
    told.filter_map(|value| serde_json::from_value::<PaymentRecorded>(value.clone()).ok())
        .max_by_key(|told| told.payment_version)
}
