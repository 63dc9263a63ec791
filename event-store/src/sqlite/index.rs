//! Reading and writing the index file. A run goes in as one transaction together with how far the index reaches.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use uuid::Uuid;

use super::options::{Options, Step};
use super::tail::Run;
use crate::hash::Hash;
use crate::heads::StreamHead;
use crate::record::{Position, Version};

/// How far the index reaches, and how much it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Indexed {
    pub(super) incarnation: Uuid,
    pub(super) position: Position,
    pub(super) hash: Hash,
    pub(super) streams: u64,
    pub(super) commands: u64,
}

pub(super) fn indexed(index: &Connection) -> rusqlite::Result<Indexed> {
    let sql = "SELECT incarnation, position, hash, streams, commands FROM indexed";
    index.prepare_cached(sql)?.query_row([], |row| {
        Ok(Indexed {
            incarnation: uuid(row.get_ref(0)?.as_blob()?),
            position: row.get(1)?,
            hash: row.get(2)?,
            streams: row.get(3)?,
            commands: row.get(4)?,
        })
    })
}

pub(super) fn head(index: &Connection, key: u128) -> rusqlite::Result<Option<StreamHead>> {
    let sql = "SELECT version, event_id FROM stream WHERE key = ?1";
    index
        .prepare_cached(sql)?
        .query_row([&key.to_be_bytes()[..]], |row| {
            Ok(StreamHead { version: row.get(0)?, event_id: uuid(row.get_ref(1)?.as_blob()?) })
        })
        .optional()
}

pub(super) fn command(index: &Connection, id: Uuid) -> rusqlite::Result<Option<Position>> {
    let sql = "SELECT first FROM command WHERE id = ?1";
    index.prepare_cached(sql)?.query_row([&id.as_bytes()[..]], |row| row.get(0)).optional()
}

/// Versions of a stream with their positions: forwards those from `from` on, backwards those up to it.
pub(super) fn entries(
    index: &Connection,
    key: u128,
    from: Version,
    forwards: bool,
    limit: usize,
) -> rusqlite::Result<Vec<(Version, Position)>> {
    let key = key.to_be_bytes();
    let first = index
        .prepare_cached("SELECT first FROM stream WHERE key = ?1")?
        .query_row([&key[..]], |row| row.get(0))
        .optional()?;
    let Some(first) = first else {
        return Ok(Vec::new());
    };
    let with_first = if forwards { from <= 1 } else { from >= 1 };
    let mut found = Vec::new();
    if forwards && with_first && limit > 0 {
        found.push((1, first));
    }
    let sql = if forwards {
        "SELECT version, position FROM entry WHERE key = ?1 AND version >= ?2 ORDER BY version LIMIT ?3"
    } else {
        "SELECT version, position FROM entry WHERE key = ?1 AND version <= ?2 ORDER BY version DESC LIMIT ?3"
    };
    let mut statement = index.prepare_cached(sql)?;
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    let left = i64::try_from(limit - found.len()).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![&key[..], from, left])?;
    while let Some(row) = rows.next()? {
        found.push((row.get(0)?, row.get(1)?));
    }
    if !forwards && with_first && found.len() < limit {
        found.push((1, first));
    }
    Ok(found)
}

/// Calls `each` with every stream head, in the order of the keys.
pub(super) fn each_head(index: &Connection, mut each: impl FnMut(u128, StreamHead)) -> rusqlite::Result<()> {
    let mut statement = index.prepare("SELECT key, version, event_id FROM stream")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let head = StreamHead { version: row.get(1)?, event_id: uuid(row.get_ref(2)?.as_blob()?) };
        each(uuid(row.get_ref(0)?.as_blob()?).as_u128(), head);
    }
    Ok(())
}

/// Calls `each` with every key of `table` (`command` or `stream`).
pub(super) fn each_key(index: &Connection, table: Keys, mut each: impl FnMut(u128)) -> rusqlite::Result<()> {
    let mut statement = index.prepare(match table {
        Keys::Streams => "SELECT key FROM stream",
        Keys::Commands => "SELECT id FROM command",
    })?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(uuid(row.get_ref(0)?.as_blob()?).as_u128());
    }
    Ok(())
}

