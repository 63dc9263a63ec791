//! Reads with a connection to each file, on a thread that may block. It never returns anything past the durable head,
//! and no record whose hash does not match its bytes and the record before.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::index::{self, IndexError};
use super::index_state::{IndexReader, IndexState, Look};
use super::open::OpenError;
use super::rows::{self, COLUMNS, Names, read_error};
use super::schema;
use crate::recent::{MOST_BYTES, MOST_SEEN};
use crate::record::{Micros, Position, Record, StreamId, Version};
use crate::store::{Direction, Error, Filter, Page};

pub(super) struct Reader {
    pub(super) log: Connection,
    /// The index, in the process that writes it.
    pub(super) index: IndexReader,
    /// The index, in a process that only reads. None where there is none that can be used: then the log is searched.
    pub(super) beside: Option<Connection>,
    pub(super) names: Names,
}

/// Which part of a stream.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) from: Version,
    pub(super) direction: Direction,
    pub(super) limit: usize,
}

impl Part {
    fn forwards(self) -> bool {
        self.direction == Direction::Forwards
    }
}

/// A stream that is looked for: its name, its key, and the places of its newest versions, which may not be in the index yet.
pub(super) struct Wanted<'a> {
    pub(super) stream: &'a StreamId,
    pub(super) key: u128,
    pub(super) tail: &'a [(Version, Position)],
}

/// Why the records of a stream are not there.
enum Unfit {
    /// The index names a different record.
    Index(String),
    Store(Error),
}

impl From<Error> for Unfit {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Reader {
    pub(super) fn open(dir: &Path) -> Result<Self, OpenError> {
        Ok(Self { log: schema::read_log(dir)?, index: IndexReader::default(), beside: None, names: Names::default() })
    }

    /// For another process beside the writer: the index may be absent, foreign or of another version.
    pub(super) fn open_beside(dir: &Path) -> Result<Self, OpenError> {
        let log = schema::read_log(dir)?;
        let incarnation = schema::incarnation(&log)?;
        let beside = schema::read_index(dir)
            .ok()
            .filter(|index| index::indexed(index).is_ok_and(|indexed| indexed.incarnation == incarnation));
        Ok(Self { log, index: IndexReader::default(), beside, names: Names::default() })
    }

    /// A page of the log after `after`, up to `head`. It ends before the batch in which a record does not fit, and only a page that
    /// would begin there fails.
    pub(super) fn page(
        &mut self,
        after: Position,
        filter: &Filter,
        limit: usize,
        head: Position,
    ) -> Result<Page, Error> {
        let mut page = Page { records: Vec::new(), next: after, head };
        if limit == 0 || after >= head {
            return Ok(page);
        }
        let mut whole = (0, after);
        match self.fill(&mut page, filter, limit, &mut whole) {
            Ok(()) => Ok(page),
            Err(Error::Damaged { .. }) if whole.1 > after => {
                page.records.truncate(whole.0);
                page.next = whole.1;
                Ok(page)
            }
            Err(error) => Err(error),
        }
    }

    /// Fills a page; `whole` is how many records it has, and up to where, at the end of its last batch.
    fn fill(
        &mut self,
        page: &mut Page,
        filter: &Filter,
        limit: usize,
        whole: &mut (usize, Position),
    ) -> Result<(), Error> {
        let (after, head) = (page.next, page.head);
        let mut previous = rows::hash_at(&self.log, after).map_err(read_error)?.ok_or_else(|| Error::hole(after))?;
        let sql = format!("SELECT {COLUMNS} FROM log WHERE position > ?1 AND position <= ?2 ORDER BY position");
        let mut statement = self.log.prepare_cached(&sql).map_err(read_error)?;
        let mut rows = statement.query([after, head]).map_err(read_error)?;
        let (mut seen, mut bytes, mut batch) = (0, 0, None);
        while let Some(row) = rows.next().map_err(|error| rows::log_error(page.next + 1, error))? {
            let position = page.next + 1;
            if row.get::<_, Position>(0).map_err(read_error)? != position {
                return Err(Error::hole(position));
            }
            // Records outside the filter are checked too: a change may be what makes a record match or not.
            let record = match rows::proved(row, &mut self.names, position, &previous) {
                Ok(record) => record,
                Err(error) => {
                    if batch.is_some_and(|batch| rows::command_id(row) != Some(batch)) {
                        *whole = (page.records.len(), page.next);
                    }
                    return Err(error);
                }
            };
            if batch != Some(record.command_id) {
                *whole = (page.records.len(), page.next);
                if page.records.len() >= limit || seen >= MOST_SEEN || bytes >= MOST_BYTES {
                    return Ok(());
                }
                batch = Some(record.command_id);
            }
            previous = record.hash;
            if filter.wants(&record) {
                bytes += record.data.len() + record.metadata.len();
                page.records.push(record);
            }
            page.next = position;
            seen += 1;
        }
        if page.next == head { Ok(()) } else { Err(Error::hole(page.next + 1)) }
    }

