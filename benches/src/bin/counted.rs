//! The product's entry point with an allocator that counts. What it counts is among the metrics; nothing else differs from the product,
//! and nobody measures its speed.

use std::alloc::System;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How often the counts are put among the metrics.
const EVERY: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(EVERY);
            let counted = ALLOCATOR.stats();
            let calls = counted.allocations + counted.reallocations;
            metrics::counter!(benches::counts::ALLOCATIONS).absolute(calls as u64);
            metrics::counter!(benches::counts::ALLOCATED_BYTES).absolute(counted.bytes_allocated as u64);
        }
    });
    daybook::commands::run(daybook::cli::Cli::parse())
}
