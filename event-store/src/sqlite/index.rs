//! Reads and writes the index file. One transaction writes a run together with the new end of the index and the new
//! checksums; a run that does not follow from the existing rows is never written.

use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, ffi, params};
use uuid::Uuid;

use super::options::{Options, Step};
use super::sums::{self, Changes, StreamRow, Sum, Whole};
use super::tail::Run;
use crate::hash::Hash;
use crate::heads::StreamHead;
use crate::record::{Position, Version};

/// Why the index cannot answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum IndexError {
    /// SQLite could not read or write it.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// It does not hold what was written.
    #[error("{0}")]
    Wrong(String),
    /// Its file could not be moved, removed or opened.
    #[error(transparent)]
    Io(std::io::Error),
    /// It was moved on between two looks.
    #[error("the index changes too fast to be read")]
    Moved,
}

impl IndexError {
    pub(super) fn wrong<T>(what: impl Into<String>) -> Result<T, Self> {
        Err(Self::Wrong(what.into()))
    }

    /// Whether a run of the log does not follow from the existing rows: one of the two is damaged.
    pub(super) fn is_misfit(&self) -> bool {
        match self {
            Self::Wrong(_) => true,
            Self::Sqlite(error) => error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation),
            Self::Moved | Self::Io(_) => false,
        }
    }

    /// Whether the file is unusable, in contrast to unavailable for the moment.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Wrong(_) => true,
            Self::Moved | Self::Io(_) => false,
            // Of all errors between file and disk, only this one means that a part of the file is lost.
            Self::Sqlite(rusqlite::Error::SqliteFailure(error, _)) if error.code == ErrorCode::SystemIoFailure => {
                matches!(
                    error.extended_code,
                    ffi::SQLITE_IOERR_READ
                        | ffi::SQLITE_IOERR_SHORT_READ
                        | ffi::SQLITE_IOERR_DATA
                        | ffi::SQLITE_IOERR_CORRUPTFS
                )
            }
            Self::Sqlite(rusqlite::Error::SqliteFailure(error, _)) => !matches!(
                error.code,
                ErrorCode::DiskFull
                    | ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::OutOfMemory
                    | ErrorCode::CannotOpen
                    | ErrorCode::PermissionDenied
                    | ErrorCode::ReadOnly
                    | ErrorCode::OperationInterrupted
                    | ErrorCode::OperationAborted
                    | ErrorCode::FileLockingProtocolFailed
            ),
            // A value of another type or none where one belongs.
            Self::Sqlite(_) => true,
        }
    }
}

/// How far the index reaches, and what it held when it had got there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Indexed {
    pub(super) incarnation: Uuid,
    pub(super) position: Position,
    pub(super) hash: Hash,
    pub(super) streams: Sum,
    pub(super) commands: Sum,
}

pub(super) fn indexed(index: &Connection) -> rusqlite::Result<Indexed> {
    let sql = "SELECT incarnation, position, hash, streams, stream_sum, commands, command_sum FROM indexed";
    index.prepare_cached(sql)?.query_row([], |row| {
        let sum = |column| Ok::<_, rusqlite::Error>(uuid(row.get_ref(column)?.as_blob()?).as_u128());
        Ok(Indexed {
            incarnation: uuid(row.get_ref(0)?.as_blob()?),
            position: row.get(1)?,
            hash: row.get(2)?,
            streams: Sum { rows: row.get(3)?, hash: sum(4)? },
            commands: Sum { rows: row.get(5)?, hash: sum(6)? },
        })
    })
}

/// How far the index reaches.
pub(super) fn position(index: &Connection) -> rusqlite::Result<Position> {
    index.prepare_cached("SELECT position FROM indexed")?.query_row([], |row| row.get(0))
}

/// A stream's row, unchecked.
pub(super) fn stream_row(index: &Connection, key: u128) -> rusqlite::Result<Option<StreamRow>> {
    let sql = "SELECT key, first, version, event_id FROM stream WHERE key = ?1";
    index.prepare_cached(sql)?.query_row([&key.to_be_bytes()[..]], |row| Ok(read_stream(row)?.1)).optional()
}

