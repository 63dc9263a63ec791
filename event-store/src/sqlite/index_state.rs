//! The shared state of the index: its expected checksums, and whether it is being rebuilt. Once a look-up shows damage,
//! no more look-ups are answered until the indexer has rebuilt the index from the log.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use uuid::Uuid;

use super::index::{self, IndexError};
use super::schema;
use super::sums::{self, Changes, StreamRow, Sum, Sums, Table, Whole};
use crate::record::Position;
use crate::store::Error;

/// How long a look-up waits for the sums of the state that it looks at: between a run's commit and its sums is less than a moment.
const PATIENCE: Duration = Duration::from_secs(5);
const MOMENT: Duration = Duration::from_micros(200);

/// What the threads share of the index.
pub(super) struct IndexState {
    sums: Mutex<Sums>,
    /// Increases with each rebuild of the file: connections to the file before are unusable.
    generation: AtomicU64,
    fault: Mutex<Option<String>>,
    /// Why runs cannot be written, while they cannot.
    unwritable: Mutex<Option<String>>,
    /// Damage of the log that prevents a rebuild.
    stuck: Mutex<Option<Error>>,
}

impl IndexState {
    pub(super) fn new(sums: Sums) -> Self {
        Self {
            sums: Mutex::new(sums),
            generation: AtomicU64::new(0),
            fault: Mutex::default(),
            unwritable: Mutex::default(),
            stuck: Mutex::default(),
        }
    }

    /// Why the index is being rebuilt, if it is.
    pub(super) fn fault(&self) -> Option<String> {
        lock(&self.fault).clone()
    }

    /// The index of a generation is damaged: no more look-ups are answered from it.
    pub(super) fn give_up(&self, generation: u64, why: &str) {
        let mut fault = lock(&self.fault);
        if fault.is_none() && self.generation.load(Ordering::Acquire) == generation {
            tracing::error!(
                reason = why,
                "the index of the log is damaged and is being rebuilt; requests that need it are answered 503 until \
                 then, check the disk"
            );
            metrics::counter!("daybook_store_index_damaged_total").increment(1);
            *fault = Some(why.to_owned());
        }
    }

