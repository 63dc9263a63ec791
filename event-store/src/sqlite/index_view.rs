//! One state of the index in a process that proves it against the log, row by row. It must never mend anything.

use std::fmt;
use std::io;
use std::iter::Peekable;

use rusqlite::Connection;
use uuid::Uuid;

use super::index::{self, Indexed, uuid};
use super::sums::{self, StreamRow, Sum};
use super::{rows, schema};
use crate::heads::StreamHead;
use crate::record::{Position, Version};
use crate::verify::{Begun, Entry, Finding};

const STREAMS: &str = "SELECT key, first, version, event_id FROM stream ORDER BY key";
const ENTRIES: &str = "SELECT key, version, position FROM entry ORDER BY key, version";
const COMMANDS: &str = "SELECT id, first FROM command ORDER BY id";

/// One state of the index.
pub(crate) struct IndexView(Result<(Connection, Indexed), String>);

impl IndexView {
    /// The current index in a folder, held open until this is dropped; none if there is no such file.
    pub(super) fn open(dir: &std::path::Path, log: &Connection, incarnation: Uuid) -> Option<Self> {
        if !dir.join(schema::INDEX_FILE).exists() {
            return None;
        }
        let open = || {
            let index = schema::read_index(dir).map_err(|error| error.to_string())?;
            // The first read takes hold of the state.
            index.execute_batch("BEGIN").map_err(|error| error.to_string())?;
            let indexed = index::indexed(&index).map_err(|error| error.to_string())?;
            for sql in [STREAMS, ENTRIES, COMMANDS] {
                index.prepare(sql).map_err(|error| error.to_string())?;
            }
            let hash = rows::hash_at(log, indexed.position).map_err(|error| error.to_string())?;
            if indexed.incarnation == incarnation && hash == Some(indexed.hash) {
                Ok((index, indexed))
            } else {
                Err("it belongs to another log, and is rebuilt at the next start".to_owned())
            }
        };
        Some(Self(open()))
    }

    /// Holds it against what the log has.
    pub(crate) fn compare(
        self,
        entries: &mut dyn Iterator<Item = io::Result<Entry>>,
        commands: &mut dyn Iterator<Item = io::Result<Begun>>,
        end: Position,
    ) -> io::Result<Finding> {
        let name = "index of the log, against the log";
        let mut finding = Finding::new(name);
        let (index, indexed) = match self.0 {
            Ok(open) => open,
            Err(why) => {
                finding.violate(|| why);
                return Ok(finding);
            }
        };
        if indexed.position > end {
            return Ok(Finding::new(format!("{name}: not checked, since it reaches position {}", indexed.position)));
        }
        finding.name = format!("{name} up to position {}", indexed.position);
        let streams = compare_streams(&index, indexed.position, entries, &mut finding)?;
        let commands = compare_commands(&index, indexed.position, commands, &mut finding)?;
        if (streams, commands) != (indexed.streams, indexed.commands) {
            finding.violate(|| "the checksums of its rows differ from those of the log".to_owned());
        }
        Ok(finding)
    }
}

impl fmt::Debug for IndexView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IndexView").field(&self.0.as_ref().map(|(_, indexed)| indexed)).finish()
    }
}

