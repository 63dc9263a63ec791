//! A Daybook process of its own on a store of its own: started, asked whether it is ready, killed or stopped; and the commands that go
//! beside it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Client;

/// How long a start may take: a debug build on two busy cores.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long sagas may take to their ends once nothing new comes.
const ENDED_WITHIN: Duration = Duration::from_secs(180);

/// A running process. Killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
    data: PathBuf,
    arguments: Vec<String>,
}

/// The product, built together with the tests. A program that is no test finds it in the folder of the build.
pub(crate) fn program() -> PathBuf {
    let built = option_env!("CARGO_BIN_EXE_daybook-under-test").map(PathBuf::from);
    built.unwrap_or_else(|| std::env::current_exe().unwrap().with_file_name("daybook-under-test"))
}

/// The product, to be run with arguments.
pub(crate) fn daybook() -> Command {
    let mut command = Command::new(program());
    command.stdin(Stdio::null());
    command
}

/// What `daybook verify` says of a store, whether it holds or not. Works beside a running server, whose arguments it needs as well.
pub(crate) fn proof(data: &Path, arguments: &[String]) -> Value {
    let mut verify = daybook();
    verify.args(["verify", "--data", data.to_str().unwrap(), "--output", "json"]).args(arguments);
    let output = verify.output().unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}{errors}"))
}

/// `daybook verify` says that everything is as it should be.
pub(crate) fn verify(data: &Path) {
    let proof = proof(data, &[]);
    assert_eq!(proof["holds"], true, "{proof:#}");
}

impl Server {
    /// Starts `daybook serve` on `data` and waits until it is ready.
    pub(crate) async fn start(data: &Path) -> Self {
        Self::start_with(data, &[]).await
    }

    /// The same with further arguments.
    pub(crate) async fn start_with(data: &Path, arguments: &[&str]) -> Self {
        Self::start_at(data, format!("127.0.0.1:{}", servers::free_port()), arguments).await
    }

    /// The same at an address: where one that was killed had listened, say.
    pub(crate) async fn start_at(data: &Path, address: String, arguments: &[&str]) -> Self {
        Self::start_as(daybook(), data, address, arguments).await
    }

    /// The same by a command that becomes the server: a shell that has set limits first, say.
    pub(crate) async fn start_as(mut program: Command, data: &Path, address: String, arguments: &[&str]) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(data.with_extension("server.log")).unwrap();
        let child = program
            .arg("serve")
            .args(["--data", data.to_str().unwrap(), "--listen", &address])
            .args(arguments)
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut server = Self { child, address, data: data.to_owned(), arguments };
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

    /// Waits until no saga is on its way any more; what a proof of that moment says.
    ///
    /// # Panics
    /// If that takes too long.
    pub(crate) async fn ended(&self) -> Value {
        let since = Instant::now();
        loop {
            let proof = proof(&self.data, &self.arguments);
            let running = proof["sagas"]["running"].as_u64().unwrap_or(0);
            let pending = proof["orders"]["pending"].as_u64().unwrap_or(0);
            if running == 0 && pending == 0 {
                return proof;
            }
            assert!(
                since.elapsed() < ENDED_WITHIN,
                "{running} sagas run and {pending} orders are pending: {proof:#}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// The end of what it logged.
    pub(crate) fn log(&self) -> String {
        let text = self.whole_log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// All that it logged, over all its lives.
    pub(crate) fn whole_log(&self) -> String {
        std::fs::read_to_string(self.data.with_extension("server.log")).unwrap_or_default()
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder of its store.
    pub(crate) fn data(&self) -> &Path {
        &self.data
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