/// The position of a command's first record, unchecked.
pub(super) fn command(index: &Connection, id: Uuid) -> rusqlite::Result<Option<Position>> {
    let sql = "SELECT first FROM command WHERE id = ?1";
    index.prepare_cached(sql)?.query_row([&id.as_bytes()[..]], |row| row.get(0)).optional()
}

fn read_stream(row: &rusqlite::Row<'_>) -> rusqlite::Result<(u128, StreamRow)> {
    let head = StreamHead { version: row.get(2)?, event_id: uuid(row.get_ref(3)?.as_blob()?) };
    Ok((uuid(row.get_ref(0)?.as_blob()?).as_u128(), StreamRow { first: row.get(1)?, head }))
}

fn read_command(row: &rusqlite::Row<'_>) -> rusqlite::Result<(Uuid, Position)> {
    Ok((uuid(row.get_ref(0)?.as_blob()?), row.get(1)?))
}

/// Calls `each` with the rows of streams whose keys are in a range, in their order.
pub(super) fn each_stream(
    index: &Connection,
    (low, high): (u128, u128),
    mut each: impl FnMut(u128, StreamRow),
) -> rusqlite::Result<()> {
    let sql = "SELECT key, first, version, event_id FROM stream WHERE key >= ?1 AND key <= ?2 ORDER BY key";
    let mut statement = index.prepare_cached(sql)?;
    let mut rows = statement.query([&low.to_be_bytes()[..], &high.to_be_bytes()[..]])?;
    while let Some(row) = rows.next()? {
        let (key, row) = read_stream(row)?;
        each(key, row);
    }
    Ok(())
}

/// Calls `each` with the rows of commands whose ids are in a range, in their order.
pub(super) fn each_command(
    index: &Connection,
    (low, high): (u128, u128),
    mut each: impl FnMut(Uuid, Position),
) -> rusqlite::Result<()> {
    let sql = "SELECT id, first FROM command WHERE id >= ?1 AND id <= ?2 ORDER BY id";
    let mut statement = index.prepare_cached(sql)?;
    let mut rows = statement.query([&low.to_be_bytes()[..], &high.to_be_bytes()[..]])?;
    while let Some(row) = rows.next()? {
        let (id, first) = read_command(row)?;
        each(id, first);
    }
    Ok(())
}

/// The position of one version of a stream, unchecked.
pub(super) fn place(index: &Connection, key: u128, version: Version) -> rusqlite::Result<Option<Position>> {
    if version == 1 {
        return Ok(stream_row(index, key)?.map(|row| row.first));
    }
    Ok(entries(index, key, (version, version), true, 1)?.first().map(|&(_, position)| position))
}

