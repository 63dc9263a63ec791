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

/// The unit of `/proc/PID/stat`: a hundredth of a second on every Linux, whatever the kernel's own tick is.
const TICK: Duration = Duration::from_millis(10);

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

/// What a server's first process has spent so far, with its children, those that have ended included.
pub(crate) fn of_server(first: Option<u32>) -> Duration {
    let Some(first) = first else {
        return Duration::ZERO;
    };
    let processes = fs::read_dir("/proc").unwrap();
    let processes = processes.filter_map(|entry| {
        let path = entry.ok()?.path();
        let pid = path.file_name()?.to_str()?.parse().ok()?;
        Process::read(pid, &path)
    });
    let ticks = processes.map(|process| match process {
        Process { pid, .. } if pid == first => process.own + process.of_ended,
        Process { parent, .. } if parent == first => process.own,
        _ => 0,
    });
    TICK * ticks.sum()
}

/// A process, its times in ticks.
struct Process {
    pid: u32,
    parent: u32,
    own: u32,
    /// Of its children that have ended.
    of_ended: u32,
}

impl Process {
    fn read(pid: u32, path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path.join("stat")).ok()?;
        // The name in brackets may hold anything; the fields are counted from behind it, and the first of them is the third.
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u32>().ok();
        Some(Self { pid, parent: field(4)?, own: field(14)? + field(15)?, of_ended: field(16)? + field(17)? })
    }
}

fn of_thread(schedstat: &Path) -> Option<Duration> {
    let text = fs::read_to_string(schedstat).ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}
