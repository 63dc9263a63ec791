//! What the suite has in common: a server as a process, a client that speaks to it, a shop that has something to sell, and
//! buyers at work whose every request is recorded for the history checker.

pub(crate) mod client;
pub(crate) mod load;
pub(crate) mod recorded;
pub(crate) mod server;
pub(crate) mod shop;

pub(crate) use client::{Answer, Client, Session};
pub(crate) use server::Server;
