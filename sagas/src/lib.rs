//! Runs sagas: the runner, timers, dispatching, parking, the payment worker, the watch over the ends of authorisations, and the payment
//! gateways. The rules are in `domain::saga`; this crate decides nothing, and keeps nothing that is not in the log.

pub mod dispatch;
pub mod endings;
pub mod gateway;
pub mod holds;
mod log;
mod meters;
pub mod payment;
pub mod pool;
pub mod runner;

pub use dispatch::{Dispatch, DispatchError};
pub use gateway::PaymentGateway;
pub use holds::Holds;
pub use log::correlate;
pub use payment::PaymentWorker;
pub use pool::Pool;
pub use runner::Runner;

/// Why a component stopped that was not asked to.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The store is closed or damaged.
    #[error("the store does not serve any more")]
    Store(#[from] event_store::Error),
}

impl From<Stopped> for event_store::supervision::Ended {
    fn from(stopped: Stopped) -> Self {
        let Stopped::Store(error) = stopped;
        error.into()
    }
}
