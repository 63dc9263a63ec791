//! The newest records of the log, in memory: every follower of the process reads them here first, and only what is older, or was never
//! seen here, from the database. They are put in after they are durable and before the head shows them, so that a page is what the
//! database would answer.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::record::{Position, Record};
use crate::store::{Filter, Page};

/// The most records that one page looks at: a filter that wants little must hold nothing up for the whole log.
pub(crate) const MOST_SEEN: usize = 16_384;
/// The most bytes of one page; a batch that passes it is finished.
pub(crate) const MOST_BYTES: usize = 16 * 1024 * 1024;
/// What a process keeps unless its options say otherwise: some seconds of a busy log.
pub(crate) const DEFAULT_BYTES: usize = 16 * 1024 * 1024;
/// What a record takes beside its payload and metadata, about.
const RECORD_BYTES: usize = 400;

/// Whole batches that follow each other.
type Run = Arc<[Record]>;

/// The newest records, bounded by bytes.
pub(crate) struct Recent {
    most: usize,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    /// By the position of their first record. Between two of them records may be missing that another process wrote.
    runs: BTreeMap<Position, Run>,
    bytes: usize,
}

/// What is here of a page.
#[derive(Debug)]
pub(crate) enum Found {
    /// All of it.
    Page(Page),
    /// It is not full at this position, and what follows is not here.
    UpTo(Position),
}

/// Runs that newer ones displaced. Dropping them takes time, which need not be the writer's.
#[derive(Default)]
pub(crate) struct Evicted(#[expect(dead_code, reason = "only dropped")] Vec<Run>);

impl Recent {
    /// Keeps about `most` bytes; with 0 it keeps nothing.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, state: RwLock::default() }
    }

    /// Puts in whole batches that are durable and follow each other. What is there already, and what does not fit, changes nothing.
    pub(crate) fn put(&self, records: Vec<Record>) -> Evicted {
        let Some(first) = records.first().map(|record| record.position) else {
            return Evicted::default();
        };
        let bytes = weight(&records);
        if bytes > self.most {
            return Evicted::default();
        }
        let mut state = self.write();
        // Two readers may have read the same, and each page ends somewhere else.
        let known = state.run_at(first).map_or(0, |run| (last(run) + 1 - first) as usize);
        let next = state.runs.range(first..).next().map(|(next, _)| (*next - first) as usize);
        let fresh = known..next.unwrap_or(records.len()).min(records.len());
        if fresh.is_empty() {
            return Evicted::default();
        }
        let run: Run = if fresh.len() == records.len() { records.into() } else { records[fresh].into() };
        state.bytes += weight(&run);
        state.runs.insert(run[0].position, run);
        let mut evicted = Vec::new();
        while state.bytes > self.most
            && let Some((_, oldest)) = state.runs.pop_first()
        {
            state.bytes -= weight(&oldest);
            evicted.push(oldest);
        }
        Evicted(evicted)
    }

    /// A page of the log after `after`, up to `head`, as the database would read it.
    pub(crate) fn page(&self, after: Position, filter: &Filter, limit: usize, head: Position) -> Found {
        let state = self.read();
        let mut page = Page { records: Vec::new(), next: after, head };
        let (mut seen, mut bytes, mut batch) = (0, 0, None);
        while page.next < head
            && let Some(run) = state.run_at(page.next + 1)
        {
            for record in &run[(page.next + 1 - run[0].position) as usize..] {
                if batch != Some(record.command_id) {
                    let full = page.records.len() >= limit || seen >= MOST_SEEN || bytes >= MOST_BYTES;
                    if full || record.position > head {
                        return Found::Page(page);
                    }
                    batch = Some(record.command_id);
                }
                if filter.wants(record) {
                    bytes += record.data.len() + record.metadata.len();
                    page.records.push(record.clone());
                }
                page.next = record.position;
                seen += 1;
            }
        }
        if page.next < head { Found::UpTo(page.next) } else { Found::Page(page) }
    }

    /// Whether the record at a position is here.
    pub(crate) fn has(&self, position: Position) -> bool {
        self.read().run_at(position).is_some()
    }

    /// Shows nothing any more: the store is closed.
    pub(crate) fn close(&self) {
        *self.write() = State::default();
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The run that has the record at a position.
    fn run_at(&self, position: Position) -> Option<&Run> {
        let (_, run) = self.runs.range(..=position).next_back()?;
        (position <= last(run)).then_some(run)
    }
}

fn last(run: &Run) -> Position {
    run.last().map_or(0, |record| record.position)
}

fn weight(records: &[Record]) -> usize {
    let records = records.iter();
    records.map(|record| RECORD_BYTES + record.data.len() + record.metadata.len()).sum()
}

#[cfg(test)]
mod tests;
