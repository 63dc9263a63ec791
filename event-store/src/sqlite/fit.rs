//! Opens the index, checks it by its checksums, and rebuilds it from the log if it is damaged. It is a cache: damage of
//! the index never keeps the store from opening.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use rusqlite::Connection;
use uuid::Uuid;

use super::filter::Layer;
use super::index::{self, IndexError, Indexed};
use super::open::OpenError;
use super::options::{Options, Progress};
use super::rows::Names;
use super::sums::{self, Sum, Sums, Table};
use super::tail::{Entry, Run};
use super::{index_state, rows, schema};
use crate::heads::{Heads, key_of};
use crate::record::{Position, StreamId};
use crate::store::Error;

/// Records read at once while the index is made: large runs touch each page of the index fewer times.
const REBUILD_RUN: u64 = 262_144;
/// Every key there is.
const ALL: (u128, u128) = (0, u128::MAX);

/// A checked index, and the data gathered while reading it.
pub(super) struct Fitted {
    pub(super) index: Connection,
    pub(super) sums: Sums,
    pub(super) heads: Heads,
    pub(super) streams: Layer,
    pub(super) commands: Layer,
}

/// Why an index does not fit.
pub(super) enum Misfit {
    /// It is of another log, or of another end of this one.
    Foreign,
    Index(IndexError),
    /// The log itself is damaged or cannot be read.
    Log(Error),
}

impl From<Misfit> for OpenError {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::Foreign => Self::Damaged("a new index does not fit the log".into()),
            Misfit::Index(IndexError::Sqlite(error)) => Self::Sqlite(error),
            Misfit::Index(other) => Self::Damaged(other.to_string()),
            Misfit::Log(error @ Error::Damaged { .. }) => Self::Damaged(error.to_string()),
            Misfit::Log(other) => Self::Io(io::Error::other(other)),
        }
    }
}

impl Misfit {
    /// Whether the file is unusable, in contrast to unavailable for the moment.
    fn is_damage(&self) -> bool {
        matches!(self, Self::Index(error) if error.is_damage())
    }
}

