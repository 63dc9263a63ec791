//! The payment gateway: the sandbox, which keeps its own book beside the store.

use super::concern::concern;

concern! {
    /// The payment gateway: the sandbox, which keeps its own book beside the store.
    Payments {
        /// Requests that are at the gateway at once.
        in_flight: usize = 256,
        /// How long the gateway may take before an outcome is called unknown and asked about.
        timeout_ms: u64 = 2_000,
    }
}
