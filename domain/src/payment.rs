//! A payment: money held, taken and given back at a provider, with outcomes that may be unknown. It never calls the provider.

pub mod command;
pub mod event;
pub mod refusal;
pub mod state;

pub use command::Command;
pub use event::Event;
pub use refusal::Refusal;
pub use state::Payment;
