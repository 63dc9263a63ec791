//! The executor's metrics. The handles are created with the executor, so the recorder must be installed before.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::done::Done;
use super::error::Error;

pub(super) struct Meter {
    conflicts: Counter,
    retries: Counter,
    cached: Gauge,
    cached_bytes: Gauge,
    hits: Counter,
    misses: Counter,
    begun: Counter,
    duration: Histogram,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            conflicts: counter!("daybook_command_conflicts_total"),
            retries: counter!("daybook_command_retries_total"),
            cached: gauge!("daybook_aggregates_cached"),
            cached_bytes: gauge!("daybook_aggregates_cached_bytes"),
            hits: counter!("daybook_aggregate_lookups_total", "found" => "cached"),
            misses: counter!("daybook_aggregate_lookups_total", "found" => "loaded"),
            begun: counter!("daybook_aggregate_lookups_total", "found" => "begun"),
            duration: histogram!("daybook_command_duration_seconds"),
        }
    }

    pub(super) fn conflict(&self) {
        self.conflicts.increment(1);
    }

    pub(super) fn retry(&self) {
        self.retries.increment(1);
    }

    pub(super) fn looked_up(&self, all: usize, absent: usize, begun: usize) {
        self.hits.increment((all - absent - begun) as u64);
        self.misses.increment(absent as u64);
        self.begun.increment(begun as u64);
    }

    /// A command that a saga asked for: carried out at once, left to the runner, void since what asked for it was not written, or
    /// failed for another reason.
    pub(super) fn followed_up(&self, outcome: &'static str) {
        counter!("daybook_follow_ups_total", "outcome" => outcome).increment(1);
    }

    pub(super) fn answered(
        &self,
        answer: &Result<Done, Error>,
        took: Duration,
        dry_run: bool,
        (cached, bytes): (usize, usize),
    ) {
        let outcome = match answer {
            Ok(_) if dry_run => "dry_run",
            Ok(done) => done.label(),
            Err(error) => error.label(),
        };
        counter!("daybook_commands_total", "outcome" => outcome).increment(1);
        self.duration.record(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "gauges; their bounds are far below 2^52")]
        {
            self.cached.set(cached as f64);
            self.cached_bytes.set(bytes as f64);
        }
    }
}
