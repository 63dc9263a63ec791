//! Sorts more items than memory holds: items of one size, sorted in parts, written to a file as runs, and merged from
//! there. Its memory does not depend on the number of items.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes that are sorted in memory.
const BYTES: usize = 8 * 1024 * 1024;
/// Runs that are merged at once; when there are as many, they become one.
const RUNS: usize = 64;
/// Bytes that are read of a run at once.
const READ: usize = 64 * 1024;

/// Takes items in any order.
pub(crate) struct Sorter<const N: usize> {
    folder: PathBuf,
    name: &'static str,
    buffer: Vec<[u8; N]>,
    most: usize,
    runs: Vec<Run>,
    made: usize,
}

/// Sorted items in a file of their own, which goes away with it.
struct Run {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Drop for Run {
    fn drop(&mut self) {
        // The folder is thrown away as a whole anyway.
        let _ = fs::remove_file(&self.path);
    }
}

impl<const N: usize> Sorter<N> {
    /// A sorter that writes to files in a folder whose names begin with `name`.
    pub(crate) fn new(folder: &Path, name: &'static str) -> Self {
        Self::within(folder, name, BYTES)
    }

    fn within(folder: &Path, name: &'static str, bytes: usize) -> Self {
        let most = (bytes / N).max(1);
        Self { folder: folder.to_owned(), name, buffer: Vec::new(), most, runs: Vec::new(), made: 0 }
    }

    pub(crate) fn add(&mut self, item: [u8; N]) -> io::Result<()> {
        self.buffer.push(item);
        if self.buffer.len() >= self.most { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> io::Result<()> {
        self.buffer.sort_unstable();
        let items = std::mem::take(&mut self.buffer);
        let run = self.write(items.iter().map(|item| Ok(*item)))?;
        self.buffer = items;
        self.buffer.clear();
        self.runs.push(run);
        if self.runs.len() >= RUNS {
            let runs = std::mem::take(&mut self.runs);
            let merged = self.write(Merge::<N>::of(runs)?)?;
            self.runs.push(merged);
        }
        Ok(())
    }

    fn write(&mut self, items: impl Iterator<Item = io::Result<[u8; N]>>) -> io::Result<Run> {
        self.made += 1;
        let path = self.folder.join(format!("{}-{}", self.name, self.made));
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        let mut run = Run { path, file, bytes: 0 };
        let mut out = BufWriter::with_capacity(READ, &run.file);
        let mut bytes = 0;
        for item in items {
            out.write_all(&item?)?;
            bytes += N as u64;
        }
        out.flush()?;
        drop(out);
        run.bytes = bytes;
        Ok(run)
    }

    /// All items, in order.
    pub(crate) fn finish(mut self) -> io::Result<Merge<N>> {
        if !self.buffer.is_empty() {
            self.spill()?;
        }
        Merge::of(std::mem::take(&mut self.runs))
    }
}

/// The items of several runs, in order.
pub(crate) struct Merge<const N: usize> {
    next: BinaryHeap<Reverse<([u8; N], usize)>>,
    runs: Vec<Reading<N>>,
}

struct Reading<const N: usize> {
    run: Run,
    at: u64,
    read: Vec<u8>,
    used: usize,
}

impl<const N: usize> Merge<N> {
    fn of(runs: Vec<Run>) -> io::Result<Self> {
        let runs = runs.into_iter().map(|run| Reading { run, at: 0, read: Vec::new(), used: 0 });
        let mut merge = Self { next: BinaryHeap::new(), runs: runs.collect() };
        for place in 0..merge.runs.len() {
            merge.pull(place)?;
        }
        Ok(merge)
    }

    fn pull(&mut self, place: usize) -> io::Result<()> {
        if let Some(item) = self.runs[place].next()? {
            self.next.push(Reverse((item, place)));
        }
        Ok(())
    }
}

impl<const N: usize> Reading<N> {
    fn next(&mut self) -> io::Result<Option<[u8; N]>> {
        if self.used == self.read.len() {
            let left = self.run.bytes - self.at;
            let whole = (READ / N).max(1) * N;
            self.read.resize(usize::try_from(left).unwrap_or(whole).min(whole), 0);
            self.run.file.read_exact_at(&mut self.read, self.at)?;
            self.at += self.read.len() as u64;
            self.used = 0;
        }
        let Some(item) = self.read.get(self.used..self.used + N) else {
            return Ok(None);
        };
        self.used += N;
        Ok(item.try_into().ok())
    }
}

impl<const N: usize> Iterator for Merge<N> {
    type Item = io::Result<[u8; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((item, place)) = self.next.pop()?;
        Some(self.pull(place).map(|()| item))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order_whatever_fits_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        for (count, bytes) in [(0_u32, 64), (1, 64), (5_000, 64), (5_000, 1_000_000), (40_000, 100)] {
            let mut sorter = Sorter::<6>::within(folder.path(), "t", bytes);
            let mut wanted = Vec::new();
            for n in 0..count {
                let mixed = n.wrapping_mul(2_654_435_761) % 30_011;
                let mut item = [0; 6];
                item[..4].copy_from_slice(&mixed.to_be_bytes());
                item[4] = n as u8;
                wanted.push(item);
                sorter.add(item).unwrap();
            }
            wanted.sort_unstable();
            let found: Vec<_> = sorter.finish().unwrap().map(Result::unwrap).collect();
            assert!(found == wanted, "{count} in parts of {bytes}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    }
}
