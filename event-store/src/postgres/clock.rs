//! The server's clock, estimated: what it said when it was last asked, and what a clock that nobody sets has counted since.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use crate::clock::Clock;
use crate::record::Micros;

pub(super) struct ServerClock {
    /// Goes by this machine's monotonic clock, so setting the machine's time changes nothing.
    base: Instant,
    /// The server's time at `base`.
    at_base: AtomicI64,
    given: Option<Clock>,
}

impl ServerClock {
    pub(super) fn new(given: Option<Clock>) -> Self {
        Self { base: Instant::now(), at_base: AtomicI64::new(0), given }
    }

    /// The server said `now` in an answer to what was asked at `asked`: half of the way there and back is taken off.
    pub(super) fn learn(&self, asked: Instant, now: Micros) {
        let middle = asked + asked.elapsed() / 2;
        let at_base = now - micros(middle.saturating_duration_since(self.base));
        self.at_base.store(at_base, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> Micros {
        match &self.given {
            Some(clock) => clock(),
            None => self.at_base.load(Ordering::Relaxed) + micros(self.base.elapsed()),
        }
    }

    /// The time to go by instead of the server's, if there is one.
    pub(super) fn given(&self) -> Option<Micros> {
        self.given.as_ref().map(|clock| clock())
    }
}

fn micros(duration: std::time::Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}
