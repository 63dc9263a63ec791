//! The binary as a library, so that tests drive the same parts: CLI, configuration, telemetry, roles, shutdown. The only crate that may
//! use all others, and the only one that starts long tasks.

pub mod backup;
pub mod bench;
pub mod cli;
pub mod commands;
pub mod config;
pub mod console;
pub mod content;
pub mod database;
pub mod demo;
pub mod history;
pub mod import;
pub mod load;
mod notify;
pub mod openapi;
pub mod records;
pub mod remote;
pub mod roles;
pub mod service;
pub mod signals;
pub mod telemetry;
pub mod verify;

use std::process::ExitCode;

use clap::Parser as _;

/// The entry point: parses the command line and runs its command.
#[must_use]
pub fn main() -> ExitCode {
    commands::run(cli::Cli::parse())
}
