//! The promises of the read models, on the real store: given events, then rows; the same bytes at any batch size, after
//! a crash, a rebuild or with a second worker; an unreadable event holds its own stream and no other.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod damaged;
mod databases;
mod exclusive;
mod forgetful;
mod held;
mod layer;
mod ordered;
pub(crate) mod plans;
mod rows;
mod sharing;
mod shop;
mod sleeping;
mod swallowed;
mod waiting;
mod workers;
