//! A Daybook process of its own on a store of its own: started, asked whether it is ready, killed or stopped.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::Client;

/// How long a start may take: a debug build on two busy cores.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running process. Killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
    data: PathBuf,
}

/// The product, built together with the tests.
pub(crate) fn daybook() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daybook-under-test"));
    command.stdin(Stdio::null());
    command
}

/// An address on loopback that was free a moment ago.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

impl Server {
    /// Starts `daybook serve` on `data` and waits until it is ready.
    pub(crate) async fn start(data: &Path) -> Self {
        Self::start_with(data, &[]).await
    }

    /// The same with further arguments.
    pub(crate) async fn start_with(data: &Path, arguments: &[&str]) -> Self {
        Self::start_at(data, free_address(), arguments).await
    }

    /// The same at an address: where one that was killed had listened, say.
    pub(crate) async fn start_at(data: &Path, address: String, arguments: &[&str]) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(data.with_extension("server.log")).unwrap();
        let child = daybook()
            .arg("serve")
            .args(["--data", data.to_str().unwrap(), "--listen", &address])
            .args(arguments)
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let mut server = Self { child, address, data: data.to_owned() };
        server.wait_until_ready().await;
        server
    }

    async fn wait_until_ready(&mut self) {
        let client = self.client();
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the server ended before it was ready: {status}; {}", self.log());
            }
            if client.try_get("/readyz").await.is_some_and(|answer| answer.status == 200) {
                return;
            }
            assert!(since.elapsed() < READY_WITHIN, "the server is not ready: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The end of what it logged.
    pub(crate) fn log(&self) -> String {
        let text = std::fs::read_to_string(self.data.with_extension("server.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Where it listens: `127.0.0.1:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.address))
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
