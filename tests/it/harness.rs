//! What the suite has in common: a server as a process, a client that speaks to it, a shop that has something to sell.

pub(crate) mod client;
pub(crate) mod server;
pub(crate) mod shop;

pub(crate) use client::{Answer, Client};
pub(crate) use server::Server;
