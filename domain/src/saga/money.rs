//! What sagas make of a payment's events, and how they tell an order of them. A saga never calls a provider; it asks the payment
//! and waits for evidence.

use serde_json::{Value, json};

use super::event::{Direction, StepOutcome};
use super::process::Batch;
use super::state::{Progress, State};
use super::step::{Notice, Output};
use crate::ids::{CaptureId, OrderId, PaymentId, RefundId, derived};
use crate::order::event::PaymentRecorded;
use crate::payment::Payment;
use crate::payment::event::{Event, Verb};
use crate::{Command, order};

/// Where an output, a refusal's details or a note keeps what the order is to be told of the payment.
pub(super) const PAYMENT: &str = "payment";

/// The payment of an order.
#[must_use]
pub(super) fn payment_of(order_id: OrderId) -> PaymentId {
    PaymentId(derived(order_id.0, "payment"))
}

/// What a step waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waits {
    Authorise,
    Capture(CaptureId),
    Void,
    Refund(RefundId),
}

/// Hears what came of a step's request in the events of a batch.
pub(super) fn hear(
    batch: &Batch,
    payment_id: PaymentId,
    (step, direction, waits): (&'static str, Direction, Waits),
    notices: &mut Vec<Notice>,
) {
    let told = batch.payment.as_ref().filter(|seen| seen.payment_id == payment_id);
    let payment = told.and_then(|seen| {
        let told = seen.payment.record(seen.version)?;
        serde_json::to_value(told).ok()
    });
    let stream = payment_id.to_string();
    for recorded in batch.events.iter().filter(|recorded| *recorded.stream == *stream) {
        let crate::Event::Payment(event) = &recorded.event else {
            continue;
        };
        let Some((attempt, outcome)) = outcome(event, waits, payment.as_ref()) else {
            continue;
        };
        if let (StepOutcome::Unknown { .. }, Some(payment)) = (&outcome, &payment) {
            notices.push(Notice::Note { note: PAYMENT, value: payment.clone() });
        }
        notices.push(Notice::Answer { step, direction, attempt, seen: Some(recorded.version), outcome });
    }
    let looked_up = batch.command_id.is_nil();
    if let (true, Waits::Void, Some(seen)) = (looked_up, waits, told)
        && nothing_held(&seen.payment)
    {
        notices.push(Notice::Answer {
            step,
            direction,
            attempt: None,
            seen: Some(seen.version),
            outcome: done(payment.as_ref()),
        });
    }
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

fn outcome(event: &Event, waits: Waits, payment: Option<&Value>) -> Option<(Option<u32>, StepOutcome)> {
    let unknown = |wanted: bool, detail: &Option<String>| {
        wanted.then(|| {
            let detail = detail.clone().unwrap_or_default();
            (None, StepOutcome::Unknown { detail })
        })
    };
    match (waits, event) {
        (Waits::Authorise, Event::Authorised(it)) => Some((Some(it.attempt), done(payment))),
        (Waits::Authorise, Event::Declined(it)) => Some((Some(it.attempt), failed(&it.code, payment))),
        (Waits::Capture(id), Event::Captured(it)) if it.capture_id == id => Some((None, done(payment))),
        (Waits::Capture(id), Event::CaptureFailed(it)) if it.capture_id == id => {
            Some((None, failed(&it.code, payment)))
        }
        // A void of a part, which somebody else asked for, leaves something held.
        (Waits::Void, Event::Voided(it)) if it.kept > 0 => None,
        (Waits::Void, Event::Voided(_) | Event::Declined(_) | Event::AuthorisationExpired(_)) => {
            Some((None, done(payment)))
        }
        (Waits::Void, Event::VoidFailed(it)) => Some((None, failed(&it.code, payment))),
        (Waits::Refund(id), Event::RefundSettled(it)) if it.refund_id == id => Some((None, done(payment))),
        (Waits::Refund(id), Event::RefundFailed(it)) if it.refund_id == id => Some((None, failed(&it.code, payment))),
        (waits, Event::OutcomeUnknown(it)) => {
            let wanted = match (waits, &it.verb) {
                (Waits::Authorise, Verb::Authorise) | (Waits::Void, Verb::Void) => true,
                (Waits::Capture(id), Verb::Capture { capture_id }) => id == *capture_id,
                (Waits::Refund(id), Verb::Refund { refund_id }) => id == *refund_id,
                _ => false,
            };
            unknown(wanted, &it.detail)
        }
        _ => None,
    }
}

fn nothing_held(payment: &Payment) -> bool {
    match payment {
        Payment::Absent => true,
        Payment::Requested(it) => it.moving_held().is_none() && it.held() == 0,
    }
}

/// The newest that a saga knows of the payment.
pub(super) fn newest(state: &State) -> Option<PaymentRecorded> {
    let sides = state.steps.values().flat_map(|step| [&step.forth, &step.back]);
    let told = sides.filter_map(|side| match &side.progress {
        Progress::Done(output) => output.get(PAYMENT),
        Progress::NotDone { details, .. } => details.get(PAYMENT),
        _ => None,
    });
    told.chain(state.notes.get(PAYMENT))
        .filter_map(|value| serde_json::from_value::<PaymentRecorded>(value.clone()).ok())
        .max_by_key(|told| told.payment_version)
}

/// Tells the order the newest that is known of the payment.
pub(super) fn record(state: &State, order_id: OrderId) -> Option<Command> {
    Some(Command::Order { order_id, command: order::Command::RecordPayment(newest(state)?) })
}
