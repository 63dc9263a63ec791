//! Each promise broken once, by a history or a log made by hand, and found under its own name; and runs in which nothing is wrong.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod answers;
mod doctored;
mod given;
mod green;
mod log;
mod sights;