/// Which keys.
#[derive(Clone, Copy)]
pub(super) enum Keys {
    Streams,
    Commands,
}

/// Writes a run, whose last record has the hash `hash`. On an error nothing of it is in the index.
pub(super) fn write_run(index: &Connection, run: Run, hash: &Hash, options: &Options) -> rusqlite::Result<()> {
    index.execute_batch("BEGIN IMMEDIATE")?;
    let done = put(index, run, hash).and_then(|()| {
        options.step(Step::IndexWritten);
        index.execute_batch("COMMIT")
    });
    if done.is_err() && !index.is_autocommit() {
        index.execute_batch("ROLLBACK")?;
    }
    done
}

fn put(index: &Connection, run: Run, hash: &Hash) -> rusqlite::Result<()> {
    let last = run.last();
    let Run { first, entries, mut commands } = run;
    let mut sorted: Vec<(u128, Version, Position, Uuid)> = entries
        .into_iter()
        .zip(first..)
        .map(|(entry, position)| (entry.key, entry.version, position, entry.event_id))
        .collect();
    sorted.sort_unstable_by_key(|&(key, version, ..)| (key, version));
    put_entries(index, &sorted)?;
    let streams = put_heads(index, &sorted)?;
    commands.sort_unstable();
    let mut insert = index.prepare_cached("INSERT INTO command VALUES (?1, ?2)")?;
    for (id, first) in &commands {
        insert.raw_bind_parameter(1, &id.as_bytes()[..])?;
        insert.raw_bind_parameter(2, first)?;
        insert.raw_execute()?;
    }
    index
        .prepare_cached(
            "UPDATE indexed SET position = ?1, hash = ?2, streams = streams + ?3, commands = commands + ?4",
        )?
        .execute(params![last, &hash[..], streams as u64, commands.len() as u64])?;
    Ok(())
}

fn put_entries(index: &Connection, sorted: &[(u128, Version, Position, Uuid)]) -> rusqlite::Result<()> {
    let mut insert = index.prepare_cached("INSERT INTO entry VALUES (?1, ?2, ?3)")?;
    for (key, version, position, _) in sorted.iter().filter(|entry| entry.1 > 1) {
        insert.raw_bind_parameter(1, &key.to_be_bytes()[..])?;
        insert.raw_bind_parameter(2, version)?;
        insert.raw_bind_parameter(3, position)?;
        insert.raw_execute()?;
    }
    Ok(())
}

/// Moves the head of each stream; answers how many streams are new.
fn put_heads(index: &Connection, sorted: &[(u128, Version, Position, Uuid)]) -> rusqlite::Result<usize> {
    let mut insert =
        index.prepare_cached("INSERT INTO stream (key, version, event_id, first) VALUES (?1, ?2, ?3, ?4)")?;
    let mut update = index.prepare_cached("UPDATE stream SET version = ?2, event_id = ?3 WHERE key = ?1")?;
    let mut new = 0;
    for stream in sorted.chunk_by(|one, other| one.0 == other.0) {
        let (Some((key, lowest, first, _)), Some((_, version, _, event_id))) = (stream.first(), stream.last()) else {
            continue;
        };
        let is_new = *lowest == 1;
        let statement: &mut CachedStatement<'_> = if is_new { &mut insert } else { &mut update };
        new += usize::from(is_new);
        statement.raw_bind_parameter(1, &key.to_be_bytes()[..])?;
        statement.raw_bind_parameter(2, version)?;
        statement.raw_bind_parameter(3, &event_id.as_bytes()[..])?;
        if is_new {
            statement.raw_bind_parameter(4, first)?;
        }
        statement.raw_execute()?;
    }
    Ok(new)
}

/// An id from its sixteen bytes; anything else is nil, which fits nothing.
pub(super) fn uuid(bytes: &[u8]) -> Uuid {
    Uuid::from_slice(bytes).unwrap_or_default()
}
