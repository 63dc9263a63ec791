//! The command line. It only parses; each command has its own file.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Config, Error, Sources};
use crate::console::Output;
use crate::verify::Expected;

/// An event-sourced order platform.
#[derive(Debug, Parser)]
#[command(name = "daybook", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// The options of all commands.
    #[command(flatten)]
    pub common: Common,
    /// The command; `serve` by default.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 the command failed, or found a violation; 2 wrong arguments or configuration; \
3 the store is in use by another process.";

/// The options of all commands.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// A configuration file; every key is in daybook.default.toml.
    #[arg(long, global = true, env = "DAYBOOK_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder of the store (store.data).
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// A key of the configuration: --set http.listen=127.0.0.1:9000. Wins over file and environment.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// How results are printed.
    #[arg(long, global = true, env = "DAYBOOK_OUTPUT", default_value = "text")]
    pub output: Output,
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the store that is there, or a new one.
    Serve(Serve),
    /// Import real orders into a new store, print a summary, and serve it.
    Demo(Demo),
    /// Load orders from a file. Running it again adds nothing.
    Import(Import),
    /// Show the history of an order: who did what, when and why; its state at any point; the difference between two
    /// points.
    History(History),
    /// Rebuild a read model, from the first event on.
    Rebuild(Rebuild),
    /// List records that cannot be read, or set one aside so that its stream can be read again.
    #[command(subcommand)]
    Records(Records),
    /// Read the whole log and prove it: the chain, versions, positions, the laws, every read model. Works beside a running server.
    Verify(Verify),
    /// Copy an embedded store as it is at one moment into an empty folder, beside a running server or none, and prove the copy.
    Backup(Backup),
    /// Place orders over HTTP as fast as possible, and print the rate.
    Bench(Bench),
    /// Create the tables of a database for the log, and allow a role to append without changing anything.
    Migrate(Migrate),
    /// Copy a log into an empty database; positions, hashes and command ids stay the same. Continues an interrupted
    /// copy.
    Copy(Copy),
    /// Ask a running process whether it is ready: exit code 0 if it is.
    Ready(Ready),
    /// Print the OpenAPI document.
    Openapi,
    /// Print the configuration that is in force. What cannot be used is refused, with exit code 2.
    Config {
        /// The default, spelled out for scripts.
        #[arg(long)]
        check: bool,
        /// Print the defaults of every key, with what they mean.
        #[arg(long)]
        default: bool,
        /// The command whose configuration to check: config --check -- serve --roles relay
        #[arg(last = true)]
        command: Vec<String>,
    },
}

/// `serve`
#[derive(Clone, Debug, Default, Args)]
pub struct Serve {
    /// Address and port (http.listen); loopback only.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// The roles of this process (roles.run), if the log is in a database: command-api, query-api, relay, projections,
    /// sagas, ordering, inventory, payments; by default all.
    #[arg(long, value_name = "ROLE,…")]
    pub roles: Option<String>,
}

/// `demo`
#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// Address and port (http.listen); loopback only.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Continue with a store that is not empty.
    #[arg(long)]
    pub resume: bool,
    /// The seed of the gateway's faults.
    #[arg(long, default_value_t = 20_101_201)]
    pub seed: u64,
    /// End after the summary instead of serving.
    #[arg(long)]
    pub no_serve: bool,
    /// Only the first so many invoices of the sample.
    #[arg(long, value_name = "COUNT")]
    pub invoices: Option<usize>,
}

/// What an import does with bad rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// One bad row and nothing is done.
    All,
    /// The other rows are done.
    #[default]
    Rows,
    /// As `rows`, and orders that are there already are passed over.
    Skip,
}

/// How a file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// Invoice lines of the Online Retail data set.
    Retail,
    /// Our own layout, CSV or NDJSON (docs/import.md).
    Orders,
}

/// `import`
#[derive(Clone, Debug, Args)]
pub struct Import {
    /// The file: .csv, .ndjson, or either packed by gzip.
    pub file: PathBuf,
    /// Its layout; by default detected from its first line.
    #[arg(long)]
    pub layout: Option<Layout>,
    /// What to do with bad rows.
    #[arg(long, default_value = "rows")]
    pub policy: Policy,
    /// The channel that the orders come from (imports.channel).
    #[arg(long)]
    pub channel: Option<String>,
    /// Through the server that runs there, instead of taking the store's lock.
    #[arg(long)]
    pub url: Option<String>,
    /// Show what the file says and which rows would be refused for it, and import nothing.
    #[arg(long, conflicts_with = "url")]
    pub dry_run: bool,
}

/// `history`
#[derive(Clone, Debug, Args)]
pub struct History {
    /// The order's id, or its number in a channel.
    pub order: String,
    /// The channel of the number (imports.channel if nothing is said).
    #[arg(long)]
    pub channel: Option<String>,
    /// The order as it was at a version of its stream.
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["as_of_position", "as_of_time", "diff"])]
    pub as_of_version: Option<u64>,
    /// The order as it was at a position of the log.
    #[arg(long, value_name = "POSITION", conflicts_with_all = ["as_of_time", "diff"])]
    pub as_of_position: Option<u64>,
    /// The order as it was at an instant, RFC 3339.
    #[arg(long, value_name = "INSTANT", conflicts_with = "diff")]
    pub as_of_time: Option<String>,
    /// What changed between two versions.
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"])]
    pub diff: Option<Vec<u64>>,
}

