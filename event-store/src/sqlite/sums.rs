//! Checksums of the index: the number of rows, and the sum of a hash of each row. The checksum of the whole is written
//! into the index with every run, and checks the index when it is opened; those of some thousand key ranges are in
//! memory, and check each look-up. A sum does not depend on the order of its rows, so a run updates it at little cost.

use uuid::Uuid;

use super::filter::mix;
use crate::heads::StreamHead;
use crate::record::Position;

/// How many bits of a key select its range, at least and at most: a table of sums takes half a megabyte to 32
/// megabytes.
const BITS: (u32, u32) = (14, 20);
/// About how many rows a range has, as far as the bits allow: a look-up reads all of them. Stream keys and most command
/// ids are parts of a hash, so ranges are about equal.
const FULL: u64 = 64;

/// The sum of some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) rows: u64,
    pub(super) hash: u128,
}

impl Sum {
    pub(super) fn add(&mut self, row: u128) {
        self.rows = self.rows.wrapping_add(1);
        self.hash = self.hash.wrapping_add(row);
    }

    fn remove(&mut self, row: u128) {
        self.rows = self.rows.wrapping_sub(1);
        self.hash = self.hash.wrapping_sub(row);
    }
}

/// The sums of a table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    bits: u32,
    whole: Sum,
    ranges: Vec<Sum>,
}

impl Default for Table {
    fn default() -> Self {
        Self::for_rows(0)
    }
}

impl Table {
    /// With ranges for about so many rows.
    pub(super) fn for_rows(rows: u64) -> Self {
        let bits = rows.div_ceil(FULL).max(1).ilog2().clamp(BITS.0, BITS.1);
        Self { bits, whole: Sum::default(), ranges: vec![Sum::default(); 1 << bits] }
    }

    fn place(&self, key: u128) -> usize {
        (key >> (128 - self.bits)) as usize
    }

    /// The first and the last key of the range that a key is in.
    pub(super) fn bounds(&self, key: u128) -> (u128, u128) {
        let rest = u128::MAX >> self.bits;
        (key & !rest, key | rest)
    }

    pub(super) fn add(&mut self, key: u128, row: u128) {
        self.whole.add(row);
        let place = self.place(key);
        self.ranges[place].add(row);
    }

    fn remove(&mut self, key: u128, row: u128) {
        self.whole.remove(row);
        let place = self.place(key);
        self.ranges[place].remove(row);
    }

    pub(super) fn whole(&self) -> Sum {
        self.whole
    }

    /// The sum of the rows in the range of a key.
    pub(super) fn range(&self, key: u128) -> Sum {
        self.ranges[self.place(key)]
    }
}

/// The sums of the index as it is at a position.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    pub(super) position: Position,
    pub(super) streams: Table,
    pub(super) commands: Table,
}

/// What a run changes: a stream's row from one to another, and new commands' rows.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) streams: Vec<(u128, Option<u128>, u128)>,
    pub(super) commands: Vec<(u128, u128)>,
}

/// The sums of the whole tables as they are at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) position: Position,
    pub(super) streams: Sum,
    pub(super) commands: Sum,
}

impl Whole {
    /// What they are at `position`, once a run has changed them.
    pub(super) fn after(self, changes: &Changes, position: Position) -> Self {
        let Self { mut streams, mut commands, .. } = self;
        for &(_, before, after) in &changes.streams {
            before.into_iter().for_each(|before| streams.remove(before));
            streams.add(after);
        }
        changes.commands.iter().for_each(|&(_, row)| commands.add(row));
        Self { position, streams, commands }
    }
}

impl Sums {
    /// The sums of the whole tables.
    pub(super) fn whole(&self) -> Whole {
        Whole { position: self.position, streams: self.streams.whole(), commands: self.commands.whole() }
    }

    /// The run is in the index.
    pub(super) fn apply(&mut self, changes: &Changes, position: Position) {
        for &(key, before, after) in &changes.streams {
            before.into_iter().for_each(|before| self.streams.remove(key, before));
            self.streams.add(key, after);
        }
        changes.commands.iter().for_each(|&(key, row)| self.commands.add(key, row));
        self.position = position;
    }
}

