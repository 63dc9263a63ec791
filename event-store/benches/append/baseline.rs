//! The least that a database must do for the same rows: what a baseline writes, and what it came to. How it is written is the
//! side's own.

use std::time::{Duration, Instant};

use event_store::record::StreamId;
use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use crate::load::{self, Load, Streams};

/// What stands in for a hash and a fingerprint: a baseline works out neither.
pub(crate) const HASH: [u8; 32] = [9; 32];
pub(crate) const FINGERPRINT: [u8; 32] = [5; 32];
/// The rows' type and the version of its schema.
pub(crate) const KIND: &str = "StockReserved";
pub(crate) const SCHEMA_VERSION: i64 = 1;

/// What a baseline's run came to.
pub(crate) struct Baseline {
    pub(crate) elapsed: Duration,
    /// Of its commits.
    pub(crate) latencies: Histogram<u64>,
    pub(crate) cpu: Duration,
}

/// Takes the times of commits.
pub(crate) struct Watch {
    began: Instant,
    last: Instant,
    latencies: Histogram<u64>,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        Self { began: now, last: now, latencies: Histogram::new(3).unwrap() }
    }

    /// A commit is done, and the next begins.
    pub(crate) fn committed(&mut self) {
        let now = Instant::now();
        let took = now - self.last;
        self.latencies.record(took.as_micros() as u64).unwrap();
        self.last = now;
    }

    pub(crate) fn stop(self, cpu: Duration) -> Baseline {
        Baseline { elapsed: self.last - self.began, latencies: self.latencies, cpu }
    }
}

/// A row, ready to be bound.
pub(crate) struct Row {
    pub(crate) stream: StreamId,
    pub(crate) version: u64,
    pub(crate) event_id: Uuid,
    pub(crate) command_id: Uuid,
}

/// Rows like those that the store wrote, made before the clock runs.
pub(crate) fn rows(load: Load, streams: &Streams, sizes: &[usize]) -> Vec<Row> {
    let mut random = SmallRng::seed_from_u64(3);
    (0..sizes.iter().sum())
        .map(|_| {
            let (stream, version) = match load {
                Load::New => (load::new_stream(&mut random), 1),
                Load::Random => {
                    let head = &streams.heads[random.random_range(0..streams.heads.len())];
                    (load::stream(head.number), head.version)
                }
            };
            Row { stream, version, event_id: load::event_id(&mut random), command_id: load::command_id(&mut random) }
        })
        .collect()
}
