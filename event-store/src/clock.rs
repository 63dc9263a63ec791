//! Where a store takes its time from, and the clock of a test, which is advanced instead of waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use crate::record::Micros;
use crate::store::Error;

/// A clock: microseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> Micros + Send + Sync>;

/// The clock of the machine.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX))
    })
}

/// How far a test clock is ahead at most: a century. Instants beyond it would soon have no text.
pub const MOST_AHEAD: Micros = 100 * 366 * 86_400 * 1_000_000;

/// The clock of a store that was made for a test: another clock plus an offset that tests increase. The offset is kept
/// in the store, and every process that has the store open uses it.
#[async_trait]
pub trait TestClock: Send + Sync {
    /// How far it is ahead; `None` where the store has no test clock.
    fn ahead(&self) -> Option<Micros>;

    /// Advances the clock durably by `by` microseconds and returns the new offset. Leases use another clock and do not
    /// end early.
    ///
    /// # Errors
    /// [`Error::Never`] if the store has no test clock, for less than a microsecond, and beyond [`MOST_AHEAD`].
    async fn advance(&self, by: Micros) -> Result<Micros, Error>;
}

/// The store has another kind of clock than requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It was made for a test.
    #[error("it has a test clock, but was opened without one")]
    HasTestClock,
    /// It was not made for a test.
    #[error("it was made without a test clock and never gets one: a test needs a store of its own")]
    HasNone,
}

impl Mismatch {
    /// Compares the store's kind of clock with the requested one.
    pub(crate) fn check(has: bool, wanted: bool) -> Result<(), Self> {
        match (has, wanted) {
            (true, false) => Err(Self::HasTestClock),
            (false, true) => Err(Self::HasNone),
            _ => Ok(()),
        }
    }
}

/// How far a store's clock is ahead, as a handle knows it: never less than it knew before.
#[derive(Debug)]
pub(crate) struct Ahead(AtomicI64);

/// The store has no test clock.
const NONE: Micros = -1;

impl Ahead {
    pub(crate) fn new(found: Option<Micros>) -> Self {
        Self(AtomicI64::new(found.unwrap_or(NONE)))
    }

    /// Learns the offset that the store reports now.
    pub(crate) fn learn(&self, found: Option<Micros>) {
        self.0.fetch_max(found.unwrap_or(NONE), Ordering::AcqRel);
    }

    pub(crate) fn get(&self) -> Option<Micros> {
        Some(self.0.load(Ordering::Acquire)).filter(|ahead| *ahead != NONE)
    }

    pub(crate) fn micros(&self) -> Micros {
        self.get().unwrap_or(0)
    }

    /// Refuses what no test clock is advanced by.
    pub(crate) fn check(&self, by: Micros) -> Result<(), Error> {
        let Some(ahead) = self.get() else {
            return Err(Error::Never("the store has no test clock".into()));
        };
        let fits = by > 0 && ahead.checked_add(by).is_some_and(|ahead| ahead <= MOST_AHEAD);
        if fits {
            Ok(())
        } else {
            Err(Error::Never("the test clock can only be advanced, by a century at most".into()))
        }
    }
}
