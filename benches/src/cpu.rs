//! Where the processors' time goes: of the whole box, and of the processes of one side. Other work of the machine is in the first and
//! not in the second.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The unit of `/proc`: a hundredth of a second on every Linux, whatever the kernel's own tick is.
const TICK: Duration = Duration::from_millis(10);

/// What was spent so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    /// By everything on this machine.
    pub(crate) machine: Duration,
    /// By the given processes and their children.
    pub(crate) side: Duration,
}

impl Cpu {
    /// What was spent until now; the first processes of a side stand for it.
    pub(crate) fn now(side: &[u32]) -> anyhow::Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let first = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u32> = first.split_whitespace().skip(1).filter_map(|text| text.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq
        let busy: u32 = [0, 1, 2, 5, 6].iter().filter_map(|at| ticks.get(*at)).sum();
        Ok(Self { machine: TICK * busy, side: of_processes(side) })
    }

    /// What was spent since then.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { machine: self.machine.saturating_sub(before.machine), side: self.side.saturating_sub(before.side) }
    }
}

/// What processes have spent so far, with their children, those that have ended included.
fn of_processes(firsts: &[u32]) -> Duration {
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
