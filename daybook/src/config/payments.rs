//! The payment gateway: the sandbox, which keeps its own ledger beside the store.

use domain::payment::event::OnExpiry;

use super::concern::concern;

concern! {
    /// The payment gateway: the sandbox, which keeps its own ledger beside the store.
    Payments {
        /// Concurrent requests to the gateway.
        in_flight: usize = 256 => 1..=65_536,
        /// How long the gateway may take, in milliseconds, before an outcome counts as unknown and is queried.
        timeout_ms: u64 = 20_000 => 100..=600_000,
        /// For how long, in milliseconds, a request that the gateway does not know may still be on its way to it.
        grace_ms: u64 = 30_000 => 100..=86_400_000,
        /// What an order does about the end of an authorisation that it still needs: `reauthorise` (hold the same money again where the
        /// gateway can, and put the order on hold where it will not) or `hold`.
        on_expiry: OnExpiry = OnExpiry::Reauthorise,
        /// How long before the end, in seconds. Set it to less than half of the time for which the gateway holds money.
        expiry_lead_s: u32 = 86_400 => 1..=2_592_000,
        /// The delay of the sandbox for the instrument word `late`, in milliseconds.
        sandbox_late_ms: u64 = 5_000 => 0..=600_000,
    }
}

impl Payments {
    /// The settings of a demonstration: a person watches, and the sandbox is local.
    #[must_use]
    pub fn quick() -> Self {
        Self { timeout_ms: 1_000, grace_ms: 1_000, sandbox_late_ms: 1_500, ..Self::default() }
    }
}
