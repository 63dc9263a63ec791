//! Records that are durable in the log and not yet in the index, in memory. Records enter only after their commit is
//! synced, and leave only after the index has committed them: so a look-up here and then in the index misses nothing.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::heads::{IdMap, KeyMap, StreamHead};
use crate::record::{Position, Version};

/// A stream's entry for one record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) key: u128,
    pub(super) version: Version,
    pub(super) event_id: Uuid,
}

/// A part of the tail on its way into the index.
#[derive(Default)]
pub(super) struct Run {
    /// The position of the first entry.
    pub(super) first: Position,
    pub(super) entries: Vec<Entry>,
    /// The commands whose first record is in the run, with its position.
    pub(super) commands: Vec<(Uuid, Position)>,
}

impl Run {
    /// The position of the last entry.
    pub(super) fn last(&self) -> Position {
        self.first + self.entries.len() as u64 - 1
    }
}

/// What the indexer is to do next.
pub(super) enum Work {
    Run(Run),
    /// Nothing arrived for a while: time for work that is not urgent.
    Idle,
    Stop,
}

struct Link {
    entry: Entry,
    /// The position of the stream's entry before, 0 if that is not in the tail.
    before: Position,
}

struct State {
    /// The position of the first link.
    first: Position,
    links: VecDeque<Link>,
    last: KeyMap<Position>,
    commands: IdMap<Position>,
    order: VecDeque<(Uuid, Position)>,
    indexer_sleeps: bool,
    stop: bool,
}

pub(super) struct Tail {
    state: Mutex<State>,
    grown: Condvar,
    shrunk: Condvar,
    run: usize,
    idle: Duration,
}

/// The longest that an entry waits for company in its run.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much is copied or dropped before others may have the lock.
const CHUNK: usize = 2_048;

impl Tail {
    /// A tail that begins after `indexed_to`.
    pub(super) fn new(indexed_to: Position, run: usize, idle: Duration) -> Self {
        let state = State {
            first: indexed_to + 1,
            links: VecDeque::new(),
            last: KeyMap::default(),
            commands: IdMap::default(),
            order: VecDeque::new(),
            indexer_sleeps: false,
            stop: false,
        };
        Self { state: Mutex::new(state), grown: Condvar::new(), shrunk: Condvar::new(), run: run.max(1), idle }
    }

    /// Adds what has become durable: entries for the positions that follow, and the commands that begin among them.
    pub(super) fn publish(&self, entries: impl IntoIterator<Item = Entry>, commands: &[(Uuid, Position)]) {
        let mut state = self.lock();
        let empty = state.links.is_empty();
        for entry in entries {
            let position = state.first + state.links.len() as u64;
            let before = state.last.insert(entry.key, position).unwrap_or(0);
            state.links.push_back(Link { entry, before });
        }
        for &(id, position) in commands {
            state.commands.insert(id, position);
            state.order.push_back((id, position));
        }
        // A waiting indexer wakes by itself after a short while; only a full run is worth a wake-up.
        let wake = state.indexer_sleeps && (state.links.len() >= self.run || empty);
        drop(state);
        if wake {
            self.grown.notify_one();
        }
    }

    /// The last event of a stream, if it is in the tail.
    pub(super) fn head(&self, key: u128) -> Option<StreamHead> {
        let state = self.lock();
        let link = state.link(*state.last.get(&key)?)?;
        Some(StreamHead { version: link.entry.version, event_id: link.entry.event_id })
    }

    /// The versions of a stream that are in the tail, with their positions, from old to new.
    pub(super) fn stream(&self, key: u128) -> Vec<(Version, Position)> {
        let state = self.lock();
        let mut found = Vec::new();
        let mut position = state.last.get(&key).copied().unwrap_or(0);
        while let Some(link) = state.link(position) {
            found.push((link.entry.version, position));
            position = link.before;
        }
        found.reverse();
        found
    }

    /// The position of a command's first record, if it is in the tail.
    pub(super) fn command(&self, id: Uuid) -> Option<Position> {
        self.lock().commands.get(&id).copied()
    }

    /// How many entries wait for the index.
    pub(super) fn len(&self) -> usize {
        self.lock().links.len()
    }

