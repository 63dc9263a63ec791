//! NATS JetStream: the relay that publishes the log, the consumers that read it, the command queue. The store is the truth and the
//! broker only carries: nothing here is believed that the store does not say as well.

pub mod commands;
pub mod connection;
pub mod consumer;
mod envelope;
mod frame;
mod names;
mod pages;
mod progress;
pub mod relay;

pub use connection::Connection;
pub use consumer::Bus;
pub use relay::Relay;
