//! The read models, each with its table, apply and queries. They are projections of the log: each can be dropped and
//! rebuilt, and no decision is ever based on them.

mod batch;
mod board;
mod dump;
mod fact;
mod fold;
mod handle;
mod held;
mod hold;
mod level;
mod member;
mod models;
pub mod open_quantity;
pub mod order_detail;
pub mod order_list;
pub mod order_timeline;
mod partitions;
mod patience;
pub mod payments;
mod positions;
pub mod postgres;
mod projection;
mod reads;
mod rebuild;
mod repost;
mod source;
mod sql;
mod sqlite;
mod standing;
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
pub use dump::{Compared, Comparison, Difference, Snapshot};
pub use fact::Fact;
pub use handle::{Options, Projections, Sharing};
pub use held::{Held, HeldChange};
pub use level::Level;
pub use partitions::Feeds;
pub use projection::{Projection, Rows, Shown};
pub use reads::{Answer, Reads};
pub use sqlite::{FILE, Sqlite};
pub use standing::Standing;
pub use store::Error;
pub use verify::{Verified, verify, verify_snapshot};
pub use worker::Progress;
