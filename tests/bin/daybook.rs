//! The product's entry point, for the tests that start it as a process.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    daybook::commands::run(daybook::cli::Cli::parse())
}
