//! An append-only log of opaque records: append, read a stream, read the log, wait for a position. It knows no order.

pub mod append;
pub mod consumer;
pub mod feed;
pub mod hash;
pub mod leadership;
pub mod members;
pub mod partition;
pub mod record;
pub mod snapshot;
pub mod sqlite;
mod store;
pub mod verify;

pub use feed::{Feed, StoreTail};
pub use store::{Direction, Error, EventStore, Filter, Head, Page};
