//! The clock of a store that was made for a test.

use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::{Check, Invalid};

/// The most seconds that one request advances the clock by: a year of 366 days.
const MOST_S: u32 = 366 * 24 * 60 * 60;

/// By how much to advance it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdvanceClock {
    /// Seconds.
    #[schema(minimum = 1, maximum = 31_622_400, example = 3_600)]
    pub advance_s: u32,
}

/// The clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestClockBody {
    /// What time it is.
    #[schema(value_type = String, format = DateTime)]
    pub now: Timestamp,
    /// How many seconds it is ahead of a clock that was never advanced.
    #[schema(example = 3_600)]
    pub ahead_s: u64,
}

impl AdvanceClock {
    /// By how many microseconds.
    ///
    /// # Errors
    /// If that is out of bounds.
    pub fn try_into_micros(self) -> Result<i64, Invalid> {
        let mut check = Check::new();
        check.range("/advance_s", i64::from(self.advance_s), 1, i64::from(MOST_S));
        check.finish(i64::from(self.advance_s) * 1_000_000)
    }
}
