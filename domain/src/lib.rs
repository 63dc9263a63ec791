//! The rules of orders, stock, payments and their sagas: pure and synchronous. No clock, no randomness, no I/O, no log.

// Tests that are shared with those of other crates name this one as they do there.
#[cfg(test)]
extern crate self as domain;

pub mod aggregate;
pub mod command;
pub mod event;
pub mod ids;
pub mod import;
pub mod instrument;
pub mod laws;
pub mod money;
pub mod order;
pub mod outcome;
pub mod payment;
pub mod personal;
pub mod record;
pub mod reference;
pub mod reservation;
pub mod saga;
#[cfg(test)]
mod simulation;
pub mod stock;
mod stored;
pub mod stream;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
pub mod time;

pub use aggregate::{Aggregate, Class, Refusal};
pub use command::Command;
pub use event::Event;
