//! An append-only log of opaque records: append, read a stream, read the log, wait for a position. It knows no order.

pub mod append;
pub mod audit;
pub mod clock;
pub mod consumer;
pub mod copy;
pub mod feed;
pub mod gathering;
pub mod hash;
mod heads;
mod layer;
pub mod leadership;
mod limits;
pub mod members;
pub mod partition;
pub mod patience;
mod placing;
pub mod postgres;
mod recent;
pub mod record;
pub mod scratch;
pub mod snapshot;
mod sorted;
pub mod sqlite;
mod store;
pub mod supervision;
pub mod verify;
mod waiting;

pub use feed::{Feed, StoreTail};
pub use layer::Layer;
pub use limits::{MAX_BATCH_BYTES, MAX_BATCH_EVENTS, MAX_EVENT_BYTES};
pub use store::{Class, Direction, Error, EventStore, Filter, Head, Page, Trouble};
