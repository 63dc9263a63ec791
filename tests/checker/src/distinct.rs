//! Whether ids are unique over a log of any length, in bounded memory: ids are kept in memory up to a run, runs are sorted and written to
//! a nameless file, and the runs are merged in the end.
//!
//! The bound: 2^20 ids in memory (32 MiB), and 8 KiB for each run while merging; on disk 24 bytes an id beyond the first run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use event_store::record::Position;

/// Ids in memory.
const RUN: usize = 1 << 20;
/// Of these the first few repeats are told; the others are counted.
const TOLD: usize = 100;

type Entry = (u128, Position);

/// Ids with the positions where they were met.
pub(crate) struct Distinct {
    run: Vec<Entry>,
    longest_run: usize,
    spilled: Vec<File>,
}

/// Repeats.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Repeats {
    /// How many ids came again.
    pub(crate) count: u64,
    /// The first of them: the id, where it was first, where it was again.
    pub(crate) first: Vec<(u128, Position, Position)>,
}

impl Distinct {
    pub(crate) fn new() -> Self {
        Self::with_runs_of(RUN)
    }

    pub(crate) fn with_runs_of(longest_run: usize) -> Self {
        Self { run: Vec::new(), longest_run, spilled: Vec::new() }
    }

    pub(crate) fn add(&mut self, id: u128, position: Position) -> io::Result<()> {
        self.run.push((id, position));
        if self.run.len() >= self.longest_run {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        self.run.sort_unstable();
        let mut file = BufWriter::new(tempfile::tempfile()?);
        for (id, position) in self.run.drain(..) {
            file.write_all(&id.to_be_bytes())?;
            file.write_all(&position.to_be_bytes())?;
        }
        let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        self.spilled.push(file);
        Ok(())
    }

    /// The repeats among all that were added.
    pub(crate) fn repeats(mut self) -> io::Result<Repeats> {
        self.run.sort_unstable();
        let mut runs: Vec<Run> = self.spilled.into_iter().map(Run::file).collect();
        runs.push(Run::Memory(self.run.into_iter()));
        let mut next = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            if let Some(entry) = run.next()? {
                next.push(Reverse((entry, number)));
            }
        }
        let mut repeats = Repeats::default();
        let mut last: Option<Entry> = None;
        while let Some(Reverse((entry, number))) = next.pop() {
            if let Some(entry) = runs[number].next()? {
                next.push(Reverse((entry, number)));
            }
            match last {
                Some((id, first)) if id == entry.0 => {
                    repeats.count += 1;
                    if repeats.first.len() < TOLD {
                        repeats.first.push((id, first, entry.1));
                    }
                }
                _ => last = Some(entry),
            }
        }
        Ok(repeats)
    }
}

enum Run {
    Memory(std::vec::IntoIter<Entry>),
    File(BufReader<File>),
}

impl Run {
    fn file(file: File) -> Self {
        Self::File(BufReader::new(file))
    }

    fn next(&mut self) -> io::Result<Option<Entry>> {
        let file = match self {
            Self::Memory(entries) => return Ok(entries.next()),
            Self::File(file) => file,
        };
        let mut id = [0; 16];
        match file.read_exact(&mut id) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut position = [0; 8];
        file.read_exact(&mut position)?;
        Ok(Some((u128::from_be_bytes(id), u64::from_be_bytes(position))))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn an_id_that_comes_again_is_found_across_runs_and_within_one() {
        let mut ids = Distinct::with_runs_of(10);
        for position in 1..=105_u64 {
            let id = match position {
                57 => 3,
                58 => 57_000,
                104 => 103,
                other => u128::from(other),
            };
            ids.add(id, position).unwrap();
        }
        assert_eq!(ids.spilled.len(), 10);
        let repeats = ids.repeats().unwrap();
        assert_eq!(repeats.count, 2);
        assert_eq!(repeats.first, [(3, 3, 57), (103, 103, 104)]);
    }

    #[test]
    fn ids_that_differ_are_no_repeats() {
        let mut ids = Distinct::with_runs_of(4);
        for position in 1..=9_u64 {
            ids.add(u128::from(position) << 64, position).unwrap();
        }
        assert_eq!(ids.repeats().unwrap(), Repeats::default());
    }
}
