//! The entry point. Everything is in the library, so that tests can start the same.

use std::process::ExitCode;

fn main() -> ExitCode {
    daybook::main()
}
