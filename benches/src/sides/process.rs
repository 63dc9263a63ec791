//! A program that the bench starts. It ends with the bench, however that ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long a program may take until it is ready, and until it has ended.
const WITHIN: Duration = Duration::from_secs(120);

/// A running program that serves HTTP. Killed when it is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Process {
    /// Starts a program that listens at a free port (`--listen`), and waits until it is ready. The calling thread has to live as long as the
    /// program, because the system kills the program when that thread ends.
    pub(super) fn start(
        program: &Path,
        arguments: &[&str],
        environment: &BTreeMap<String, String>,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let address = format!("127.0.0.1:{}", servers::free_port());
        let file = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments).args(["--listen", &address]);
        command.envs(environment).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
        let mut process = Self { child, address, log: log.to_owned() };
        process.await_ready()?;
        Ok(process)
    }

    fn await_ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !ready(&self.address) {
            if self.child.try_wait()?.is_some() || begun.elapsed() > WITHIN {
                bail!("a program is not ready: {}", self.log_end());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    pub(super) fn address(&self) -> String {
        self.address.clone()
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits for it.
    pub(super) fn end(mut self) -> anyhow::Result<()> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > WITHIN {
                bail!("a program does not end: {}", self.log_end());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn ready(address: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok();
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.split(' ').nth(1) == Some("200")
}
