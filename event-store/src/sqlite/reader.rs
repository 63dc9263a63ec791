//! Reading: a connection to each file, on a thread that may block. Nothing past the durable head is ever returned.

use std::path::Path;

use rusqlite::Connection;

use super::open::OpenError;
use super::rows::{self, COLUMNS, Names, read_error};
use super::{index, schema};
use crate::record::{Micros, Position, Record, StreamId, Version};
use crate::store::{Direction, Error, Filter, Page};

/// The most records that one page looks at: a filter that wants little must not hold a thread for the whole log.
const MOST_SEEN: usize = 16_384;
/// The most bytes of one page; a batch that passes it is finished.
const MOST_BYTES: usize = 16 * 1024 * 1024;

pub(super) struct Reader {
    pub(super) log: Connection,
    /// None in a reading process that found no index: then the log is searched.
    pub(super) index: Option<Connection>,
    names: Names,
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

impl Reader {
    pub(super) fn open(dir: &Path) -> Result<Self, OpenError> {
        Ok(Self { log: schema::read_log(dir)?, index: Some(schema::read_index(dir)?), names: Names::default() })
    }

    /// For another process beside the writer: the index may be absent, foreign or of another version.
    pub(super) fn open_beside(dir: &Path) -> Result<Self, OpenError> {
        let log = schema::read_log(dir)?;
        let incarnation = schema::incarnation(&log)?;
        let index = schema::read_index(dir)
            .ok()
            .filter(|index| index::indexed(index).is_ok_and(|indexed| indexed.incarnation == incarnation));
        Ok(Self { log, index, names: Names::default() })
    }

    /// A page of the log after `after`, up to `head`.
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
        let sql = format!("SELECT {COLUMNS} FROM log WHERE position > ?1 AND position <= ?2 ORDER BY position");
        let mut statement = self.log.prepare_cached(&sql).map_err(read_error)?;
        let mut rows = statement.query([after, head]).map_err(read_error)?;
        let (mut seen, mut bytes, mut batch) = (0, 0, Vec::new());
        while let Some(row) = rows.next().map_err(read_error)? {
            let position: Position = row.get(0).map_err(read_error)?;
            if position != page.next + 1 {
                return Err(hole(page.next + 1));
            }
            let command = row.get_ref(9).and_then(|value| Ok(value.as_blob()?)).map_err(read_error)?;
            let full = page.records.len() >= limit || seen >= MOST_SEEN || bytes >= MOST_BYTES;
            if full && command != batch.as_slice() {
                return Ok(page);
            }
            if command != batch.as_slice() {
                batch.clear();
                batch.extend_from_slice(command);
            }
            if rows::wanted(row, filter).map_err(read_error)? {
                let record = rows::record(row, &mut self.names).map_err(read_error)?;
                bytes += record.data.len() + record.metadata.len();
                page.records.push(record);
            }
            page.next = position;
            seen += 1;
        }
        if page.next == head { Ok(page) } else { Err(hole(page.next + 1)) }
    }

    /// About `limit` records after `after`, up to `head`, as they are stored; whole batches.
    pub(super) fn raw(&mut self, after: Position, limit: usize, head: Position) -> Result<Vec<Record>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM log WHERE position > ?1 AND position <= ?2 ORDER BY position");
        let mut statement = self.log.prepare_cached(&sql).map_err(read_error)?;
        let mut rows = statement.query([after, head]).map_err(read_error)?;
        let (mut raws, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next().map_err(read_error)? {
            let fingerprint: Option<[u8; 32]> = row.get(11).map_err(read_error)?;
            // A batch begins with its fingerprint.
            if (raws.len() >= limit || bytes >= MOST_BYTES) && fingerprint.is_some() {
                break;
            }
            let record = rows::record(row, &mut self.names).map_err(read_error)?;
            bytes += record.data.len() + record.metadata.len();
            raws.push(record);
        }
        Ok(raws)
    }

