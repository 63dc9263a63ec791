//! The entry point. Everything is in the library, so that tests can start the same.

use std::process::ExitCode;

/// The system's allocator takes a fifth more processor time for an order, and half as much again of a burst: see docs/bench.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    daybook::main()
}