/// `rebuild`
#[derive(Clone, Debug, Args)]
pub struct Rebuild {
    /// The read model, or `all`.
    pub name: String,
    /// Through the server that runs there, instead of taking the store's lock.
    #[arg(long)]
    pub url: Option<String>,
}

/// `records`
#[derive(Clone, Debug, Subcommand)]
pub enum Records {
    /// List the records that cannot be read, and those that were set aside. Reads the whole log, beside a running
    /// server.
    List {
        /// Ask the server that runs there instead.
        #[arg(long)]
        url: Option<String>,
    },
    /// Set a record aside that cannot be read: it counts for nothing from now on, and its stream can be read again.
    SetAside(SetAside),
}

/// `records set-aside`
#[derive(Clone, Debug, Args)]
pub struct SetAside {
    /// The record's position in the log.
    pub position: u64,
    /// The reason, which the history of the stream shows.
    #[arg(long)]
    pub reason: String,
    /// Through the server that runs there, instead of taking the store's lock.
    #[arg(long)]
    pub url: Option<String>,
}

/// `migrate`
#[derive(Clone, Debug, Args)]
pub struct Migrate {
    /// A role of the database that may read and add, and change nothing that is written.
    #[arg(long, value_name = "ROLE")]
    pub grant_to: Vec<String>,
    /// How long a database that does not accept connections yet is waited for. A wrong password or database is an error
    /// at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub wait: u64,
}

/// `copy`
#[derive(Clone, Debug, Args)]
pub struct Copy {
    /// Where the log is: sqlite:FOLDER or postgres://…
    #[arg(long, value_name = "LOG")]
    pub from: String,
    /// The target: postgres://…, empty, or with a part of this log from an earlier copy.
    #[arg(long, value_name = "LOG")]
    pub to: String,
}

/// `ready`
#[derive(Clone, Debug, Args)]
pub struct Ready {
    /// Where the process listens.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
}

/// `verify`
#[derive(Clone, Debug, Args)]
pub struct Verify {
    /// Compare the read models with those of another store as well, row by row, at the same position: the folder of an embedded one.
    #[arg(long, value_name = "FOLDER")]
    pub against: Option<PathBuf>,
    /// The log must have this hash at this position, as an earlier verify or backup printed it. May be given several
    /// times.
    #[arg(long, value_name = "POSITION:HASH")]
    pub expect: Vec<Expected>,
}

/// `backup`
#[derive(Clone, Debug, Args)]
pub struct Backup {
    /// The folder of the copy; created if it is missing, and refused if it is not empty.
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
}

/// `bench`
#[derive(Clone, Debug, Args)]
pub struct Bench {
    /// The server; a new one on a temporary store if nothing is said.
    #[arg(long)]
    pub url: Option<String>,
    /// Connections at once, one run for each number.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    pub connections: Vec<usize>,
    /// How long each run takes.
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// Lines of an order.
    #[arg(long, default_value_t = 3)]
    pub lines: usize,
    /// Measure a server of the same framework beside it, which parses the same body and stores nothing.
    #[arg(long)]
    pub baseline: bool,
}

impl Common {
    /// The configuration that file, environment and flags come to.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn load(&self, command: Option<&Command>) -> Result<Config, Error> {
        let mut flags = Vec::new();
        let (listen, roles) = match command {
            Some(Command::Serve(serve)) => (serve.listen, serve.roles.as_ref()),
            Some(Command::Demo(demo)) => (demo.listen, None),
            _ => (None, None),
        };
        for pair in &self.set {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(Error::Value { key: "--set", why: format!("`{pair}` is not KEY=VALUE") });
            };
            flags.push((key.trim().to_owned(), value.trim().to_owned()));
        }
        if let Some(data) = &self.data {
            flags.push(("store.data".to_owned(), data.display().to_string()));
        }
        if let Some(listen) = listen {
            flags.push(("http.listen".to_owned(), listen.to_string()));
        }
        if let Some(roles) = roles {
            flags.push(("roles.run".to_owned(), roles.clone()));
        }
        Sources::of_process(self.config.as_deref(), flags).load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_migration_waits_for_a_minute_unless_it_is_told_otherwise() {
        for (words, seconds) in [(&["daybook", "migrate"][..], 60), (&["daybook", "migrate", "--wait", "0"], 0)] {
            let Ok(Cli { command: Some(Command::Migrate(asked)), .. }) = Cli::try_parse_from(words) else {
                panic!("{words:?} is not taken");
            };
            assert_eq!(asked.wait, seconds);
        }
        assert!(Cli::try_parse_from(["daybook", "migrate", "--wait", "86401"]).is_err());
    }
}
