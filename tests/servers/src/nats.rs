//! A nats-server with JetStream of a test's own, alone or one of a cluster: every message synced before it is acknowledged, loopback
//! only.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{Process, until};
use crate::{folder, folder_of, free_port, installed};

const LIMIT: Duration = Duration::from_secs(30);
/// The oldest release with what Daybook asks for.
const VERSION: &str = "v2.15";

/// A nats-server.
#[derive(Debug)]
pub struct Nats {
    folder: tempfile::TempDir,
    program: PathBuf,
    name: String,
    port: u16,
    monitor: u16,
    process: Option<Process>,
}

impl Nats {
    /// A new server, running.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// A new server, running, with more lines in its configuration; they count where they differ.
    #[must_use]
    pub fn start_with(more: &str) -> Self {
        let mut nats = Self::new("n1");
        nats.configure(more);
        nats.run();
        nats
    }

    /// A new cluster of three, running, with a leader for what it keeps.
    #[must_use]
    pub fn cluster() -> [Self; 3] {
        let mut nodes = ["n1", "n2", "n3"].map(Self::new);
        let routes = [(); 3].map(|()| free_port());
        let urls = routes.map(|port| format!("nats://127.0.0.1:{port}")).join(", ");
        for (node, port) in nodes.iter().zip(routes) {
            node.configure(&format!("cluster {{ name: daybook, listen: \"127.0.0.1:{port}\", routes: [{urls}] }}\n"));
        }
        for node in &mut nodes {
            node.launch();
        }
        for node in &nodes {
            node.wait();
        }
        nodes
    }

    fn new(name: &str) -> Self {
        let program = program();
        Self {
            folder: folder::temporary("nats"),
            program,
            name: name.to_owned(),
            port: free_port(),
            monitor: free_port(),
            process: None,
        }
    }

    fn configure(&self, more: &str) {
        let text = format!(
            "server_name: {}\nlisten: \"127.0.0.1:{}\"\nhttp: \"127.0.0.1:{}\"\nmax_payload: 2MB\n\
             jetstream {{ store_dir: \"{}\", sync_interval: always, max_file_store: 8GB }}\n{more}",
            self.name,
            self.port,
            self.monitor,
            self.data().display()
        );
        std::fs::write(self.folder.path().join("nats.conf"), text).unwrap();
    }

    fn launch(&mut self) {
        let mut command = Process::bound("KILL");
        command.arg(&self.program).arg("-c").arg(self.folder.path().join("nats.conf"));
        self.process = Some(Process::start(command, &self.folder.path().join("log")));
    }

    fn wait(&self) {
        until("the start of nats-server", LIMIT, || self.healthy());
    }

    fn run(&mut self) {
        self.launch();
        self.wait();
    }

    /// Whether the server says of itself that it serves, JetStream included.
    #[must_use]
    pub fn healthy(&self) -> bool {
        use std::io::{Read as _, Write as _};
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.monitor)) else {
            return false;
        };
        let asked = stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n");
        let mut answer = String::new();
        asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains("200 OK")
    }

    /// The address for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Where JetStream keeps its files.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("jetstream")
    }

    /// Kills the server.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal("KILL");
            assert!(process.wait(LIMIT), "nats-server was not killed");
        }
    }

    /// Stops the server and lets it write everything down.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal("TERM");
            assert!(process.wait(LIMIT), "nats-server did not stop");
        }
    }

    /// Starts the server again on the files that are there.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        self.run();
    }

    /// Whether the server runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Stops the server's processor time (`true`), or lets it go on.
    pub fn pause(&self, paused: bool) {
        if let Some(process) = &self.process {
            process.signal(if paused { "STOP" } else { "CONT" });
        }
    }

    /// What the server wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// The program, of a release that has what Daybook asks for.
#[must_use]
pub fn program() -> PathBuf {
    let program = folder_of("nats-server", "NATS_SERVER_BIN", &[installed().join("nats/bin")]).join("nats-server");
    let version = Command::new(&program).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    assert!(version.contains(VERSION), "{} is {version}and not {VERSION}: run scripts/servers", program.display());
    program
}

/// The server's folder, for tests that look at its files.
impl AsRef<Path> for Nats {
    fn as_ref(&self) -> &Path {
        self.folder.path()
    }
}
