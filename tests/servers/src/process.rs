//! A child process that ends with this one.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// A child process.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Process {
    /// Starts `command`, whose output goes to a file. The child is told to end when the thread that started it does, so that thread
    /// is its own and waits for it.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let out = File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        let (started, pid) = mpsc::channel();
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || {
            let mut child: Child = command.spawn().unwrap();
            started.send(child.id()).unwrap();
            child.wait().unwrap();
            // Nobody may be listening any more.
            done.send(()).ok();
        });
        Self { pid: pid.recv().unwrap(), ended: Mutex::new(ended) }
    }

    /// `setpriv` with what makes the child end with its parent, ready for the program's name.
    pub(crate) fn bound(signal: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", signal]);
        command
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal: `KILL`, `STOP`, `CONT`, `INT` …
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid.to_string();
        Command::new("kill").args(["-s", name, &pid]).stderr(Stdio::null()).status().unwrap();
    }

    /// Waits for the end.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        // An error means that the end was waited for before.
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(ended.recv_timeout(limit), Err(mpsc::RecvTimeoutError::Timeout))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal("KILL");
        self.wait(Duration::from_secs(10));
    }
}

/// Waits until `ready` says so.
pub(crate) fn until(what: &str, limit: Duration, mut ready: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < limit, "{what} took longer than {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
