//! Where the processors' time goes, by thread: what remains true of a run on a machine that others use as well.

use std::fs;
use std::time::Duration;

/// Processor time of the store's threads and of all others, mostly the callers' tasks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    pub(crate) writer: Duration,
    /// The indexer and the copying of the write-ahead log.
    pub(crate) indexer: Duration,
    pub(crate) callers: Duration,
    pub(crate) baseline: Duration,
}

impl Cpu {
    pub(crate) fn since(self, before: &Self) -> Self {
        Self {
            writer: self.writer.saturating_sub(before.writer),
            indexer: self.indexer.saturating_sub(before.indexer),
            callers: self.callers.saturating_sub(before.callers),
            baseline: self.baseline.saturating_sub(before.baseline),
        }
    }

    pub(crate) fn with_baseline(self, baseline: Duration) -> Self {
        Self { baseline, ..self }
    }
}

/// What this process's threads have spent so far.
pub(crate) fn spent() -> Cpu {
    let mut cpu = Cpu::default();
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path();
        let (Ok(name), Some(spent)) = (
            fs::read_to_string(path.join("comm")),
            of(&path.join("schedstat")),
        ) else {
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
    of("/proc/thread-self/schedstat".as_ref()).unwrap()
}

fn of(schedstat: &std::path::Path) -> Option<Duration> {
    let text = fs::read_to_string(schedstat).ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}