    /// A new index has taken the place of the damaged one.
    pub(super) fn replaced(&self, sums: Sums) {
        *lock(&self.sums) = sums;
        *lock(&self.unwritable) = None;
        *lock(&self.stuck) = None;
        let mut fault = lock(&self.fault);
        self.generation.fetch_add(1, Ordering::AcqRel);
        *fault = None;
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The sums before the next run. Only the indexer changes them, so to it they stay right.
    pub(super) fn whole(&self) -> Whole {
        lock(&self.sums).whole()
    }

    /// A run is in the index.
    pub(super) fn moved_on(&self, changes: &Changes, position: Position) {
        lock(&self.sums).apply(changes, position);
        *lock(&self.unwritable) = None;
    }

    /// Why runs cannot be written, if they cannot.
    pub(super) fn unwritable(&self) -> Option<String> {
        lock(&self.unwritable).clone()
    }

    pub(super) fn cannot_write(&self, why: String) {
        *lock(&self.unwritable) = Some(why);
    }

    /// No new index can be made, since the log is damaged.
    pub(super) fn stuck(&self, error: Error) {
        *lock(&self.stuck) = Some(error);
    }

    /// The error while the index is being rebuilt.
    fn no_answer(&self, why: &str) -> Error {
        let stuck = lock(&self.stuck).clone();
        stuck.unwrap_or_else(|| Error::Read(format!("the index is being rebuilt: {why}")))
    }

    /// The first and the last key of the range that a key is in.
    fn bounds(&self, of: fn(&Sums) -> &Table, key: u128) -> (u128, u128) {
        of(&lock(&self.sums)).bounds(key)
    }

    /// The sum of the range of a key at a position, if the range is still within these bounds.
    fn sum_at(
        &self,
        position: Position,
        of: fn(&Sums) -> &Table,
        key: u128,
        bounds: (u128, u128),
    ) -> Result<Sum, IndexError> {
        let sums = lock(&self.sums);
        let table = of(&sums);
        if sums.position == position && table.bounds(key) == bounds {
            Ok(table.range(key))
        } else {
            Err(IndexError::Moved)
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection for look-ups, opened on first use and again after a rebuild of the file.
#[derive(Default)]
pub(super) struct IndexReader(Option<(u64, Connection)>);

impl IndexReader {
    /// Reads one state of the index. Reports damage to the indexer.
    ///
    /// # Errors
    /// [`Error::Read`] if there is no answer now.
    pub(super) fn look<T>(
        &mut self,
        state: &IndexState,
        dir: &Path,
        look: impl Fn(&Look<'_>) -> Result<T, IndexError>,
    ) -> Result<T, Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(why) = state.fault() {
                return Err(state.no_answer(&why));
            }
            let generation = state.generation();
            match self.once(state, generation, dir, &look) {
                Ok(found) => return Ok(found),
                Err(IndexError::Moved) if Instant::now() < until => thread::sleep(MOMENT),
                Err(error) => {
                    // In the middle of a transaction, maybe: the next one is new.
                    self.0 = None;
                    let gone = !dir.join(schema::INDEX_FILE).exists();
                    if error.is_damage() || gone {
                        state.give_up(generation, &error.to_string());
                    }
                    return Err(Error::Read(format!("the index cannot be read: {error}")));
                }
            }
        }
    }

    fn once<T>(
        &mut self,
        state: &IndexState,
        generation: u64,
        dir: &Path,
        look: impl Fn(&Look<'_>) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        if self.0.as_ref().is_some_and(|(opened, _)| *opened != generation) {
            self.0 = None;
        }
        let index = match &mut self.0 {
            Some((_, index)) => index,
            none => &mut none.insert((generation, open(dir)?)).1,
        };
        index.execute_batch("BEGIN")?;
        let found = index::position(index)
            .map_err(IndexError::from)
            .and_then(|position| look(&Look { index, position, state: Some(state) }));
        index.execute_batch("COMMIT")?;
        found
    }
}

/// The index for reading. That it cannot be opened now is not that it is damaged.
pub(super) fn open(dir: &Path) -> Result<Connection, IndexError> {
    schema::read_index(dir).map_err(|error| match error {
        super::OpenError::Sqlite(error) => IndexError::Sqlite(error),
        super::OpenError::Io(error) => IndexError::Io(error),
        other => IndexError::Wrong(other.to_string()),
    })
}

/// One state of the index.
pub(super) struct Look<'a> {
    index: &'a Connection,
    position: Position,
    /// The expected checksums. None in a read-only process, which has checked the whole index.
    state: Option<&'a IndexState>,
}

impl<'a> Look<'a> {
    /// A state that has been proved as a whole.
    pub(super) fn proved(index: &'a Connection, position: Position) -> Self {
        Self { index, position, state: None }
    }

    pub(super) fn index(&self) -> &Connection {
        self.index
    }

    /// A stream's row. All rows of its range are checked, so a missing row was never written.
    pub(super) fn stream(&self, key: u128) -> Result<Option<StreamRow>, IndexError> {
        let Some(state) = self.state else {
            return Ok(index::stream_row(self.index, key)?);
        };
        let streams: fn(&Sums) -> &Table = |sums| &sums.streams;
        let bounds = state.bounds(streams, key);
        let (mut sum, mut found) = (Sum::default(), None);
        index::each_stream(self.index, bounds, |there, row| {
            sum.add(sums::of_stream(there, &row));
            if there == key {
                found = Some(row);
            }
        })?;
        if sum == state.sum_at(self.position, streams, key, bounds)? {
            return Ok(found);
        }
        IndexError::wrong("its rows of streams are not those that were written")
    }

    /// The position of a command's first record. A hit is proved by the record. A miss is proved by all rows of its
    /// range, unless `fresh` says that the command cannot exist (consecutive new ids fall into one range).
    pub(super) fn command(&self, id: Uuid, fresh: bool) -> Result<Option<Position>, IndexError> {
        let found = index::command(self.index, id)?;
        let Some(state) = self.state.filter(|_| found.is_none() && !fresh) else {
            return Ok(found);
        };
        let (commands, key): (fn(&Sums) -> &Table, _) = (|sums| &sums.commands, id.as_u128());
        let bounds = state.bounds(commands, key);
        let mut sum = Sum::default();
        index::each_command(self.index, bounds, |id, first| {
            sum.add(sums::of_command(id, first));
        })?;
        if sum == state.sum_at(self.position, commands, key, bounds)? {
            return Ok(None);
        }
        IndexError::wrong("its rows of commands are not those that were written")
    }
}
