//! An order, from placing to completion: lines, quantities, amounts owed, holds, shipments, returns.
//! Pure: a decision reads its command and its state, never a clock or a store.

pub mod basket;
pub mod command;
mod cover;
mod decide;
pub mod event;
mod evolve;
pub mod ledger;
pub mod line;
pub mod refusal;
pub mod replacement;
pub mod state;
mod status;
#[cfg(test)]
mod tests;

pub use basket::Basket;
pub use command::Command;
pub use event::Event;
pub use line::{Line, ShippingCharge, Totals};
pub use refusal::Refusal;
pub use state::Order;

impl crate::Aggregate for Order {
    const CATEGORY: &'static str = crate::stream::ORDER;
    const FOLD: u32 = 6;
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        decide::decide(self, command)
    }

    fn evolve(&mut self, event: &Event) {
        evolve::evolve(self, event);
    }

    fn begins(command: &Command) -> bool {
        matches!(command, Command::Place(_))
    }
}