impl From<IndexError> for Misfit {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

impl From<rusqlite::Error> for Misfit {
    fn from(error: rusqlite::Error) -> Self {
        Self::Index(error.into())
    }
}

/// Opens the index and extends it nearly to the log's end; rebuilds it if it is unusable.
pub(super) fn fit(options: &Options, log: &Connection, incarnation: Uuid, end: Position) -> Result<Fitted, OpenError> {
    let path = options.dir.join(schema::INDEX_FILE);
    match try_fit(options, log, incarnation, end) {
        Ok(fitted) => return Ok(fitted),
        Err(misfit @ Misfit::Log(_)) => return Err(misfit.into()),
        Err(misfit @ Misfit::Index(_)) if !misfit.is_damage() => return Err(misfit.into()),
        Err(Misfit::Foreign) => {
            tracing::warn!(
                index = %path.display(),
                "the index belongs to another log; it is rebuilt from this one, nothing to do"
            );
            remove(&path)?;
        }
        Err(Misfit::Index(error)) => {
            metrics::counter!("daybook_store_index_damaged_total").increment(1);
            let aside = set_aside(&path)?;
            tracing::error!(
                %error,
                index = %path.display(),
                aside = %aside.display(),
                "the index of the log is damaged; it was set aside and is rebuilt from the log, check the disk"
            );
        }
    }
    Ok(try_fit(options, log, incarnation, end)?)
}

fn try_fit(options: &Options, log: &Connection, incarnation: Uuid, end: Position) -> Result<Fitted, Misfit> {
    let index = open_index(options, incarnation)?;
    let indexed = index::indexed(&index)?;
    if indexed.incarnation != incarnation || !is_of(log, &indexed, end)? {
        return Err(Misfit::Foreign);
    }
    let fitted = read(options, index, &indexed)?;
    let least = options.run as u64;
    if end - indexed.position <= least {
        return Ok(fitted);
    }
    let Fitted { index, mut sums, .. } = fitted;
    let growth = Growth { options, log, index: &index, fresh: sums.position == 0 };
    while end - sums.position > least {
        let to = end.min(sums.position + REBUILD_RUN);
        growth.extend(&mut sums, to)?;
        if let Some(progress) = &options.progress {
            progress(Progress { indexed_to: sums.position, head: end });
        }
    }
    let indexed = index::indexed(&index)?;
    read(options, index, &indexed)
}

/// Whether an index belongs to this log. A log that was restored from an older copy is a different log after the copy's
/// end: the hash shows this, a position would not. If the record there is missing or changed, the next record still
/// contains its hash.
fn is_of(log: &Connection, indexed: &Indexed, end: Position) -> Result<bool, Misfit> {
    let at = indexed.position;
    if at > end {
        return Ok(false);
    }
    if rows::hash_at(log, at).map_err(|error| Misfit::Log(rows::log_error(at, error)))? == Some(indexed.hash) {
        return Ok(true);
    }
    let mut names = Names::default();
    let there = rows::proved_at(log, &mut names, at).and_then(|record| record.ok_or_else(|| Error::hole(at)));
    match there {
        Ok(_) => Ok(false),
        Err(damage) => {
            if at < end && rows::follows(log, &mut names, at + 1, &indexed.hash).map_err(Misfit::Log)? {
                return Ok(true);
            }
            Err(Misfit::Log(damage))
        }
    }
}

/// Replaces a damaged index with a new one, up to a position, while the store is running. If the log has gaps, no index
/// can be built, and the damaged one stays in place.
pub(super) fn make_again(
    options: &Options,
    log: &Connection,
    incarnation: Uuid,
    to: Position,
) -> Result<(Connection, Sums), Misfit> {
    rows::every_position(log, to).map_err(Misfit::Log)?;
    let path = options.dir.join(schema::INDEX_FILE);
    let aside = set_aside(&path).map_err(|error| Misfit::Index(IndexError::Io(error)))?;
    tracing::warn!(
        aside = %aside.display(),
        "the damaged index was set aside; a new one is being built from the log, check the disk"
    );
    let made = fill(options, log, incarnation, to);
    if made.is_err() {
        // Half an index, which the next attempt must not find, nor put in place of the one that was set aside.
        remove(&path).map_err(|error| Misfit::Index(IndexError::Io(error)))?;
    }
    made
}

fn fill(options: &Options, log: &Connection, incarnation: Uuid, to: Position) -> Result<(Connection, Sums), Misfit> {
    let index = open_index(options, incarnation)?;
    let mut sums = Sums { streams: Table::for_rows(to), commands: Table::for_rows(to), ..Sums::default() };
    let growth = Growth { options, log, index: &index, fresh: true };
    while sums.position < to {
        let until = to.min(sums.position + REBUILD_RUN);
        growth.extend(&mut sums, until)?;
    }
    Ok((index, sums))
}

fn open_index(options: &Options, incarnation: Uuid) -> Result<Connection, Misfit> {
    schema::open_index(&options.dir, incarnation).map_err(|error| match error {
        OpenError::Sqlite(error) => Misfit::Index(error.into()),
        OpenError::Io(error) => Misfit::Index(IndexError::Io(error)),
        other => Misfit::Index(IndexError::Wrong(other.to_string())),
    })
}

/// An index that follows the log.
struct Growth<'a> {
    options: &'a Options,
    log: &'a Connection,
    index: &'a Connection,
    /// The index was just built from the log: any mismatch is damage of the log.
    fresh: bool,
}

impl Growth<'_> {
    /// Indexes what follows in the log, up to a position.
    fn extend(&self, sums: &mut Sums, to: Position) -> Result<(), Misfit> {
        let Self { options, log, index, fresh } = *self;
        let from = sums.position;
        let run = read_run(log, from, to).map_err(Misfit::Log)?;
        let hash = rows::hash_at(log, to).map_err(|error| Misfit::Log(rows::log_error(to, error)))?;
        let hash = hash.ok_or_else(|| Misfit::Log(Error::hole(to)))?;
        let changes = index::write_run(index, run, &hash, sums.whole(), options).map_err(|error| {
            if !error.is_misfit() {
                return Misfit::Index(error);
            }
            match rows::prove(log, from, to) {
                Err(damage) => Misfit::Log(damage),
                Ok(()) if fresh => Misfit::Log(Error::Damaged { position: from + 1, what: error.to_string() }),
                Ok(()) => Misfit::Index(error),
            }
        })?;
        sums.apply(&changes, to);
        Ok(())
    }
}

