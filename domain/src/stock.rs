//! The stock of one SKU at one location: units on hand, reserved and backordered, and each open reservation.

pub mod command;
pub mod event;
pub mod refusal;
pub mod state;

pub use command::Command;
pub use event::Event;
pub use refusal::{Refusal, Shortfall};
pub use state::Stock;
