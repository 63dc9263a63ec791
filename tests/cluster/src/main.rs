//! `scripts/cluster`: the scaled system on this machine, for trying it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it answers on standard output")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cluster::measure::{self, Plan};
use cluster::{Cluster, Options};

/// Runs the services of compose.yaml as processes of this machine.
#[derive(Debug, Parser)]
#[command(name = "cluster")]
struct Cli {
    /// The folder for everything that the services keep.
    #[arg(long, global = true, default_value = "daybook-cluster")]
    folder: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything, in order, and wait until it is ready.
    Up {
        /// compose.yaml.
        #[arg(long, default_value = "compose.yaml")]
        compose: PathBuf,
        /// The daybook program.
        #[arg(long, default_value = "target/release/daybook")]
        daybook: PathBuf,
        /// Another number of a service: --replicas projections=3.
        #[arg(long, value_name = "SERVICE=COUNT", value_parser = pair)]
        replicas: Vec<(String, usize)>,
        /// Free ports instead of those that compose.yaml publishes.
        #[arg(long)]
        any_port: bool,
    },
    /// Measure orders against the embedded system, the read models' lag and how fast they are posted, in a cluster of its own.
    Measure {
        /// The file with each role in processes of its own.
        #[arg(long, default_value = "deploy/compose.roles.yaml")]
        compose: PathBuf,
        /// The daybook program.
        #[arg(long, default_value = "target/release/daybook")]
        daybook: PathBuf,
        /// Another number of a service: --replicas nats-2=0.
        #[arg(long, value_name = "SERVICE=COUNT", value_parser = pair)]
        replicas: Vec<(String, usize)>,
        /// Seconds of each run of orders.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Connections at once, one run for each number.
        #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
        connections: Vec<usize>,
        /// Projection processes, one run for each number.
        #[arg(long, value_delimiter = ',', default_value = "1,2,4")]
        workers: Vec<usize>,
        /// An embedded store whose log is copied and posted, and nothing else is measured: sqlite:FOLDER. Its read models have to be as
        /// far as its log; those of the cluster are held against them at the end.
        #[arg(long, value_name = "ADDRESS")]
        log: Option<String>,
    },
    /// End everything.
    Down,
    /// How everything is.
    Status,
    /// Kill a service, or one of its replicas.
    Kill {
        /// `core`, `core-2`, `nats-1`, `postgres` …
        role: String,
        /// The signal: STOP and CONT pause a process and let it go on.
        #[arg(long, default_value = "KILL")]
        signal: String,
    },
    /// Start again what was killed.
    Start {
        /// `core`, `core-2`, `nats-1`, `postgres` …
        role: String,
    },
    /// Print a daybook service's environment, for commands beside it: env $(scripts/cluster env core-1) daybook verify
    Env {
        /// The replica.
        role: String,
    },
}

fn pair(text: &str) -> Result<(String, usize), String> {
    let (name, count) = text.split_once('=').ok_or("SERVICE=COUNT is expected")?;
    let count = count.parse().map_err(|_| format!("{count} is no number"))?;
    Ok((name.to_owned(), count))
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(Cli { folder, command }: Cli) -> anyhow::Result<()> {
    match command {
        Command::Up { compose, daybook, replicas, any_port } => {
            let cluster = Cluster::up(Options {
                compose,
                folder,
                daybook,
                bound: false,
                fixed_ports: !any_port,
                replicas: replicas.into_iter().collect(),
                environment: BTreeMap::new(),
                wire: None,
                late: None,
            })?;
            status(&cluster);
        }
        Command::Measure { compose, daybook, replicas, seconds, connections, workers, log } => {
            let options = Options {
                compose,
                folder,
                daybook,
                bound: true,
                fixed_ports: false,
                replicas: replicas.into_iter().collect(),
                environment: BTreeMap::new(),
                wire: None,
                late: None,
            };
            let plan = Plan { seconds, connections, workers, log };
            let measured = measure::run(&options, &plan)?;
            println!("{}", serde_json::to_string_pretty(&measured)?);
        }
        Command::Down => Cluster::open(&folder)?.down()?,
        Command::Status => status(&Cluster::open(&folder)?),
        Command::Kill { role, signal } => {
            let cluster = Cluster::open(&folder)?;
            for name in cluster.replicas(&role)? {
                if signal == "KILL" {
                    cluster.kill(&name)?;
                } else {
                    cluster.signal(&name, &signal)?;
                }
            }
        }
        Command::Start { role } => {
            let mut cluster = Cluster::open(&folder)?;
            let names = cluster.replicas(&role)?;
            for name in names.iter().filter(|name| cluster.pid(name).is_none()).cloned().collect::<Vec<_>>() {
                cluster.start(&name)?;
            }
            names.iter().try_for_each(|name| cluster.await_ready(name))?;
        }
        Command::Env { role } => {
            for (key, value) in Cluster::open(&folder)?.environment(&role)? {
                if key.starts_with("DAYBOOK_") {
                    println!("{key}={value}");
                }
            }
        }
    }
    Ok(())
}

fn status(cluster: &Cluster) {
    for status in cluster.status() {
        let how = match (status.pid, status.ready) {
            (Some(_), true) => "ready",
            (Some(_), false) => "not ready",
            (None, _) => "ended",
        };
        let pid = status.pid.map_or_else(String::new, |pid| pid.to_string());
        println!("{:<16} {how:<10} {pid:>8}  {}", status.name, status.address);
    }
}
