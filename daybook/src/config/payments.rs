//! The payment gateway: the sandbox, which keeps its own book beside the store.

use super::concern::concern;

concern! {
    /// The payment gateway: the sandbox, which keeps its own book beside the store.
    Payments {
        /// Requests that are at the gateway at once.
        in_flight: usize = 256 => 1..=65_536,
        /// How long the gateway may take before an outcome is called unknown and asked about.
        timeout_ms: u64 = 20_000 => 100..=600_000,
        /// For how long a request that the gateway has never heard of may still be on its way to it.
        grace_ms: u64 = 30_000 => 100..=86_400_000,
        /// How long the sandbox takes where an instrument says `late`.
        sandbox_late_ms: u64 = 5_000 => 0..=600_000,
    }
}

impl Payments {
    /// For a demonstration: somebody watches, and the sandbox is next door.
    #[must_use]
    pub fn quick() -> Self {
        Self { timeout_ms: 1_000, grace_ms: 1_000, sandbox_late_ms: 1_500, ..Self::default() }
    }
}