/// The index's row of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamRow {
    /// The position of its first event.
    pub(super) first: Position,
    /// Its last event.
    pub(super) head: StreamHead,
}

/// The hash of a stream's row.
pub(super) fn of_stream(key: u128, row: &StreamRow) -> u128 {
    let id = row.head.event_id.as_u128();
    hash(&[(key >> 64) as u64, key as u64, row.first, row.head.version, (id >> 64) as u64, id as u64])
}

/// The hash of a command's row.
pub(super) fn of_command(id: Uuid, first: Position) -> u128 {
    let id = id.as_u128();
    hash(&[(id >> 64) as u64, id as u64, first])
}

fn hash(words: &[u64]) -> u128 {
    let (mut one, mut other) = (0x243F_6A88_85A3_08D3_u64, 0x1319_8A2E_0370_7344_u64);
    for &word in words {
        one = mix(one ^ word).wrapping_add(0x9E37_79B9_7F4A_7C15);
        other = mix(other.rotate_left(29).wrapping_add(word) ^ one);
    }
    u128::from(one) << 64 | u128::from(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(first: Position, version: u64) -> StreamRow {
        StreamRow { first, head: StreamHead { version, event_id: Uuid::from_u128(u128::from(version)) } }
    }

    #[test]
    fn the_sums_after_a_run_are_those_of_the_rows_that_are_then_there() {
        let key = |n: u128| n << 120 | n;
        let mut sums = Sums::default();
        let changes = Changes {
            streams: (0..40).map(|n| (key(n), None, of_stream(key(n), &row(7, 1)))).collect(),
            commands: vec![(key(9), of_command(Uuid::from_u128(key(9)), 3))],
        };
        let whole = sums.whole().after(&changes, 40);
        sums.apply(&changes, 40);
        assert_eq!(whole, sums.whole());
        let moved = Changes {
            streams: vec![(key(3), Some(of_stream(key(3), &row(7, 1))), of_stream(key(3), &row(7, 2)))],
            commands: vec![],
        };
        sums.apply(&moved, 41);
        let mut wanted = Table::default();
        for n in 0..40 {
            wanted.add(key(n), of_stream(key(n), &row(7, if n == 3 { 2 } else { 1 })));
        }
        assert_eq!(sums.streams.whole(), wanted.whole());
        assert!((0..40).all(|n| sums.streams.range(key(n)) == wanted.range(key(n))));
    }

    #[test]
    fn a_row_that_differs_in_anything_has_another_hash() {
        let base = of_stream(1, &row(7, 3));
        let other = StreamRow { head: StreamHead { version: 3, event_id: Uuid::from_u128(4) }, ..row(7, 3) };
        for changed in
            [of_stream(2, &row(7, 3)), of_stream(1, &row(8, 3)), of_stream(1, &row(7, 4)), of_stream(1, &other)]
        {
            assert_ne!(base, changed);
        }
        assert_ne!(of_command(Uuid::from_u128(1), 2), of_command(Uuid::from_u128(2), 1));
    }

    #[test]
    fn a_range_holds_its_own_keys() {
        for table in [0, 3_000_000, u64::MAX].map(Table::for_rows) {
            for key in [0, 1, u128::MAX, u128::MAX / 3, 1 << 114, (1 << 114) - 1] {
                let (low, high) = table.bounds(key);
                assert!(low <= key && key <= high && table.place(low) == table.place(high));
                assert!(low == 0 || table.place(low - 1) != table.place(low));
            }
        }
    }

    #[test]
    fn a_range_has_about_as_many_rows_however_many_there_are() {
        for rows in [0, 1_000_000, 5_000_000, 60_000_000] {
            let in_range = rows / Table::for_rows(rows).ranges.len() as u64;
            assert!(in_range <= 2 * FULL, "{rows}: {in_range}");
        }
        assert_eq!(Table::for_rows(u64::MAX).ranges.len(), 1 << BITS.1, "memory is bounded");
    }
}
