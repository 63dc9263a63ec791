//! The relay, the feeds and the command queue against a real nats-server, with logs on SQLite and records that mean nothing.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod commands;
mod connecting;
mod doors;
mod faults;
mod frozen;
mod harness;
mod proxy;
mod relays;
mod stored;
