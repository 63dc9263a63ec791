//! The integration suite: real stores, real HTTP, real processes. One binary, one module a capability.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a seed and a figure are told")]

mod architecture;
mod bad_input;
mod baskets;
mod compose;
mod deployment;
mod disconnects;
mod documents;
mod durability;
mod endings;
#[expect(dead_code, reason = "run by hand: scripts/long faults")]
mod faults;
mod full_disk;
mod harness;
mod hot_sku;
mod idempotency;
mod import_crash;
mod load;
mod log_lines;
mod money;
mod openapi;
mod orders;
mod scaled;
mod service;
mod slow_clients;
mod starts;
mod test_clock;
mod text;
mod tidy;
mod unreadable;
