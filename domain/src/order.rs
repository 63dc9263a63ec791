//! An order, from placing to completion: lines, quantities, amounts owed, holds, shipments, returns.
//! Pure: a decision reads its command and its state, never a clock or a store.

pub mod command;
pub mod event;
pub mod line;
pub mod refusal;
pub mod state;

pub use command::Command;
pub use event::Event;
pub use line::{Line, ShippingCharge, Totals};
pub use refusal::Refusal;
pub use state::Order;