fn compare_streams(
    index: &Connection,
    reached: Position,
    entries: &mut dyn Iterator<Item = io::Result<Entry>>,
    finding: &mut Finding,
) -> io::Result<Sum> {
    let mut statement = index.prepare(STREAMS).map_err(failed)?;
    let found = statement.query_map([], |row| {
        let head = StreamHead { version: row.get(2)?, event_id: uuid(row.get_ref(3)?.as_blob()?) };
        Ok((uuid(row.get_ref(0)?.as_blob()?).as_u128(), StreamRow { first: row.get(1)?, head }))
    });
    let mut heads = Held::new(found.map_err(failed)?, "stream");
    let mut statement = index.prepare(ENTRIES).map_err(failed)?;
    let found = statement.query_map([], |row| {
        let key = uuid(row.get_ref(0)?.as_blob()?).as_u128();
        Ok(((key, row.get::<_, Version>(1)?), row.get::<_, Position>(2)?))
    });
    let mut places = Held::new(found.map_err(failed)?, "version of a stream");
    let mut sum = Sum::default();
    let mut open: Option<(u128, StreamRow)> = None;
    let mut close = |stream: (u128, StreamRow), finding: &mut Finding| {
        sum.add(sums::of_stream(stream.0, &stream.1));
        heads.expect(stream.0, stream.1, stream.1.first, finding);
    };
    for entry in entries {
        let entry = entry?;
        if entry.position > reached {
            continue;
        }
        let head = StreamHead { version: entry.version, event_id: entry.event_id };
        match &mut open {
            Some((key, row)) if *key == entry.key => {
                row.head = head;
                places.expect((entry.key, entry.version), entry.position, entry.position, finding);
            }
            other => {
                let before = other.replace((entry.key, StreamRow { first: entry.position, head }));
                before.into_iter().for_each(|before| close(before, finding));
            }
        }
    }
    open.into_iter().for_each(|last| close(last, finding));
    heads.end(finding);
    places.end(finding);
    Ok(sum)
}

fn compare_commands(
    index: &Connection,
    reached: Position,
    commands: &mut dyn Iterator<Item = io::Result<Begun>>,
    finding: &mut Finding,
) -> io::Result<Sum> {
    let mut statement = index.prepare(COMMANDS).map_err(failed)?;
    let found = statement.query_map([], |row| Ok((uuid(row.get_ref(0)?.as_blob()?), row.get::<_, Position>(1)?)));
    let mut held = Held::new(found.map_err(failed)?, "command");
    let mut sum = Sum::default();
    for command in commands {
        let (id, first) = command?;
        if first <= reached {
            sum.add(sums::of_command(id, first));
            held.expect(id, first, first, finding);
        }
    }
    held.end(finding);
    Ok(sum)
}

fn failed(error: rusqlite::Error) -> io::Error {
    io::Error::other(format!("the index cannot be read: {error}"))
}

/// Rows of the index in the order of their keys, to be compared with those from the log.
struct Held<I: Iterator> {
    rows: Peekable<I>,
    what: &'static str,
    broken: bool,
}

impl<K: Ord + Copy, V: PartialEq, I: Iterator<Item = rusqlite::Result<(K, V)>>> Held<I> {
    fn new(rows: I, what: &'static str) -> Self {
        Self { rows: rows.peekable(), what, broken: false }
    }

    /// The next row from the log; its record is at `position`.
    fn expect(&mut self, key: K, value: V, position: Position, finding: &mut Finding) {
        let what = self.what;
        finding.checked += 1;
        while !self.broken {
            match self.rows.next_if(|row| row.as_ref().map_or(true, |(there, _)| *there <= key)) {
                Some(Ok((there, _))) if there < key => {
                    finding.violate(|| format!("it has a {what} that the log lacks"))
                }
                Some(Ok((_, there))) if there == value => return,
                Some(Ok(_)) => {
                    return finding.violate(|| format!("position {position}: its {what} differs from the log's"));
                }
                Some(Err(error)) => {
                    self.broken = true;
                    finding.violate(|| format!("its rows of the sort `{what}` cannot be read: {error}"));
                }
                None => return finding.violate(|| format!("position {position}: it lacks this {what}")),
            }
        }
    }

    /// The log has no more entries.
    fn end(&mut self, finding: &mut Finding) {
        let what = self.what;
        while let Some(row) = self.rows.next().filter(|_| !self.broken) {
            match row {
                Ok(_) => finding.violate(|| format!("it has a {what} that the log lacks")),
                Err(error) => {
                    self.broken = true;
                    finding.violate(|| format!("its rows of the sort `{what}` cannot be read: {error}"));
                }
            }
        }
    }
}
