//! The server's clock, estimated: what it said when it was last asked, and what a clock that nobody sets has counted since. The store's
//! is ahead of it by what a test has advanced it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use super::rows::HeadRow;
use crate::clock::{Ahead, Clock};
use crate::record::Micros;

pub(super) struct ServerClock {
    /// Goes by this machine's monotonic clock, so setting the machine's time changes nothing.
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

    /// The server said so of its clock in an answer to what was asked at `asked`: half of the way there and back is taken off.
    pub(super) fn learn(&self, asked: Instant, found: &HeadRow) {
        let middle = asked + asked.elapsed() / 2;
        let at_base = found.now - micros(middle.saturating_duration_since(self.base));
        self.at_base.store(at_base, Ordering::Relaxed);
        self.ahead.learn(found.ahead);
    }

    pub(super) fn now(&self) -> Micros {
        self.for_leases().saturating_add(self.ahead.micros())
    }

    /// When what is written under the locked head is recorded, at the earliest.
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
