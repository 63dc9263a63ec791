//! The binary as a library, so that tests drive the same parts: CLI, configuration, telemetry, roles, shutdown. The only crate that may
//! use all others, and the only one that starts long tasks.

pub mod cli;
pub mod config;
pub mod console;
pub mod service;
pub mod telemetry;
