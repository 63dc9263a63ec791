//! The sagas.

use super::concern::concern;

concern! {
    /// The sagas.
    Sagas {
        /// Commands in flight to services, at once.
        in_flight: usize = 512 => 1..=65_536,
    }
}
