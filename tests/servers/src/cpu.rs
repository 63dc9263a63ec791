//! The processor time that processes spend, from `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The unit of `/proc`: a hundredth of a second on every Linux, whatever the kernel's own tick is.
pub const TICK: Duration = Duration::from_millis(10);

/// What processes have spent so far, with their children, those that have ended included.
#[must_use]
pub fn of_processes(firsts: &[u32]) -> Duration {
    let firsts: BTreeSet<u32> = firsts.iter().copied().collect();
    let processes = fs::read_dir("/proc").into_iter().flatten();
    let processes = processes.filter_map(|entry| {
        let path = entry.ok()?.path();
        let pid = path.file_name()?.to_str()?.parse().ok()?;
        Process::read(pid, &path)
    });
    let ticks = processes.map(|process| match process {
        Process { pid, .. } if firsts.contains(&pid) => process.own + process.of_ended,
        Process { parent, .. } if firsts.contains(&parent) => process.own,
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
