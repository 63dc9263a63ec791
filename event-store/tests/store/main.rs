//! The event store's tests: the contract that every backend keeps, and what SQLite's own files go through.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod contract;
mod damage;
mod failures;
mod index;
mod leadership;
mod model;
mod modelled;
mod sqlite;
