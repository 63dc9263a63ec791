//! Where the processors' time goes: of the whole box, and of the processes of one side. Other work of the machine is in the first and
//! not in the second.

use std::fs;
use std::time::Duration;

use servers::cpu::{TICK, of_processes};

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