    /// About `limit` records after `after`, up to `head`, as they are stored; whole batches. Not proved.
    pub(super) fn raw(&mut self, after: Position, limit: usize, head: Position) -> Result<Vec<Record>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM log WHERE position > ?1 AND position <= ?2 ORDER BY position");
        let mut statement = self.log.prepare_cached(&sql).map_err(read_error)?;
        let mut rows = statement.query([after, head]).map_err(read_error)?;
        let (mut records, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next().map_err(read_error)? {
            let record = rows::record(row, &mut self.names).map_err(read_error)?;
            // A batch begins with its fingerprint.
            if (records.len() >= limit || bytes >= MOST_BYTES) && record.fingerprint.is_some() {
                break;
            }
            bytes += record.data.len() + record.metadata.len();
            records.push(record);
        }
        Ok(records)
    }

    /// Part of a stream, in the process that writes the index.
    pub(super) fn stream(
        &mut self,
        state: &IndexState,
        dir: &Path,
        wanted: &Wanted<'_>,
        part: Part,
    ) -> Result<Vec<Record>, Error> {
        let generation = state.generation();
        let found = self.index.look(state, dir, |look| find(look, wanted, part))?;
        self.records(wanted.stream, part, &found).map_err(|unfit| match unfit {
            Unfit::Store(error) => error,
            Unfit::Index(what) => {
                state.give_up(generation, &what);
                Error::Read(format!("the index is being rebuilt: {what}"))
            }
        })
    }

    /// Part of a stream, in another process, whose index has been proved as a whole or is not there.
    pub(super) fn stream_beside(&mut self, wanted: &Wanted<'_>, part: Part) -> Result<Vec<Record>, Error> {
        let found = match &self.beside {
            Some(index) => index::position(index)
                .map_err(IndexError::from)
                .and_then(|position| find(&Look::proved(index, position), wanted, part))
                .map_err(|error| Error::Read(format!("the index cannot be read: {error}")))?,
            None => cut(wanted.tail, part),
        };
        self.records(wanted.stream, part, &found).map_err(|unfit| match unfit {
            Unfit::Store(error) => error,
            Unfit::Index(what) => Error::Read(format!("the index is damaged: {what}")),
        })
    }

    fn records(&mut self, stream: &StreamId, part: Part, found: &[(Version, Position)]) -> Result<Vec<Record>, Unfit> {
        self.log.execute_batch("BEGIN").map_err(read_error)?;
        let records = self.records_at(stream, part, found);
        self.log.execute_batch("COMMIT").map_err(read_error)?;
        records
    }

    fn records_at(
        &mut self,
        stream: &StreamId,
        part: Part,
        found: &[(Version, Position)],
    ) -> Result<Vec<Record>, Unfit> {
        let mut records: Vec<Record> = Vec::with_capacity(found.len());
        let mut bytes = 0;
        for &(version, position) in found {
            let Some(record) = rows::proved_at(&self.log, &mut self.names, position)? else {
                let (head, _) = rows::head(&self.log).map_err(read_error)?;
                // The log has a record at every position up to its head.
                if position > 0 && position <= head.position {
                    return Err(Error::hole(position).into());
                }
                return Err(Unfit::Index(format!("it names position {position}, where the log has no record")));
            };
            let expected = match (records.last(), part.forwards()) {
                (Some(last), true) => last.version + 1,
                (Some(last), false) => last.version - 1,
                (None, _) => version,
            };
            if record.stream != *stream || record.version != version || version != expected {
                let there = format!("{:?} {}", record.stream, record.version);
                return Err(Unfit::Index(format!(
                    "position {position} has {there}, but {stream:?} {expected} belongs there"
                )));
            }
            bytes += record.data.len() + record.metadata.len();
            records.push(record);
            if bytes >= MOST_BYTES {
                break;
            }
        }
        Ok(records)
    }

