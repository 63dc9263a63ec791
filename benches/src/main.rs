//! `scripts/bench`: measures, and says what came of it.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    benches::cli::run(benches::cli::Cli::parse())
}