    /// The last position that the index has.
    pub(super) fn indexed_to(&self) -> Position {
        self.lock().first - 1
    }

    /// Waits until at most `most` entries are in the tail, or the indexer is being stopped.
    pub(super) fn wait_for_room(&self, most: usize) {
        let mut state = self.lock();
        while state.links.len() > most && !state.stop {
            state = self.shrunk.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until the index has everything up to `position`, at most for `limit`.
    pub(super) fn wait_indexed(&self, position: Position, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut state = self.lock();
        while state.first <= position && !state.stop {
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                return false;
            };
            state = self.shrunk.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.first > position
    }

    /// Waits for work: a full run, a shorter one after a quiet moment, or the end.
    pub(super) fn next(&self) -> Work {
        let mut state = self.lock();
        let mut waited = Duration::ZERO;
        let mut seen = state.links.len();
        loop {
            if state.links.len() >= self.run || (state.stop && !state.links.is_empty()) {
                break;
            }
            if state.stop {
                return Work::Stop;
            }
            state.indexer_sleeps = true;
            let (guard, timeout) = self.grown.wait_timeout(state, self.idle).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.indexer_sleeps = false;
            if !timeout.timed_out() {
                continue;
            }
            waited += self.idle;
            if state.links.is_empty() {
                return Work::Idle;
            }
            if state.links.len() == seen || waited >= PATIENCE {
                break;
            }
            seen = state.links.len();
        }
        Work::Run(self.copy(state))
    }

    /// Copies the oldest run. Only the indexer removes entries, so the copied parts are consistent.
    fn copy<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Run {
        let length = state.links.len().min(self.run);
        let mut run = Run { first: state.first, entries: Vec::with_capacity(length), commands: Vec::new() };
        while run.entries.len() < length {
            let from = run.entries.len();
            let to = length.min(from + CHUNK);
            run.entries.extend(state.links.range(from..to).map(|link| link.entry));
            drop(state);
            state = self.lock();
        }
        let last = run.last();
        let begun = state.order.partition_point(|&(_, first)| first <= last);
        run.commands.extend(state.order.range(..begun));
        run
    }

    /// Drops what the index has committed.
    pub(super) fn trim(&self, to: Position) {
        let mut state = self.lock();
        while state.first <= to {
            for _ in 0..CHUNK {
                if state.first > to {
                    break;
                }
                let position = state.first;
                let Some(link) = state.links.pop_front() else {
                    break;
                };
                state.first += 1;
                if state.last.get(&link.entry.key) == Some(&position) {
                    state.last.remove(&link.entry.key);
                }
                if state.order.front().is_some_and(|&(_, first)| first == position)
                    && let Some((id, _)) = state.order.pop_front()
                {
                    state.commands.remove(&id);
                }
            }
            drop(state);
            self.shrunk.notify_all();
            state = self.lock();
        }
    }

    /// The indexer writes the remaining entries and ends.
    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.grown.notify_all();
        self.shrunk.notify_all();
    }

    pub(super) fn stopping(&self) -> bool {
        self.lock().stop
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn link(&self, position: Position) -> Option<&Link> {
        let index = position.checked_sub(self.first)?;
        self.links.get(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: u128, version: Version) -> Entry {
        Entry { key, version, event_id: Uuid::from_u128(u128::from(version)) }
    }

    #[test]
    fn a_stream_is_found_across_groups_and_after_trimming() {
        let tail = Tail::new(10, 2, Duration::from_millis(1));
        let id = Uuid::from_u128(9);
        tail.publish([entry(1, 4), entry(2, 1)], &[(id, 11)]);
        tail.publish([entry(1, 5)], &[]);
        assert_eq!(tail.stream(1), [(4, 11), (5, 13)]);
        assert_eq!(tail.command(id), Some(11));
        let Work::Run(run) = tail.next() else { panic!("a full run waits") };
        assert_eq!((run.first, run.last(), run.commands.len()), (11, 12, 1));
        tail.trim(12);
        assert_eq!(tail.stream(1), [(5, 13)]);
        assert_eq!((tail.stream(2), tail.command(id), tail.indexed_to()), (vec![], None, 12));
        assert_eq!(tail.head(1).map(|head| head.version), Some(5));
    }
}