    /// The versions of a stream that the index has not, found in the log itself.
    pub(super) fn search_tail(&mut self, stream: &StreamId) -> Result<Vec<(Version, Position)>, Error> {
        let indexed_to = match &self.beside {
            Some(index) => index::position(index).map_err(read_error)?,
            None => 0,
        };
        let sql = "SELECT version, position FROM log \
                   WHERE position > ?1 AND stream_id = ?2 AND category = ?3 AND tenant = ?4 ORDER BY position";
        let mut statement = self.log.prepare_cached(sql).map_err(read_error)?;
        let parameters = rusqlite::params![indexed_to, &*stream.id, &*stream.category, &*stream.tenant];
        let rows = statement.query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?))).map_err(read_error)?;
        rows.collect::<rusqlite::Result<_>>().map_err(read_error)
    }

    /// The last position up to `head` recorded at or before an instant: instants never decrease, so a binary search
    /// finds it. The records on both sides of the answer are checked, which proves the answer.
    pub(super) fn position_at(&mut self, instant: Micros, head: Position) -> Result<Position, Error> {
        let recorded_at = |log: &Connection, position: Position| {
            let sql = "SELECT recorded_at FROM log WHERE position = ?1";
            let found = log
                .prepare_cached(sql)
                .and_then(|mut statement| statement.query_row([position], |row| row.get::<_, Micros>(0)).optional());
            found.map_err(|error| rows::log_error(position, error))?.ok_or_else(|| Error::hole(position))
        };
        let (mut low, mut high) = (0, head);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if recorded_at(&self.log, middle)? <= instant { low = middle } else { high = middle - 1 }
        }
        for position in [low, low + 1].into_iter().filter(|&position| position > 0 && position <= head) {
            rows::proved_at(&self.log, &mut self.names, position)?.ok_or_else(|| Error::hole(position))?;
        }
        Ok(low)
    }
}

/// The positions of the wanted versions, in the index and in the tail, which may overlap. Every version between must be
/// there; otherwise the index is damaged.
fn find(look: &Look<'_>, wanted: &Wanted<'_>, part: Part) -> Result<Vec<(Version, Position)>, IndexError> {
    let tail_from = wanted.tail.first().map_or(Version::MAX, |&(version, _)| version);
    let mut found = if part.forwards() { Vec::new() } else { cut(wanted.tail, part) };
    let low = if part.forwards() { part.from.max(1) } else { 1 };
    let high = if part.forwards() { tail_from.saturating_sub(1) } else { part.from.min(tail_from.saturating_sub(1)) };
    let room = part.limit - found.len();
    if low <= high && room > 0 {
        // The tail was read first: entries that have left it are in the index by now.
        found.extend(in_index(look, wanted, (low, high), part.forwards(), room)?);
    }
    if part.forwards() {
        let rest = Part { limit: part.limit - found.len(), ..part };
        found.extend(cut(wanted.tail, rest));
    }
    Ok(found)
}

fn in_index(
    look: &Look<'_>,
    wanted: &Wanted<'_>,
    (low, high): (Version, Version),
    forwards: bool,
    limit: usize,
) -> Result<Vec<(Version, Position)>, IndexError> {
    let row = look.stream(wanted.key)?;
    let last = row.map_or(0, |row| row.head.version);
    if let Some(&(first, _)) = wanted.tail.first()
        && last + 1 < first
    {
        return IndexError::wrong(format!("{:?} ends there with version {last}, before {first}", wanted.stream));
    }
    let high = high.min(last);
    let Some(row) = row.filter(|_| low <= high) else {
        return Ok(Vec::new());
    };
    let wants = usize::try_from(high - low + 1).unwrap_or(usize::MAX).min(limit);
    let (first, mut found) = ((1, row.first), Vec::new());
    if forwards && low == 1 {
        found.push(first);
    }
    if found.len() < wants && high > 1 {
        let range = (low.max(2), high);
        found.extend(index::entries(look.index(), wanted.key, range, forwards, wants - found.len())?);
    }
    if !forwards && low == 1 && found.len() + 1 == wants {
        found.push(first);
    }
    let complete = found.len() == wants
        && found
            .iter()
            .enumerate()
            .all(|(n, &(version, _))| version == if forwards { low + n as Version } else { high - n as Version });
    if complete { Ok(found) } else { IndexError::wrong(format!("versions of {:?} are missing there", wanted.stream)) }
}

/// The wanted part of a list of versions that goes from old to new.
fn cut(versions: &[(Version, Position)], part: Part) -> Vec<(Version, Position)> {
    if part.forwards() {
        let wanted = versions.iter().filter(|&&(version, _)| version >= part.from);
        wanted.take(part.limit).copied().collect()
    } else {
        let wanted = versions.iter().rev().filter(|&&(version, _)| version <= part.from);
        wanted.take(part.limit).copied().collect()
    }
}
