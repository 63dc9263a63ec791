//! The stock of one SKU at one location: units on hand, reserved and backordered, and each open reservation.
//! It never promises what it has not got beyond its backorder limit, and never goes below zero.

mod allocate;
pub mod command;
mod decide;
mod defer;
pub mod event;
mod evolve;
#[cfg(test)]
mod properties;
mod put_back;
pub mod recent;
pub mod refusal;
mod reserve;
pub mod state;
mod take;
#[cfg(test)]
mod tests;

pub use command::Command;
pub use event::Event;
pub use refusal::{Refusal, Shortfall};
pub use state::Stock;

use crate::aggregate::Aggregate;

impl Aggregate for Stock {
    const CATEGORY: &'static str = crate::stream::STOCK;
    const FOLD: u32 = 3;
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        self.answer(command)
    }

    fn evolve(&mut self, event: &Event) {
        self.apply(event);
    }
}
