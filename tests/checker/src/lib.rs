//! The history checker: what the clients of a run were told, held against the log that the run left behind.
//!
//! Every client records each request before it is sent and each answer after it came ([`History`]); readers record what they saw of the
//! log and what the read models showed them. Afterwards [`check`] reads the log once, from its first record to its head, and looks for
//! anything that cannot be true of both: an acknowledged command that is missing or there twice, a refused one that left events, a
//! replay that differs, a position that comes after a later one, a record that was seen and is gone. It knows the log's form and the
//! promises of `docs/http-api.md`, and nothing of orders; it must never repair, retry or look away.

mod check;
mod commands;
mod distinct;
mod history;
mod line;
mod observations;
mod order;
mod reads;
mod report;
mod run;
mod scan;

pub use check::check;
pub use history::{Answer, Call, History, Invocation, Reader, Reading, Stands, command_id};
pub use report::{Counts, Invariant, Report, Violation};

#[cfg(test)]
mod tests;