    /// Part of a stream whose newest versions, not yet in the index, are at `tail`.
    pub(super) fn stream(
        &mut self,
        stream: &StreamId,
        key: u128,
        part: Part,
        tail: &[(Version, Position)],
    ) -> Result<Vec<Record>, Error> {
        let found = match &self.index {
            Some(index) => join(index, key, part, tail).map_err(read_error)?,
            None => cut(tail, part),
        };
        self.log.execute_batch("BEGIN").map_err(read_error)?;
        let records = self.records(stream, part, &found);
        self.log.execute_batch("COMMIT").map_err(read_error)?;
        records
    }

    fn records(&mut self, stream: &StreamId, part: Part, found: &[(Version, Position)]) -> Result<Vec<Record>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM log WHERE position = ?1");
        let mut statement = self.log.prepare_cached(&sql).map_err(read_error)?;
        let mut records: Vec<Record> = Vec::with_capacity(found.len());
        let mut bytes = 0;
        for &(version, position) in found {
            let names = &mut self.names;
            let record =
                statement.query_row([position], |row| rows::record(row, names)).map_err(|error| match error {
                    rusqlite::Error::QueryReturnedNoRows => hole(position),
                    other => read_error(other),
                })?;
            let expected = match (records.last(), part.forwards()) {
                (Some(last), true) => last.version + 1,
                (Some(last), false) => last.version - 1,
                (None, _) => version,
            };
            if record.stream != *stream || record.version != version || version != expected {
                let what = format!("{:?} {} where {stream:?} {expected} belongs", record.stream, record.version);
                return Err(Error::Damaged { position, what });
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
        let indexed_to = match &self.index {
            Some(index) => index::indexed(index).map_err(read_error)?.position,
            None => 0,
        };
        let sql = "SELECT version, position FROM log \
                   WHERE position > ?1 AND stream_id = ?2 AND category = ?3 AND tenant = ?4 ORDER BY position";
        let mut statement = self.log.prepare_cached(sql).map_err(read_error)?;
        let parameters = rusqlite::params![indexed_to, &*stream.id, &*stream.category, &*stream.tenant];
        let rows = statement.query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?))).map_err(read_error)?;
        rows.collect::<rusqlite::Result<_>>().map_err(read_error)
    }

    /// The last position up to `head` recorded at or before an instant: the instants never fall, so halving finds it.
    pub(super) fn position_at(&mut self, instant: Micros, head: Position) -> Result<Position, Error> {
        let sql = "SELECT recorded_at FROM log WHERE position = ?1";
        let mut statement = self.log.prepare_cached(sql).map_err(read_error)?;
        let (mut low, mut high) = (0, head);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let recorded_at: Micros = statement.query_row([middle], |row| row.get(0)).map_err(|error| match error {
                rusqlite::Error::QueryReturnedNoRows => hole(middle),
                other => read_error(other),
            })?;
            if recorded_at <= instant { low = middle } else { high = middle - 1 }
        }
        Ok(low)
    }
}

/// The wanted versions in the index and, after them, in the tail, which may overlap.
fn join(
    index: &Connection,
    key: u128,
    part: Part,
    tail: &[(Version, Position)],
) -> rusqlite::Result<Vec<(Version, Position)>> {
    let tail_from = tail.first().map_or(Version::MAX, |&(version, _)| version);
    if part.forwards() {
        let mut found = Vec::new();
        if part.from < tail_from {
            found = index::entries(index, key, part.from, true, part.limit)?;
            found.retain(|&(version, _)| version < tail_from);
        }
        let rest = Part { limit: part.limit - found.len(), ..part };
        found.extend(cut(tail, rest));
        return Ok(found);
    }
    let mut found = cut(tail, part);
    if found.len() < part.limit {
        let from = part.from.min(tail_from.saturating_sub(1));
        found.extend(index::entries(index, key, from, false, part.limit - found.len())?);
    }
    Ok(found)
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

fn hole(position: Position) -> Error {
    Error::Damaged { position, what: "there is no record".into() }
}
