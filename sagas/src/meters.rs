//! The metrics. Names are permanent: dashboards and alerts depend on them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge, histogram};

pub(crate) fn undecodable(reader: &'static str) {
    counter!("daybook_unreadable_records_total", "reader" => reader).increment(1);
}

/// How many streams nothing is reacted to of, since a record of theirs cannot be read.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(crate) fn held(reader: &'static str, partition: Option<u32>, streams: usize) {
    let partition = partition.map_or_else(|| "all".to_owned(), |partition| partition.to_string());
    gauge!("daybook_held_streams", "reader" => reader, "partition" => partition).set(streams as f64);
}

/// What a runner measures of its partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measures {
    /// Open and parked sagas by kind.
    pub(crate) kinds: BTreeMap<Arc<str>, (usize, usize)>,
    pub(crate) oldest: Duration,
    pub(crate) timers: usize,
    pub(crate) unanswered: usize,
    pub(crate) position: u64,
    pub(crate) head: u64,
}

/// What the runners of a process measure: shown for each partition, and together under the names that one runner has for all.
#[derive(Default)]
pub(crate) struct Board(Mutex<BTreeMap<Option<u32>, Measures>>);

impl Board {
    pub(crate) fn report(&self, partition: Option<u32>, measures: Measures) {
        show_partition(partition, &measures);
        let mut all = self.all();
        all.insert(partition, measures);
        show(all.values());
    }

    /// Its runner has ended here.
    pub(crate) fn forget(&self, partition: Option<u32>) {
        let mut all = self.all();
        let Some(last) = all.get_mut(&partition) else {
            return;
        };
        // The kinds stay for one more round, so that kinds without sagas are shown as 0.
        let kinds = last.kinds.keys().map(|kind| (kind.clone(), (0, 0)));
        *last = Measures { kinds: kinds.collect(), position: u64::MAX, ..Measures::default() };
        show_partition(partition, &Measures::default());
        show(all.values());
        all.remove(&partition);
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Option<u32>, Measures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn show_partition(partition: Option<u32>, measures: &Measures) {
    let Some(partition) = partition else { return };
    let labels = [("partition", partition.to_string())];
    let open: usize = measures.kinds.values().map(|(open, _)| open).sum();
    let lag = measures.head.saturating_sub(measures.position);
    gauge!("daybook_sagas_partition_open", &labels).set(open as f64);
    gauge!("daybook_sagas_partition_lag_records", &labels).set(lag as f64);
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn show<'a>(all: impl Iterator<Item = &'a Measures> + Clone) {
    let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (kind, (open, parked)) in all.clone().flat_map(|it| &it.kinds) {
        let sum = kinds.entry(kind).or_default();
        *sum = (sum.0 + open, sum.1 + parked);
    }
    for (kind, (open, parked)) in kinds {
        gauge!("daybook_sagas_open", "kind" => kind.to_owned()).set(open as f64);
        gauge!("daybook_sagas_parked", "kind" => kind.to_owned()).set(parked as f64);
    }
    let oldest = all.clone().map(|it| it.oldest).max().unwrap_or_default();
    gauge!("daybook_sagas_oldest_open_seconds").set(oldest.as_secs_f64());
    let timers: usize = all.clone().map(|it| it.timers).sum();
    let unanswered: usize = all.clone().map(|it| it.unanswered).sum();
    gauge!("daybook_sagas_timers").set(timers as f64);
    gauge!("daybook_sagas_unanswered_commands").set(unanswered as f64);
    let head = all.clone().map(|it| it.head).max().unwrap_or_default();
    let furthest_behind = all.map(|it| it.position).min().unwrap_or_default();
    position(crate::runner::NAME, furthest_behind.min(head), head);
}

pub(crate) fn foreign() {
    counter!("daybook_sagas_foreign_total").increment(1);
}

pub(crate) fn stepped_back() {
    counter!("daybook_sagas_leases_lost_total").increment(1);
}

pub(crate) fn ended(kind: &str, outcome: &str, took: Duration) {
    let labels = [("kind", kind.to_owned()), ("outcome", outcome.to_owned())];
    counter!("daybook_sagas_ended_total", &labels).increment(1);
    histogram!("daybook_sagas_duration_seconds", "kind" => kind.to_owned()).record(took.as_secs_f64());
}

pub(crate) fn parked(kind: &str, reason: &str) {
    let labels = [("kind", kind.to_owned()), ("reason", reason.to_owned())];
    counter!("daybook_sagas_parked_total", &labels).increment(1);
}

pub(crate) fn left_alone(why: &'static str) {
    counter!("daybook_sagas_left_alone_total", "why" => why).increment(1);
}

pub(crate) fn reacted_before() {
    counter!("daybook_sagas_reacted_before_total").increment(1);
}

pub(crate) fn start_conflict(kind: &str) {
    counter!("daybook_sagas_start_conflicts_total", "kind" => kind.to_owned()).increment(1);
}

pub(crate) fn unsaved() {
    counter!("daybook_sagas_checkpoints_unsaved_total").increment(1);
}

pub(crate) fn panicked() {
    counter!("daybook_sagas_panics_total").increment(1);
}

pub(crate) fn timer_fired(late: Duration) {
    counter!("daybook_sagas_timers_fired_total").increment(1);
    histogram!("daybook_sagas_timer_lateness_seconds").record(late.as_secs_f64());
}

pub(crate) fn dispatched(service: &'static str, result: &'static str) {
    counter!("daybook_sagas_dispatches_total", "service" => service, "result" => result).increment(1);
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
