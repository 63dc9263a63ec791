//! How long processes run.

use super::concern::concern;

concern! {
    /// How long processes run.
    Sagas {
        /// Commands that are on their way to services at once.
        in_flight: usize = 512 => 1..=65_536,
    }
}
