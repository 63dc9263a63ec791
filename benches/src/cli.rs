//! The command line. It only parses, and prints what came of it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it answers on standard output")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::load::Request;
use crate::rounds::Plan;
use crate::sides::{Name, Places};
use crate::{ceiling, counts, crud, rounds};

/// Measures Daybook beside a service without events, and counts what an order takes.
#[derive(Debug, Parser)]
#[command(
    name = "benches",
    after_help = "Exit codes: 0 done, and everything holds; 1 it failed, or something does not hold."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure checkouts, each answered when its order is confirmed.
    Checkout(Measure),
    /// Measure orders that are answered as pending. What follows is waited for between the runs.
    Placing(Measure),
    /// Measure pages of 50 orders.
    List(Measure),
    /// Count what an order takes.
    Counts(Count),
    /// Serve as the service without events.
    #[command(hide = true)]
    Crud(crud::Options),
    /// Serve as the ceiling.
    #[command(hide = true)]
    Ceiling(ceiling::Options),
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Debug, Args)]
struct Common {
    /// The folder for what the sides keep; on a real disk, or nothing here means anything.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// compose.yaml.
    #[arg(long, default_value = "compose.yaml")]
    compose: PathBuf,
    /// How results are printed.
    #[arg(long, default_value = "text")]
    output: Output,
}

#[derive(Clone, Debug, Args)]
struct Measure {
    /// Seconds of each run.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// How often everything is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rounds: u64,
    /// Connections at once, one run for each number.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    connections: Vec<usize>,
    /// What is measured.
    #[arg(long, value_delimiter = ',', default_value = "crud,ceiling,embedded,postgres,cluster")]
    sides: Vec<Name>,
    /// The daybook program.
    #[arg(long, default_value = "target/release/daybook")]
    daybook: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Debug, Args)]
struct Count {
    /// How many orders of each kind are counted.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    orders: u64,
    /// What is counted.
    #[arg(long, value_delimiter = ',', default_value = "crud,embedded,postgres,cluster")]
    sides: Vec<Name>,
    /// The daybook program whose allocator counts.
    #[arg(long, default_value = "target/release/daybook-counted")]
    daybook: PathBuf,
    #[command(flatten)]
    common: Common,
}

/// Runs a command line.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(command(cli.command)));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything holds that has to.
async fn command(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Checkout(asked) => measure(asked, Request::CheckOut).await,
        Command::Placing(asked) => measure(asked, Request::Place).await,
        Command::List(asked) => measure(asked, Request::Page).await,
        Command::Counts(asked) => {
            let counted =
                counts::run(&asked.sides, asked.orders as usize, &places(asked.common.clone(), asked.daybook, true)?)
                    .await?;
            match asked.common.output {
                Output::Text => print!("{}", counts::text(&counted)),
                Output::Json => println!("{}", serde_json::to_string_pretty(&counted)?),
            }
            Ok(true)
        }
        Command::Crud(options) => crud::serve(&options).await.map(|()| true),
        Command::Ceiling(options) => ceiling::serve(&options).await.map(|()| true),
    }
}

async fn measure(asked: Measure, request: Request) -> anyhow::Result<bool> {
    let mut sides = asked.sides;
    // The opponent confirms what it takes; the ceiling has no orders.
    sides.retain(|name| match request {
        Request::CheckOut => true,
        Request::Place => *name != Name::Crud,
        Request::Page => *name != Name::Ceiling,
    });
    let plan = Plan {
        request,
        sides,
        connections: asked.connections,
        rounds: asked.rounds as usize,
        length: Duration::from_secs(asked.seconds),
    };
    let output = asked.common.output;
    let report = rounds::run(&plan, &places(asked.common, asked.daybook, false)?).await?;
    match output {
        Output::Text => print!("{}", report.text()),
        Output::Json => println!("{}", report.json()?),
    }
    Ok(report.holds())
}

fn places(common: Common, daybook: PathBuf, statements: bool) -> anyhow::Result<Places> {
    std::fs::create_dir_all(&common.folder)?;
    let folder = common.folder.canonicalize()?;
    let daybook = daybook
        .canonicalize()
        .map_err(|error| anyhow::anyhow!("{}: {error}; scripts/bench builds it", daybook.display()))?;
    Ok(Places { folder, daybook, compose: common.compose, statements })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
