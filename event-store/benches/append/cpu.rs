//! Where the processors' time goes, by thread here and altogether in a server: what remains true of a run on a machine that others
//! use as well.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// Processor time of the store's threads, of all others, and of other processes that work for them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    pub(crate) writer: Duration,
    /// The indexer and the copying of the write-ahead log.
    pub(crate) indexer: Duration,
    /// Callers' tasks, and a store's own tasks that share their threads.
    pub(crate) callers: Duration,
    /// All processes of the server, if the store has one.
    pub(crate) server: Duration,
    /// The baseline's thread and its server.
    pub(crate) baseline: Duration,
}

impl Cpu {
    pub(crate) fn since(self, before: &Self) -> Self {
        Self {
            writer: self.writer.saturating_sub(before.writer),
            indexer: self.indexer.saturating_sub(before.indexer),
            callers: self.callers.saturating_sub(before.callers),
            server: self.server.saturating_sub(before.server),
            baseline: self.baseline.saturating_sub(before.baseline),
        }
    }

    pub(crate) fn with_baseline(self, baseline: Duration) -> Self {
        Self { baseline, ..self }
    }
}

/// What this process's threads have spent so far, and the server's processes.
pub(crate) fn spent(server: Option<u32>) -> Cpu {
    let mut cpu = Cpu { server: of_server(server), ..Cpu::default() };
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path();
        let (Ok(name), Some(spent)) = (fs::read_to_string(path.join("comm")), of_thread(&path.join("schedstat")))
        else {
            continue;
        };
        match name.trim() {
            "store-writer" => cpu.writer += spent,
            "store-index" | "store-copy" => cpu.indexer += spent,
            _ => cpu.callers += spent,
        }
    }
    cpu
}

/// What the calling thread has spent so far.
pub(crate) fn mine() -> Duration {
    of_thread("/proc/thread-self/schedstat".as_ref()).unwrap()
}

/// What a server's processes have spent so far; `first` is the one that started the others.
pub(crate) fn of_server(first: Option<u32>) -> Duration {
    first.map_or(Duration::ZERO, |first| servers::cpu::of_processes(&[first]))
}

fn of_thread(schedstat: &Path) -> Option<Duration> {
    let text = fs::read_to_string(schedstat).ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}
