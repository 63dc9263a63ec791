//! The product's entry point, for the tests that start it as a process.

use std::process::ExitCode;

fn main() -> ExitCode {
    daybook::main()
}
