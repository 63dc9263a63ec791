//! Where a store takes its time from.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::record::Micros;

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
