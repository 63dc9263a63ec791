//! The event store on PostgreSQL, for any number of processes at once, all of which may write.
//!
//! One schema, `daybook`: the records in position order, one row that is the head of the log, the consumer rows, the snapshots.
//! Each process has one task that writes for all who wait in it (`writer`), on a connection of its own. A group is one
//! transaction that begins by locking the head's row, so positions have no holes and become visible in their order, whoever
//! writes, and no process leads (`commit`). What a lost connection leaves unknown is found out by appending it again under that lock. Reads
//! go through a pool (`reader`); the head moves by own commits, by notifications, and by a poll that makes losing those harmless
//! (`watcher`).

mod audit;
mod clock;
mod commit;
mod connect;
mod connections;
mod consumers;
mod group;
mod open;
mod options;
mod queue;
mod reader;
mod row_writer;
mod rows;
mod schema;
mod shared;
mod snapshots;
mod source;
mod store;
mod target;
mod test_clock;
mod watcher;
mod writer;

pub use connections::{Connections, Lent, Prepare};
pub use open::OpenError;
pub use options::Options;
pub use schema::{grant, migrate};
pub use store::Store;
pub use target::Target;
