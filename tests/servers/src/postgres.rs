//! A PostgreSQL cluster of a test's own: everything synced, checksums on, loopback only, the superuser `postgres` without a password.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::process::{Process, until};
use crate::{folder, folder_of, free_port};

const LIMIT: Duration = Duration::from_secs(60);

/// A PostgreSQL cluster.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    settings: Vec<String>,
    process: Option<Process>,
    databases: AtomicU32,
}

impl Postgres {
    /// A new cluster, running.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// A new cluster with settings beside the usual ones, `synchronous_commit=off` say; running.
    #[must_use]
    pub fn with(settings: &[&str]) -> Self {
        Self::on_disk_of(&std::env::temp_dir(), settings)
    }

    /// A new cluster in a folder of its own within `parent`, which the server's user must be able to enter; running.
    #[must_use]
    pub fn on_disk_of(parent: &Path, settings: &[&str]) -> Self {
        let folder = folder::within(parent, "postgres");
        let mut postgres = Self {
            programs: programs(),
            folder,
            port: free_port(),
            settings: settings.iter().map(ToString::to_string).collect(),
            process: None,
            databases: AtomicU32::new(0),
        };
        postgres.make();
        postgres.run();
        postgres
    }

    /// The cluster that the tests of one process share, each with a database of its own.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A program of the server's, run as its user: the server refuses to run as root.
    fn program(&self, name: &str) -> Command {
        let mut command = Process::bound("INT");
        command.args(as_server().into_iter().skip(1));
        command.arg(self.programs.join(name));
        command.current_dir("/");
        command
    }

    fn make(&self) {
        own(self.folder.path());
        let mut command = self.program("initdb");
        command.args(["--username=postgres", "--auth=trust", "--encoding=UTF8"]).args([
            "--locale=C",
            "--data-checksums",
            "--no-instructions",
            "-D",
        ]);
        succeed(command.arg(self.data()).output().unwrap());
    }

    fn run(&mut self) {
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data());
        command.args(["-p", &self.port.to_string()]);
        let sockets = format!("unix_socket_directories={}", self.folder.path().display());
        let usual = [
            "listen_addresses=127.0.0.1",
            sockets.as_str(),
            "max_connections=300",
            "shared_buffers=256MB",
            "max_wal_size=4GB",
        ];
        for setting in usual.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        let log = self.folder.path().join("log");
        self.process = Some(Process::start(command, &log));
        until("the start of PostgreSQL", LIMIT, || self.answers());
    }

    fn psql(&self, sql: &str) -> Output {
        Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d"])
            .arg(self.url("postgres"))
            .args(["-tA", "-c", sql])
            .output()
            .unwrap()
    }

    /// Whether the server answers now.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.psql("SELECT 1").status.success()
    }

    /// Runs SQL in a database as the superuser; what it prints.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database])
            .args(["-tA", "-c", sql])
            .output()
            .unwrap();
        succeed(output)
    }

    /// The address of a database for the superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's first process, whose children are all the others. None while the server does not run.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// The address of a new, empty database.
    #[must_use]
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::SeqCst));
        succeed(self.psql(&format!("CREATE DATABASE {name}")));
        self.url(&name)
    }

    /// Stops the server as if the machine had stopped it: sessions are cut, nothing is written down, the log is replayed at the
    /// next start.
    pub fn stop_immediately(&mut self) {
        self.end("QUIT");
    }

    /// Kills the server, with all its children.
    pub fn kill(&mut self) {
        self.end("KILL");
    }

    /// Stops the server, sessions first.
    pub fn stop(&mut self) {
        self.end("INT");
    }

    fn end(&mut self, signal: &str) {
        let Some(process) = self.process.take() else {
            return;
        };
        if signal == "KILL" {
            // The children would notice only when they next look.
            Command::new("pkill").args(["-KILL", "-P", &process.pid().to_string()]).status().ok();
        }
        process.signal(signal);
        assert!(process.wait(LIMIT), "PostgreSQL did not stop on {signal}");
    }

    /// Starts the server again on the data that is there.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        // What a killed server leaves would keep the next one off, if a process of that number happened to run.
        std::fs::remove_file(self.data().join("postmaster.pid")).ok();
        self.run();
    }

    /// Whether the server runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// What the server wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// The folder of PostgreSQL's programs.
#[must_use]
pub fn programs() -> PathBuf {
    let others: Vec<_> = (15..=20).rev().map(|version| format!("/usr/lib/postgresql/{version}/bin").into()).collect();
    // A link to one of them leads to the folder where all of them are.
    let initdb = folder_of("initdb", "POSTGRES_BIN", &others).join("initdb");
    let initdb = initdb.canonicalize().unwrap();
    initdb.parent().unwrap().to_owned()
}

/// What runs a program as the server's user, where this process is root: the server refuses to run as root.
#[must_use]
pub fn as_server() -> Vec<String> {
    let mut command = vec!["setpriv".to_owned()];
    if is_root() {
        command.extend(["--reuid=postgres", "--regid=postgres", "--init-groups"].map(str::to_owned));
    }
    command
}

/// Gives a folder to the server's user, where this process is root.
pub fn own(folder: &Path) {
    if is_root() {
        let mut chown = Command::new("chown");
        succeed(chown.arg("postgres").arg(folder).output().unwrap());
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

#[track_caller]
fn succeed(output: Output) -> String {
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The folder of a cluster, for tests that look at its files.
impl AsRef<Path> for Postgres {
    fn as_ref(&self) -> &Path {
        self.folder.path()
    }
}
