//! The bench: whole checkouts over HTTP by Daybook, embedded, on PostgreSQL and as the system of compose.yaml, each beside a service
//! that is written without events. It measures the programs as they are shipped, and must never share a process with one of them.

mod ceiling;
mod checkout;
pub mod cli;
mod client;
pub mod counts;
mod cpu;
mod crud;
mod load;
mod page;
mod proof;
mod report;
mod rounds;
mod sides;