/// Reads the index wholly: it must come to the sums that were written with it.
fn read(options: &Options, index: Connection, indexed: &Indexed) -> Result<Fitted, Misfit> {
    let rows = |sum: Sum| usize::try_from(sum.rows).unwrap_or(usize::MAX);
    // A number of rows that no file can hold is not believed before they have been counted.
    let room = |sum: Sum| {
        Layer::new(rows(sum).clamp(1_024, usize::try_from(indexed.position).unwrap_or(usize::MAX).max(1_024)))
    };
    // Half of the room is left for streams to come, so that the old ones are not forgotten at once.
    let complete = rows(indexed.streams) <= options.heads / 2;
    let mut heads = Heads::new(options.heads, complete);
    // Nor here: there are at most as many rows as records. Half of the space is left for new records.
    let table = |sum: Sum| Table::for_rows(sum.rows.min(indexed.position).saturating_mul(2));
    let (mut streams, mut commands) = (table(indexed.streams), table(indexed.commands));
    let (mut stream_keys, mut command_keys) = (room(indexed.streams), room(indexed.commands));
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            let index = index_state::open(&options.dir)?;
            index::each_command(&index, ALL, |id, first| {
                commands.add(id.as_u128(), sums::of_command(id, first));
                command_keys.insert(id.as_u128());
            })?;
            Ok::<_, IndexError>(())
        });
        let read = index::each_stream(&index, ALL, |key, row| {
            streams.add(key, sums::of_stream(key, &row));
            stream_keys.insert(key);
            if complete {
                heads.keep(key, row.head);
            }
        });
        let other = other.join().unwrap_or_else(|_| IndexError::wrong("its commands cannot be read"));
        read.map_err(IndexError::from).and(other)
    })?;
    if (streams.whole(), commands.whole()) != (indexed.streams, indexed.commands) {
        return Err(Misfit::Index(IndexError::Wrong("its rows are not those that were written".into())));
    }
    let sums = Sums { position: indexed.position, streams, commands };
    Ok(Fitted { index, sums, heads, streams: stream_keys, commands: command_keys })
}

/// Whether an index that is read beside its writer comes to the sums that were written with it.
pub(super) fn is_whole(index: &Connection) -> rusqlite::Result<bool> {
    index.execute_batch("BEGIN")?;
    let whole = || {
        let indexed = index::indexed(index)?;
        let (mut streams, mut commands) = (Sum::default(), Sum::default());
        index::each_stream(index, ALL, |key, row| streams.add(sums::of_stream(key, &row)))?;
        index::each_command(index, ALL, |id, first| commands.add(sums::of_command(id, first)))?;
        Ok((streams, commands) == (indexed.streams, indexed.commands))
    };
    let answer = whole();
    index.execute_batch("COMMIT")?;
    answer
}

/// What the index needs of the records after `after`, up to `to`.
///
/// # Errors
/// [`Error::Damaged`] at a position that has no record.
pub(super) fn read_run(log: &Connection, after: Position, to: Position) -> Result<Run, Error> {
    let mut run = Run { first: after + 1, ..Run::default() };
    let at = |run: &Run| run.first + run.entries.len() as u64;
    let sql = "SELECT position, tenant, category, stream_id, version, event_id, command_id, fingerprint IS NOT NULL \
               FROM log WHERE position > ?1 AND position <= ?2 ORDER BY position";
    let mut statement = log.prepare(sql).map_err(rows::read_error)?;
    let mut found = statement.query([after, to]).map_err(rows::read_error)?;
    while let Some(row) = found.next().map_err(|error| rows::log_error(at(&run), error))? {
        let position = at(&run);
        if row.get::<_, Position>(0).map_err(rows::read_error)? != position {
            return Err(Error::hole(position));
        }
        let taken = take(row, position, &mut run);
        taken.map_err(|error| Error::Damaged { position, what: format!("the row there is not a record: {error}") })?;
    }
    if at(&run) <= to { Err(Error::hole(at(&run))) } else { Ok(run) }
}

fn take(row: &rusqlite::Row<'_>, position: Position, run: &mut Run) -> rusqlite::Result<()> {
    let part = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
    let key = key_of(&StreamId::new(part(1)?, part(2)?, part(3)?));
    let event_id = index::uuid(row.get_ref(5)?.as_blob()?);
    let entry = Entry { key, version: row.get(4)?, event_id };
    if row.get(7)? {
        run.commands.push((index::uuid(row.get_ref(6)?.as_blob()?), position));
    }
    run.entries.push(entry);
    Ok(())
}

/// Moves an unusable database file out of the way, replacing one that was moved before; returns its new place. If there
/// is no file, the one that was moved before stays.
///
/// # Errors
/// If the folder does not allow the renaming.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let with = |path: &Path, suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = with(path, ".damaged");
    if !path.try_exists()? {
        return Ok(aside);
    }
    for suffix in ["", "-wal"] {
        absent(fs::remove_file(with(&aside, suffix)))?;
        absent(fs::rename(with(path, suffix), with(&aside, suffix)))?;
    }
    absent(fs::remove_file(with(path, "-shm")))?;
    Ok(aside)
}

fn remove(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        absent(fs::remove_file(name))?;
    }
    Ok(())
}

/// That a file is not there is no failure.
fn absent(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