/// The positions of a stream's versions in an inclusive range that begins at 2 or above; at most `limit` of them, from
/// the lower end or from the upper.
pub(super) fn entries(
    index: &Connection,
    key: u128,
    (low, high): (Version, Version),
    forwards: bool,
    limit: usize,
) -> rusqlite::Result<Vec<(Version, Position)>> {
    let sql = if forwards {
        "SELECT version, position FROM entry WHERE key = ?1 AND version >= ?2 AND version <= ?3 ORDER BY version \
         LIMIT ?4"
    } else {
        "SELECT version, position FROM entry WHERE key = ?1 AND version >= ?2 AND version <= ?3 ORDER BY version DESC \
         LIMIT ?4"
    };
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut statement = index.prepare_cached(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![&key.to_be_bytes()[..], number(low), number(high), limit], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    rows.collect()
}

/// Writes a run, whose last record has the hash `hash`; `before` are the expected checksums of the index; returns the
/// changes of the checksums. After an error none of it is in the index.
pub(super) fn write_run(
    index: &Connection,
    run: Run,
    hash: &Hash,
    before: Whole,
    options: &Options,
) -> Result<Changes, IndexError> {
    index.execute_batch("BEGIN IMMEDIATE")?;
    let done = put(index, run, hash, before).and_then(|changes| {
        options.step(Step::IndexWritten);
        index.execute_batch("COMMIT")?;
        Ok(changes)
    });
    if done.is_err() && !index.is_autocommit() {
        index.execute_batch("ROLLBACK")?;
    }
    done
}

fn put(index: &Connection, run: Run, hash: &Hash, before: Whole) -> Result<Changes, IndexError> {
    let last = run.last();
    let reached = position(index)?;
    if reached != before.position || reached + 1 != run.first {
        return IndexError::wrong(format!("it reaches position {reached}, but the next run begins at {}", run.first));
    }
    let Run { first, entries, mut commands } = run;
    let mut sorted: Vec<Sorted> = entries
        .into_iter()
        .zip(first..)
        .map(|(entry, position)| (entry.key, entry.version, position, entry.event_id))
        .collect();
    sorted.sort_unstable_by_key(|&(key, version, ..)| (key, version));
    put_entries(index, &sorted)?;
    let mut changes = Changes { streams: put_heads(index, &sorted)?, commands: Vec::with_capacity(commands.len()) };
    commands.sort_unstable();
    let mut insert = index.prepare_cached("INSERT INTO command VALUES (?1, ?2)")?;
    for (id, first) in &commands {
        insert.raw_bind_parameter(1, &id.as_bytes()[..])?;
        insert.raw_bind_parameter(2, first)?;
        insert.raw_execute()?;
        changes.commands.push((id.as_u128(), sums::of_command(*id, *first)));
    }
    let Whole { streams, commands, .. } = before.after(&changes, last);
    index
        .prepare_cached(
            "UPDATE indexed SET position = ?1, hash = ?2, streams = ?3, stream_sum = ?4, commands = ?5, command_sum = \
             ?6",
        )?
        .execute(params![
            last,
            &hash[..],
            streams.rows,
            &streams.hash.to_be_bytes()[..],
            commands.rows,
            &commands.hash.to_be_bytes()[..]
        ])?;
    Ok(changes)
}

/// A stream's key, a version of it, where that is in the log, and the event's id.
type Sorted = (u128, Version, Position, Uuid);

fn put_entries(index: &Connection, sorted: &[Sorted]) -> rusqlite::Result<()> {
    let mut insert = index.prepare_cached("INSERT INTO entry VALUES (?1, ?2, ?3)")?;
    for (key, version, position, _) in sorted.iter().filter(|entry| entry.1 > 1) {
        insert.raw_bind_parameter(1, &key.to_be_bytes()[..])?;
        insert.raw_bind_parameter(2, version)?;
        insert.raw_bind_parameter(3, position)?;
        insert.raw_execute()?;
    }
    Ok(())
}

/// Moves the head of each stream, which must continue where its row ends; returns the changes of the rows.
fn put_heads(index: &Connection, sorted: &[Sorted]) -> Result<Vec<(u128, Option<u128>, u128)>, IndexError> {
    let mut insert =
        index.prepare_cached("INSERT INTO stream (key, version, event_id, first) VALUES (?1, ?2, ?3, ?4)")?;
    let mut update = index.prepare_cached("UPDATE stream SET version = ?2, event_id = ?3 WHERE key = ?1")?;
    let mut changes = Vec::new();
    for stream in sorted.chunk_by(|one, other| one.0 == other.0) {
        let (Some(&(key, lowest, first, _)), Some(&(_, version, position, event_id))) = (stream.first(), stream.last())
        else {
            continue;
        };
        let before = stream_row(index, key)?;
        let follows = before.map_or(1, |before| before.head.version + 1);
        if lowest != follows || version - lowest != stream.len() as u64 - 1 {
            return IndexError::wrong(format!(
                "the stream of the record at position {position} has version {} there and the log continues with \
                 {lowest}",
                follows - 1
            ));
        }
        let after =
            StreamRow { first: before.map_or(first, |before| before.first), head: StreamHead { version, event_id } };
        let statement: &mut CachedStatement<'_> = if before.is_none() { &mut insert } else { &mut update };
        statement.raw_bind_parameter(1, &key.to_be_bytes()[..])?;
        statement.raw_bind_parameter(2, version)?;
        statement.raw_bind_parameter(3, &event_id.as_bytes()[..])?;
        if before.is_none() {
            statement.raw_bind_parameter(4, first)?;
        }
        statement.raw_execute()?;
        let before = before.map(|before| sums::of_stream(key, &before));
        changes.push((key, before, sums::of_stream(key, &after)));
    }
    Ok(changes)
}

/// An id from its sixteen bytes; anything else is nil, which fits nothing.
pub(super) fn uuid(bytes: &[u8]) -> Uuid {
    Uuid::from_slice(bytes).unwrap_or_default()
}
