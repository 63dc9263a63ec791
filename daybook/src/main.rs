//! The entry point. Everything is in the library, so that tests can start the same.

use std::process::ExitCode;

/// An order takes thousands of small allocations, made on one thread and freed on another (`scripts/bench counts`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    daybook::main()
}
