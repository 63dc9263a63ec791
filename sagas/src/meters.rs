//! What is counted and measured. Names are kept for ever: dashboards and alerts are made of them.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

pub(crate) fn undecodable() {
    counter!("daybook_sagas_undecodable_records_total").increment(1);
}

pub(crate) fn open(kind: &str, open: usize, parked: usize) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    {
        gauge!("daybook_sagas_open", "kind" => kind.to_owned()).set(open as f64);
        gauge!("daybook_sagas_parked", "kind" => kind.to_owned()).set(parked as f64);
    }
}

pub(crate) fn oldest(age: Duration) {
    gauge!("daybook_sagas_oldest_open_seconds").set(age.as_secs_f64());
}

pub(crate) fn waiting(timers: usize, unanswered: usize) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    {
        gauge!("daybook_sagas_timers").set(timers as f64);
        gauge!("daybook_sagas_unanswered_commands").set(unanswered as f64);
    }
}

pub(crate) fn ended(kind: &str, outcome: &str, took: Duration) {
    let labels = [("kind", kind.to_owned()), ("outcome", outcome.to_owned())];
    counter!("daybook_sagas_ended_total", &labels).increment(1);
    histogram!("daybook_sagas_duration_seconds", "kind" => kind.to_owned())
        .record(took.as_secs_f64());
}

pub(crate) fn parked(kind: &str, reason: &str) {
    let labels = [("kind", kind.to_owned()), ("reason", reason.to_owned())];
    counter!("daybook_sagas_parked_total", &labels).increment(1);
}

pub(crate) fn left_alone(why: &'static str) {
    counter!("daybook_sagas_left_alone_total", "why" => why).increment(1);
}

pub(crate) fn panicked() {
    counter!("daybook_sagas_panics_total").increment(1);
}

pub(crate) fn timer_fired(late: Duration) {
    counter!("daybook_sagas_timers_fired_total").increment(1);
    histogram!("daybook_sagas_timer_lateness_seconds").record(late.as_secs_f64());
}

pub(crate) fn dispatched(service: &'static str, result: &'static str) {
    counter!("daybook_sagas_dispatches_total", "service" => service, "result" => result)
        .increment(1);
}

pub(crate) fn resent() {
    counter!("daybook_sagas_dispatches_resent_total").increment(1);
}

pub(crate) fn checkpoint_too_large() {
    counter!("daybook_sagas_checkpoints_too_large_total").increment(1);
}

pub(crate) fn position(consumer: &str, position: u64, head: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    {
        let labels = [("consumer", consumer.to_owned())];
        gauge!("daybook_sagas_position", &labels).set(position as f64);
        gauge!("daybook_sagas_lag_records", &labels).set(head.saturating_sub(position) as f64);
    }
}

pub(crate) fn gateway(verb: &'static str, outcome: &'static str, took: Duration) {
    let labels = [("verb", verb), ("outcome", outcome)];
    counter!("daybook_payment_calls_total", &labels).increment(1);
    histogram!("daybook_payment_call_seconds", &labels).record(took.as_secs_f64());
}

pub(crate) fn payments(open: usize, unknown: usize) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    {
        gauge!("daybook_payments_open_intents").set(open as f64);
        gauge!("daybook_payments_unknown").set(unknown as f64);
    }
}

pub(crate) fn refused_outcome() {
    counter!("daybook_payment_outcomes_refused_total").increment(1);
}
