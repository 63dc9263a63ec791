//! Sagas: their events, their state, and their next commands. Pure: `sagas/` runs them. Nothing here may guess an
//! outcome: *unknown* waits for evidence, and only a proven *not done* is compensated or retried.

pub mod addition;
pub mod allocation;
pub mod amendment;
mod basket;
pub mod cancellation;
pub mod checkout;
mod engine;
pub mod event;
pub mod fulfilment;
mod goods;
pub mod hold;
mod kinds;
mod money;
pub mod posting;
pub mod process;
pub mod refund;
pub mod reservation;
pub mod returns;
pub mod state;
pub mod step;
pub mod surplus;
#[cfg(test)]
mod tests;
mod withdrawn;

pub use engine::Saga;
pub use event::{Decision, Direction, Fact};
pub use kinds::{Needs, Unloadable, may_start, moves, start};
pub use process::{Batch, Origin, PaymentSeen, Process, Recorded, Trigger};
pub use state::State;
