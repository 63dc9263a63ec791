//! An estimate of the server's clock: its last reported time plus the elapsed time of a monotonic clock. The store's
//! clock is ahead of it by the test offset.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use super::rows::HeadRow;
use crate::clock::{Ahead, Clock};
use crate::record::Micros;

pub(super) struct ServerClock {
    /// Uses this machine's monotonic clock, so setting the machine's time changes nothing.
    base: Instant,
    /// The server's time at `base`.
    at_base: AtomicI64,
    given: Option<Clock>,
    /// How far the store's clock is ahead, as the head's row last said.
    pub(super) ahead: Ahead,
}

impl ServerClock {
    pub(super) fn new(given: Option<Clock>) -> Self {
        Self { base: Instant::now(), at_base: AtomicI64::new(0), given, ahead: Ahead::new(None) }
    }

    /// Learns the server's time from an answer to a request sent at `asked`; subtracts half of the round trip.
    pub(super) fn learn(&self, asked: Instant, found: &HeadRow) {
        let middle = asked + asked.elapsed() / 2;
        let at_base = found.now - micros(middle.saturating_duration_since(self.base));
        self.at_base.store(at_base, Ordering::Relaxed);
        self.ahead.learn(found.ahead);
    }

    pub(super) fn now(&self) -> Micros {
        self.for_leases().saturating_add(self.ahead.micros())
    }

    /// The earliest `recorded_at` for records that are written under the locked head.
    pub(super) fn recording(&self, locked: &HeadRow) -> Micros {
        self.given().unwrap_or(locked.now).saturating_add(locked.ahead.unwrap_or(0))
    }

    /// The clock that leases go by.
    pub(super) fn for_leases(&self) -> Micros {
        match &self.given {
            Some(clock) => clock(),
            None => self.at_base.load(Ordering::Relaxed) + micros(self.base.elapsed()),
        }
    }

    /// The time to go by instead of the server's, if there is one; leases go by it as well.
    pub(super) fn given(&self) -> Option<Micros> {
        self.given.as_ref().map(|clock| clock())
    }
}

fn micros(duration: std::time::Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}
