//! The event store on PostgreSQL, for any number of processes at once, all of which may write.
//!
//! One schema, `daybook`: the records in position order, one row that is the head of the log, the consumer rows, the
//! snapshots. Each process has one task that writes for all its callers (`writer`), on a connection of its own. A group
//! is one transaction that begins by locking the head's row, so positions have no gaps and become visible in order,
//! whichever process writes, and no process is a leader (`commit`). When a lost connection leaves an outcome unknown,
//! the writer appends the batch again under that lock to find out. Reads use a pool (`reader`); the known head moves by
//! own commits, by notifications, and by a poll that makes lost notifications harmless (`watcher`).

mod arrival;
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

pub use arrival::arrival;
pub use connections::{Connections, Lent, Prepare};
pub use open::OpenError;
pub use options::Options;
pub use schema::{grant, migrate};
pub use store::Store;
pub use target::Target;
