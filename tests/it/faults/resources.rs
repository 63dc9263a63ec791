//! What a process has of the system's: open files, threads, memory.

use std::fmt;

/// What a process has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resources {
    pub(crate) files: usize,
    pub(crate) threads: usize,
    pub(crate) resident_mib: usize,
}

impl Resources {
    /// Of a process that runs; `None` if it does not.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let number = |name: &str| -> Option<usize> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_matches([':', ' ', '\t', 'k', 'B']).trim().parse().ok()
        };
        Some(Self { files, threads: number("Threads")?, resident_mib: number("VmRSS")? / 1_024 })
    }

    /// What of this is more than it was, beyond what a store that has grown by some thousand events needs.
    pub(crate) fn beyond(&self, before: &Self) -> Vec<String> {
        let grown = [
            ("open files", self.files, before.files, 8),
            ("threads", self.threads, before.threads, 4),
            ("MiB of memory", self.resident_mib, before.resident_mib, 192),
        ];
        let more = grown.into_iter().filter(|(_, now, before, slack)| *now > before + slack);
        more.map(|(what, now, before, _)| format!("{now} {what} where there were {before}")).collect()
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files, {} threads, {} MiB", self.files, self.threads, self.resident_mib)
    }
}

/// The most open files that a process may have, as the system says.
pub(crate) fn most_files(pid: u32) -> Option<usize> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
