//! A process by its number, as one invocation starts it and a later one finds it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

/// A process that was started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// When it began, in the system's ticks: another process may come to have its number.
    began: u64,
    /// How it ended, once it has; written by the one that waits for it.
    ended: PathBuf,
}

impl Process {
    /// Starts `command` behind a shell that notes how it ended. `bound`: it is killed when the thread that starts it ends.
    pub(crate) fn start(
        command: Vec<String>,
        environment: &[(String, String)],
        bound: bool,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let out = File::options().create(true).append(true).open(log)?;
        let ended = log.with_extension("ended");
        fs::remove_file(&ended).ok();
        let (started, pids) = std::sync::mpsc::channel();
        let (log, end) = (log.to_owned(), ended.clone());
        let environment = environment.to_vec();
        let mut run = if bound {
            let mut run = Command::new("setpriv");
            run.args(["--pdeathsig", "KILL"]).args(&command);
            run
        } else {
            // A session of its own: it does not end with the terminal.
            let mut run = Command::new("setsid");
            run.args(&command);
            run
        };
        run.env_clear().envs(environment).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let run = std::thread::Builder::new().name("cluster".into()).spawn(move || {
            let child = run.spawn();
            let mut child = match child {
                Ok(child) => child,
                Err(error) => return drop(started.send(Err(error))),
            };
            // Whoever asked may have gone.
            drop(started.send(Ok(child.id())));
            if let Ok(status) = child.wait() {
                let code = status.code().unwrap_or(-1);
                fs::write(&end, code.to_string()).ok();
            }
            drop(log);
        })?;
        drop(run);
        let pid = pids.recv()?.with_context(|| format!("{} cannot be started", command.join(" ")))?;
        Ok(Self { pid, began: began(pid).unwrap_or(0), ended })
    }

    /// Whether it runs.
    pub(crate) fn runs(&self) -> bool {
        began(self.pid) == Some(self.began)
    }

    /// Whether it ended well. Only whoever started it knows.
    pub(crate) fn succeeded(&self) -> bool {
        // The one who waits for it writes a moment after its end.
        for _ in 0..100 {
            if let Ok(code) = fs::read_to_string(&self.ended)
                && !code.is_empty()
            {
                return code == "0";
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        false
    }

    pub(crate) fn signal(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.pid.to_string();
        run("kill", &["-s", name, &pid])
    }

    pub(crate) fn signal_children(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.pid.to_string();
        // There may be none.
        run("pkill", &[&format!("-{name}"), "-P", &pid]).ok();
        Ok(())
    }
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    bail!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim())
}

/// When a process began, `None` if it does not run (or is only waited for).
fn began(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, so what follows is counted from its end.
    let rest = &stat[stat.rfind(')')? + 2..];
    let fields: Vec<&str> = rest.split(' ').collect();
    if matches!(fields.first(), Some(&"Z" | &"X")) {
        return None;
    }
    fields.get(19)?.parse().ok()
}
