//! What takes longer than the suite, built with it: `scripts/long` runs it. Each fault in a process of its own, so that one that fails
//! leaves the others what they need.
#![expect(clippy::unwrap_used, reason = "a trial fails by panicking")]
#![expect(clippy::print_stdout, reason = "a person looks on")]
#![expect(dead_code, reason = "it shares the harness of the suite, whose tests use all of it")]
#![cfg_attr(not(test), expect(unused_imports, reason = "what only tests of the harness use"))]

mod faults;
mod harness;
mod scaled;
mod starts;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

use crate::faults::{ALL, Fault, Length};
use crate::scaled::system::AS_SHIPPED;

/// What takes longer than the suite.
#[derive(Debug, Parser)]
#[command(name = "daybook-long")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Faults that last a minute, under load.
    Faults {
        /// Which; all of them if none is named.
        names: Vec<String>,
        /// For some seconds only.
        #[arg(long)]
        short: bool,
        /// Say which there are.
        #[arg(long)]
        list: bool,
    },
    /// Starts of the scaled system from nothing, with a database that comes late.
    Starts {
        /// How many.
        #[arg(default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        times: u32,
        /// Of the times by which the database is late; another one each time by default.
        #[arg(long)]
        seed: Option<u64>,
    },
}

fn main() -> ExitCode {
    match Cli::parse().what {
        What::Faults { names, short, list } => faults(&names, short, list),
        What::Starts { times, seed } => {
            let seed = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
            let waited = starts::each(AS_SHIPPED, times, seed, 0, &[]);
            println!("{times} of {times} starts were complete; the database was waited for in {waited} of them");
            ExitCode::SUCCESS
        }
    }
}

fn faults(names: &[String], short: bool, list: bool) -> ExitCode {
    if list {
        for fault in ALL {
            println!("{:<18} {}", fault.name, fault.what);
        }
        return ExitCode::SUCCESS;
    }
    let mut chosen = Vec::new();
    for name in names {
        let Some(fault) = ALL.iter().find(|fault| fault.name == name) else {
            println!(
                "there is no fault {name}; there are: {}",
                ALL.iter().map(|fault| fault.name).collect::<Vec<_>>().join(", ")
            );
            return ExitCode::from(2);
        };
        chosen.push(fault);
    }
    match chosen.as_slice() {
        [one] => run(one, short),
        [] => each(&ALL.iter().collect::<Vec<_>>(), short),
        several => each(several, short),
    }
}

/// Runs one fault in this process: it ends well, or panics.
fn run(fault: &Fault, short: bool) -> ExitCode {
    let length = if short { Length::SHORT } else { Length::LONG };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on((fault.run)(length));
    println!("== {}: passed", fault.name);
    ExitCode::SUCCESS
}

/// Runs each fault in a process of its own.
fn each(faults: &[&Fault], short: bool) -> ExitCode {
    let mut failed = Vec::new();
    for fault in faults {
        let mut one = Command::new(std::env::current_exe().unwrap());
        one.args(["faults", fault.name]).args(short.then_some("--short"));
        if !one.status().unwrap().success() {
            println!("== {}: FAILED", fault.name);
            failed.push(fault.name);
        }
    }
    println!("{} of {} faults passed; failed: {failed:?}", faults.len() - failed.len(), faults.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
