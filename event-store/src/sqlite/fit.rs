//! The index made to fit the log: opened, proved by its sums, and made again from the log where it is not what was written. It is a
//! cache: nothing that is wrong with it keeps the store from opening.

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
use super::sums::{self, Sum, Sums, Table};
use super::tail::{Entry, Run};
use super::{rows, schema};
use crate::hash::Hash;
use crate::heads::{Heads, key_of};
use crate::record::{Position, StreamId};

/// Records read at once while the index is made: large runs touch each page of the index fewer times.
const REBUILD_RUN: u64 = 262_144;
/// Every key there is.
const ALL: (u128, u128) = (0, u128::MAX);

/// An index that has been proved, and what was learnt from reading it.
pub(super) struct Fitted {
    pub(super) index: Connection,
    pub(super) sums: Sums,
    pub(super) heads: Heads,
    pub(super) streams: Layer,
    pub(super) commands: Layer,
}

/// Why an index does not fit.
enum Misfit {
    /// It is of another log, or of another end of this one.
    Foreign,
    Index(IndexError),
    Log(OpenError),
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

/// Opens the index and brings it nearly up to the log's end; makes it again where it cannot be used.
pub(super) fn fit(options: &Options, log: &Connection, incarnation: Uuid, end: Position) -> Result<Fitted, OpenError> {
    let path = options.dir.join(schema::INDEX_FILE);
    match try_fit(options, log, incarnation, end) {
        Ok(fitted) => return Ok(fitted),
        Err(Misfit::Log(error)) => return Err(error),
        Err(Misfit::Foreign) => {
            tracing::warn!(index = %path.display(), "the index is not of this log, and is made again from it");
            remove(&path)?;
        }
        Err(Misfit::Index(error)) => {
            metrics::counter!("daybook_store_index_damaged_total").increment(1);
            let aside = set_aside(&path)?;
            tracing::error!(
                %error,
                index = %path.display(),
                aside = %aside.display(),
                "the index of the log is damaged; it was set aside and is made again from the log, nothing is lost"
            );
        }
    }
    try_fit(options, log, incarnation, end).map_err(|misfit| match misfit {
        Misfit::Log(error) => error,
        Misfit::Foreign => OpenError::Damaged("a new index does not fit the log".into()),
        Misfit::Index(IndexError::Sqlite(error)) => OpenError::Sqlite(error),
        Misfit::Index(other) => OpenError::Damaged(other.to_string()),
    })
}

fn try_fit(options: &Options, log: &Connection, incarnation: Uuid, end: Position) -> Result<Fitted, Misfit> {
    let index = schema::open_index(&options.dir, incarnation).map_err(|error| match error {
        OpenError::Sqlite(error) => Misfit::Index(error.into()),
        other => Misfit::Index(IndexError::Wrong(other.to_string())),
    })?;
    let indexed = index::indexed(&index)?;
    // A log restored from an older copy is another log from there on: the hash tells, where a position would not.
    if indexed.incarnation != incarnation || hash_at(log, indexed.position)? != Some(indexed.hash) {
        return Err(Misfit::Foreign);
    }
    let fitted = read(options, index, &indexed)?;
    let least = options.run as u64;
    if end - indexed.position <= least {
        return Ok(fitted);
    }
    let Fitted { index, mut sums, .. } = fitted;
    while end - sums.position > least {
        let to = end.min(sums.position + REBUILD_RUN);
        extend(options, log, &index, &mut sums, to)?;
        if let Some(progress) = &options.progress {
            progress(Progress { indexed_to: sums.position, head: end });
        }
    }
    let indexed = index::indexed(&index)?;
    read(options, index, &indexed)
}

/// A new index in place of a damaged one, up to a position, while the store is at work.
pub(super) fn make_again(
    options: &Options,
    log: &Connection,
    incarnation: Uuid,
    to: Position,
) -> Result<(Connection, Sums), OpenError> {
    let path = options.dir.join(schema::INDEX_FILE);
    let aside = set_aside(&path)?;
    tracing::warn!(aside = %aside.display(), "the damaged index was set aside; a new one is made from the log");
    let index = schema::open_index(&options.dir, incarnation)?;
    let mut sums = Sums::default();
    while sums.position < to {
        let until = to.min(sums.position + REBUILD_RUN);
        extend(options, log, &index, &mut sums, until).map_err(|misfit| match misfit {
            Misfit::Log(error) => error,
            Misfit::Index(IndexError::Sqlite(error)) => OpenError::Sqlite(error),
            Misfit::Index(other) => OpenError::Damaged(other.to_string()),
            Misfit::Foreign => OpenError::Damaged("the new index does not fit the log".into()),
        })?;
    }
    Ok((index, sums))
}

/// Indexes what follows in the log, up to a position.
fn extend(
    options: &Options,
    log: &Connection,
    index: &Connection,
    sums: &mut Sums,
    to: Position,
) -> Result<(), Misfit> {
    let run = read_run(log, sums.position, to).map_err(Misfit::Log)?;
    let last = run.last();
    let hash = hash_at(log, last)?.ok_or_else(|| Misfit::Log(OpenError::Damaged(format!("no record at {last}"))))?;
    let from_the_start = sums.position == 0;
    let changes = index::write_run(index, run, &hash, sums.whole(), options).map_err(|error| match error {
        // An index that holds nothing yet cannot be wrong.
        IndexError::Wrong(what) if from_the_start => Misfit::Log(OpenError::Damaged(what)),
        error => Misfit::Index(error),
    })?;
    sums.apply(&changes, last);
    Ok(())
}

fn hash_at(log: &Connection, position: Position) -> Result<Option<Hash>, Misfit> {
    rows::hash_at(log, position).map_err(|error| Misfit::Log(error.into()))
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
    let (mut streams, mut commands) = (Table::default(), Table::default());
    let (mut stream_keys, mut command_keys) = (room(indexed.streams), room(indexed.commands));
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            let index = schema::read_index(&options.dir).map_err(|error| IndexError::Wrong(error.to_string()))?;
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
pub(super) fn read_run(log: &Connection, after: Position, to: Position) -> Result<Run, OpenError> {
    let mut run = Run { first: after + 1, ..Run::default() };
    let sql = "SELECT position, tenant, category, stream_id, version, event_id, command_id, fingerprint IS NOT NULL \
               FROM log WHERE position > ?1 AND position <= ?2 ORDER BY position";
    let mut statement = log.prepare(sql)?;
    let mut rows = statement.query([after, to])?;
    while let Some(row) = rows.next()? {
        let position: Position = row.get(0)?;
        if position != run.first + run.entries.len() as u64 {
            return Err(OpenError::Damaged(format!("there is no record at position {}", position - 1)));
        }
        let part = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
        let key = key_of(&StreamId::new(part(1)?, part(2)?, part(3)?));
        let event_id = index::uuid(row.get_ref(5)?.as_blob().map_err(rusqlite::Error::from)?);
        run.entries.push(Entry { key, version: row.get(4)?, event_id });
        if row.get(7)? {
            let id = index::uuid(row.get_ref(6)?.as_blob().map_err(rusqlite::Error::from)?);
            run.commands.push((id, position));
        }
    }
    Ok(run)
}

/// Moves a database that is of no more use out of the way, in place of one that was moved before; answers where it is now.
///
/// # Errors
/// If the folder does not let it be renamed.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let with = |path: &Path, suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = with(path, ".damaged");
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
