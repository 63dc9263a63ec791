//! The minimal rate at which a client must read or send: a number of bytes in each period. A slower client blocks
//! resources that others need.

use std::time::Duration;

use tokio::time::Instant;

/// The slowest that is borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slowest {
    /// How long a period lasts.
    pub period: Duration,
    /// How many bytes have to move in each.
    pub bytes: u64,
}

impl Slowest {
    /// So many bytes a second, judged after each period.
    #[must_use]
    pub fn new(period: Duration, bytes_per_s: u64) -> Self {
        let millis = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        Self { period, bytes: (bytes_per_s.saturating_mul(millis) / 1_000).max(1) }
    }
}

/// How fast something moves, from when it was first waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    since: Instant,
    moved: u64,
}

impl Pace {
    pub(super) fn begin(now: Instant) -> Self {
        Self { since: now, moved: 0 }
    }

    pub(super) fn moved(&mut self, bytes: usize) {
        self.moved = self.moved.saturating_add(bytes as u64);
    }

    /// When the period ends.
    pub(super) fn ends(&self, slowest: Slowest) -> Instant {
        self.since + slowest.period
    }

    /// Whether a period has ended in which too little moved; where enough did, the next period begins.
    pub(super) fn too_slow(&mut self, now: Instant, slowest: Slowest) -> bool {
        if now < self.ends(slowest) {
            return false;
        }
        let slow = self.moved < slowest.bytes;
        *self = Self::begin(now);
        slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_period_has_to_bring_its_bytes() {
        let slowest = Slowest::new(Duration::from_secs(10), 100);
        assert_eq!(slowest.bytes, 1_000);
        let begun = Instant::now();
        let mut pace = Pace::begin(begun);
        pace.moved(1_000);
        assert!(!pace.too_slow(begun + Duration::from_secs(9), slowest));
        assert!(!pace.too_slow(begun + Duration::from_secs(10), slowest));
        pace.moved(999);
        assert!(pace.too_slow(begun + Duration::from_secs(20), slowest), "what was fast once does not count twice");
    }
}
