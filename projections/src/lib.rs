//! The read models: a table, an apply and the queries of each. They are postings of the log: each can be thrown away and posted again,
//! and nothing is ever decided on them.

mod batch;
mod board;
mod fact;
mod fold;
mod handle;
mod hold;
mod level;
mod models;
pub mod open_quantity;
pub mod order_detail;
pub mod order_list;
pub mod order_timeline;
pub mod payments;
mod projection;
mod reads;
mod sqlite;
mod step;
pub mod stock_ledger;
pub mod stock_levels;
pub mod store;
#[cfg(test)]
mod tests;
pub mod value;
mod verify;
mod worker;

pub use board::Stop;
pub use fact::{Fact, Poison};
pub use handle::{Options, Projections, Standing};
pub use level::Level;
pub use projection::{Projection, Rows, Shown};
pub use reads::{Answer, Reads};
pub use sqlite::{Comparison, Difference, FILE, Snapshot, Sqlite};
pub use store::Error;
pub use verify::{Verified, verify};
pub use worker::Progress;
