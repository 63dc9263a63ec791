//! What is measured, each as processes of its own: started, asked, and stopped. How it is measured is the same for all.

mod ceiling;
mod cluster;
mod crud;
mod embedded;
mod postgres;
mod process;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use crate::load::Request;

/// The name of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// The service without events.
    Crud,
    /// The same HTTP stack without anything behind it.
    Ceiling,
    /// Daybook, its store in a folder.
    Embedded,
    /// Daybook, one process, its store in PostgreSQL.
    Postgres,
    /// The system of compose.yaml.
    Cluster,
}

impl Name {
    /// The name as it is written.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Crud => "crud",
            Self::Ceiling => "ceiling",
            Self::Embedded => "embedded",
            Self::Postgres => "postgres",
            Self::Cluster => "cluster",
        }
    }

    /// Whether it is Daybook.
    pub(crate) fn is_daybook(self) -> bool {
        matches!(self, Self::Embedded | Self::Postgres | Self::Cluster)
    }
}

/// Where everything is that sides are made of.
#[derive(Clone, Debug)]
pub struct Places {
    /// The folder for what sides keep, on a real disk.
    pub folder: PathBuf,
    /// The daybook program.
    pub daybook: PathBuf,
    /// compose.yaml.
    pub compose: PathBuf,
    /// Whether PostgreSQL counts statements.
    pub statements: bool,
}

/// A running side.
#[async_trait]
pub(crate) trait Side: Send {
    fn name(&self) -> Name;

    /// What a reader must know of it to read its figures.
    fn about(&self) -> String;

    /// Where orders are placed: `HOST:PORT`, one or several.
    fn commands(&self) -> Vec<String>;

    /// Where orders are read.
    fn queries(&self) -> Vec<String> {
        self.commands()
    }

    /// The addresses of all processes that have metrics.
    fn metrics(&self) -> Vec<String> {
        self.commands()
    }

    /// Its first processes; their children count as well.
    fn pids(&self) -> Vec<u32>;

    /// Its log.
    fn log(&self) -> Option<Log> {
        None
    }

    /// The database of its log, as the superuser, if it is in one.
    fn database(&self) -> Option<String> {
        None
    }

    /// The monitoring addresses of its brokers.
    fn brokers(&self) -> Vec<String> {
        Vec::new()
    }

    /// Who is asked for something.
    fn asked(&self, request: Request) -> Vec<String> {
        match request {
            Request::CheckOut | Request::Place => self.commands(),
            Request::Page => self.queries(),
        }
    }

    /// Stops it gracefully; what `daybook verify` says of it then, if it is Daybook.
    async fn end(self: Box<Self>) -> anyhow::Result<Option<Value>>;
}

/// A log that can be read beside its writer.
#[derive(Clone, Debug)]
pub(crate) enum Log {
    /// In a folder.
    Folder(PathBuf),
    /// In a database.
    Database(String),
}

/// Starts a side; `bytes` is how long the ceiling's answers are.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn start(name: Name, places: &Places, bytes: usize) -> anyhow::Result<Box<dyn Side>> {
    Ok(match name {
        Name::Crud => Box::new(crud::Crud::start(places)?),
        Name::Ceiling => Box::new(ceiling::Ceiling::start(places, bytes)?),
        Name::Embedded => Box::new(embedded::Embedded::start(places)?),
        Name::Postgres => Box::new(postgres::OnPostgres::start(places)?),
        Name::Cluster => Box::new(cluster::Compose::start(places)?),
    })
}

/// A PostgreSQL server as all sides have theirs, but that of compose.yaml, which says its own settings.
fn server(places: &Places) -> servers::Postgres {
    let mut settings = vec!["fsync=on", "full_page_writes=on", "synchronous_commit=on", "shared_buffers=512MB"];
    if places.statements {
        settings.push("shared_preload_libraries=pg_stat_statements");
    }
    servers::Postgres::on_disk_of(&places.folder, &settings)
}

/// What `daybook verify` says with this environment.
fn verify(daybook: &Path, environment: &BTreeMap<String, String>) -> anyhow::Result<Value> {
    let output = std::process::Command::new(daybook)
        .env_clear()
        .envs(environment)
        .args(["--output", "json", "verify"])
        .output()?;
    serde_json::from_slice(&output.stdout)
        .map_err(|error| anyhow::anyhow!("verify: {error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Runs SQL; what it prints, without spaces around it.
///
/// # Errors
/// If it fails.
pub(crate) fn sql(url: &str, text: &str) -> anyhow::Result<String> {
    let output = std::process::Command::new(servers::postgres::programs().join("psql"))
        .args(["-X", "-q", "-tA", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", text])
        .output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    anyhow::bail!("{text}: {}", String::from_utf8_lossy(&output.stderr))
}
