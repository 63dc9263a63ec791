//! How read models follow the log.

use super::concern::concern;

concern! {
    /// How read models follow the log.
    Projections {
        /// Records that are applied in one transaction, at most.
        batch: usize = 1_000,
        /// How long a query waits for the position that it asks for, at most.
        longest_wait_ms: u64 = 30_000,
    }
}
