//! Reads through the pool. They never return anything past the durable head, and records up to it never change, so
//! several statements are as consistent as one. A connection that the server has closed is noticed only when it is
//! used; the read is then retried.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Postgres, Row};
use uuid::Uuid;

use super::rows::{self, HEAD, Names, columns, read_error, signed, unsigned};
use super::shared::Shared;
use crate::append::Receipt;
use crate::recent::{MOST_BYTES, MOST_SEEN};
use crate::record::{Micros, Position, Record, StreamId, Version};
use crate::store::{Direction, Error, Filter, Head, Page};

/// The first pause before a read that lost its connection is tried again; each later one is twice as long.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

/// Runs a read on a connection, and again on another where the connection turns out to be lost, for as long as a read may take.
macro_rules! reading {
    ($shared:expr, $connection:ident => $work:expr) => {{
        let whole = async {
            let mut pause = $crate::postgres::reader::PAUSE;
            loop {
                let mut lent = $shared.pool.lend().await?;
                let read: sqlx::Result<_> = {
                    let $connection = &mut *lent;
                    $work.await
                };
                lent.after(&read);
                match read {
                    Err(error) if $crate::postgres::connect::is_lost(&error) => {
                        tokio::time::sleep(pause).await;
                        pause *= 2;
                    }
                    read => break read,
                }
            }
        };
        let read = $crate::postgres::connect::within($shared.options.answer, whole).await;
        if matches!(&read, Err(sqlx::Error::Io(_))) {
            // There was no answer: the idle connections are as old as this one.
            $shared.pool.distrust();
        }
        read.map_err(|error| $crate::postgres::rows::read_error(&error))
    }};
}
pub(super) use reading;

/// The records after `$1` up to `$2` that match the lists of tenants, categories and types (an empty list matches all),
/// at most `$6`, and none after `$7` bytes.
macro_rules! page {
    ($previous:literal) => {
        concat!(
    "SELECT ",
    columns!(),
    ", ",
    $previous,
    " FROM (SELECT *, sum(octet_length(metadata) + octet_length(data)) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING) \
        - octet_length(metadata) - octet_length(data) AS before \
      FROM daybook.events WHERE position > $1 AND position <= $2 \
        AND (cardinality($3::bytea[]) = 0 OR tenant = ANY ($3)) AND (cardinality($4::bytea[]) = 0 OR category = ANY \
        ($4)) \
        AND (cardinality($5::bytea[]) = 0 OR kind = ANY ($5)) ORDER BY position LIMIT $6) page \
     WHERE before < $7 ORDER BY position"
        )
    };
}

/// A page of every record: only the first needs the hash of the one before.
const PAGE: &str =
    page!("CASE WHEN position = $1 + 1 THEN (SELECT p.hash FROM daybook.events p WHERE p.position = $1) END");

/// A page of some records: between them others stand.
const PAGE_OF_SOME: &str = page!("(SELECT p.hash FROM daybook.events p WHERE p.position = page.position - 1)");

/// The end of the last whole batch before the record at `$1`, which does not fit.
const WHOLE_BEFORE: &str = "SELECT CASE WHEN EXISTS (SELECT 1 FROM daybook.events d WHERE d.position = $1 \
      AND d.command_id <> (SELECT l.command_id FROM daybook.events l WHERE l.position = $1 - 1)) \
    THEN $1 - 1 ELSE b.position - 1 END FROM daybook.events b WHERE b.position < $1 AND b.fingerprint IS NOT NULL \
    ORDER BY b.position DESC LIMIT 1";

/// The last position of the batch to which the record at `$1` belongs: the next batch begins with a fingerprint.
const END_OF_BATCH: &str = "SELECT position - 1 FROM daybook.events WHERE position > $1 AND fingerprint IS NOT NULL \
    ORDER BY position LIMIT 1";

/// The first position after `$1` that holds a record of one of the categories.
const SKIP: &str = "SELECT min(e.position) FROM unnest($2::bytea[]) AS c (category) CROSS JOIN LATERAL ( \
      SELECT position FROM daybook.events WHERE category = c.category AND position > $1 ORDER BY position LIMIT 1) e";

/// The durable head as the database has it now.
pub(super) async fn head(shared: &Shared) -> Result<Head, Error> {
    let row = reading!(shared, connection => sqlx::query(HEAD).fetch_one(connection));
    let head = rows::head(&row?).map_err(|error| read_error(&error))?.head;
    shared.publish(head);
    Ok(head)
}

/// A page of the log after `after`, up to `head`. It ends before the batch in which a record does not fit, and only a page that would begin
/// there fails.
pub(super) async fn page(
    shared: &Shared,
    after: Position,
    filter: &Filter,
    limit: usize,
    head: Position,
) -> Result<Page, Error> {
    let mut page = Page { records: Vec::new(), next: after, head };
    if limit == 0 || after >= head {
        return Ok(page);
    }
    match whole_page(shared, &mut page, filter, limit).await {
        Err(Error::Damaged { position, what }) if position > after + 1 => {
            let end = whole_before(shared, position).await?;
            if end <= after {
                return Err(Error::Damaged { position, what });
            }
            let mut before = Page { records: Vec::new(), next: after, head: end };
            whole_page(shared, &mut before, filter, limit).await?;
            Ok(Page { head, ..before })
        }
        read => read.map(|()| page),
    }
}

async fn whole_page(shared: &Shared, page: &mut Page, filter: &Filter, limit: usize) -> Result<(), Error> {
    let after = page.next;
    reading!(shared, connection => fill(connection, page, after, filter, limit))?;
    if filter == &Filter::default() { check_holes(after, page) } else { Ok(()) }
}

/// The end of the last whole batch before a position at which a record does not fit.
async fn whole_before(shared: &Shared, position: Position) -> Result<Position, Error> {
    let found = reading!(shared, connection => sqlx::query::<Postgres>(WHOLE_BEFORE)
        .bind(signed(position))
        .fetch_optional(connection));
    found?.map_or(Ok(0), |row| unsigned(&row, 0)).map_err(|error| read_error(&error))
}

async fn fill(
    connection: &mut PgConnection,
    page: &mut Page,
    mut after: Position,
    filter: &Filter,
    limit: usize,
) -> sqlx::Result<()> {
    page.records.clear();
    let head = page.head;
    let mut upto = head.min(after + MOST_SEEN as u64);
    let limit = limit.min(MOST_SEEN);
    let mut records = select(connection, after, upto, filter, limit + 1).await?;
    if records.is_empty() && upto < head && !filter.categories.is_empty() {
        // The index of categories leads over a stretch without them, however long.
        let next = skip(connection, upto, filter).await?.unwrap_or(head + 1);
        after = head.min(next - 1);
        upto = head.min(after + MOST_SEEN as u64);
        if after < upto {
            records = select(connection, after, upto, filter, limit + 1).await?;
        }
    }
    // Where the page ends, unless it ends at the head, which is the end of a batch.
    let mut at = upto;
    let full = records.len() > limit;
    if full && let Some(beyond) = records.pop() {
        let last = records.last().map_or(0, |last| last.position);
        if records.last().is_none_or(|last| last.command_id != beyond.command_id) {
            page.next = beyond.position - 1;
            page.records = records;
            return Ok(());
        }
        at = last;
    } else if let Some(last) = records.last()
        && bytes(&records) >= MOST_BYTES
    {
        at = last.position;
    }
    if at < head {
        let end = end_of_batch(connection, at).await?.map_or(head, |end| end.min(head));
        if end > at {
            records.extend(select(connection, at, end, filter, MOST_SEEN).await?);
        }
        at = end;
    }
    page.next = at;
    page.records = records;
    Ok(())
}

fn bytes(records: &[Record]) -> usize {
    let bytes = records.iter();
    bytes.map(|record| record.data.len() + record.metadata.len()).sum()
}

async fn select(
    connection: &mut PgConnection,
    after: Position,
    upto: Position,
    filter: &Filter,
    limit: usize,
) -> sqlx::Result<Vec<Record>> {
    let rows = select_rows(connection, after, upto, filter, limit).await?;
    if filter == &Filter::default() {
        return rows::chain(&rows);
    }
    let mut names = Names::default();
    rows.iter().map(|row| rows::proved(row, &mut names, None)).collect()
}

/// The rows of a page, [`MOST_BYTES`] and one record at most.
pub(super) async fn select_rows(
    connection: &mut PgConnection,
    after: Position,
    upto: Position,
    filter: &Filter,
    limit: usize,
) -> sqlx::Result<Vec<PgRow>> {
    let sql = if filter == &Filter::default() { PAGE } else { PAGE_OF_SOME };
    sqlx::query::<Postgres>(sql)
        .bind(signed(after))
        .bind(signed(upto))
        .bind(names(&filter.tenants))
        .bind(names(&filter.categories))
        .bind(names(&filter.kinds))
        .bind(signed(limit as u64))
        .bind(signed(MOST_BYTES as u64))
        .fetch_all(connection)
        .await
}

fn names(names: &[String]) -> Vec<&[u8]> {
    names.iter().map(String::as_bytes).collect()
}

pub(super) async fn end_of_batch(connection: &mut PgConnection, at: Position) -> sqlx::Result<Option<Position>> {
    let row = sqlx::query::<Postgres>(END_OF_BATCH).bind(signed(at)).fetch_optional(connection).await?;
    row.map(|row| unsigned(&row, 0)).transpose()
}

async fn skip(connection: &mut PgConnection, after: Position, filter: &Filter) -> sqlx::Result<Option<Position>> {
    let row =
        sqlx::query::<Postgres>(SKIP).bind(signed(after)).bind(names(&filter.categories)).fetch_one(connection).await?;
    let next: Option<i64> = row.try_get(0)?;
    Ok(next.map(i64::unsigned_abs))
}

/// Every position up to where the page ends is there.
fn check_holes(after: Position, page: &Page) -> Result<(), Error> {
    let mut expected = after + 1;
    for record in &page.records {
        if record.position != expected {
            break;
        }
        expected += 1;
    }
    if expected == page.next + 1 { Ok(()) } else { Err(Error::hole(expected)) }
}

const FORWARDS: &str = concat!(
    "SELECT ",
    columns!(),
    ", (SELECT p.hash FROM daybook.events p WHERE p.position = part.position - 1) FROM (SELECT *, sum(octet_length(metadata) + octet_length(data)) OVER (ORDER BY version ROWS UNBOUNDED PRECEDING) \
        - octet_length(metadata) - octet_length(data) AS before \
      FROM daybook.events WHERE tenant = $1 AND category = $2 AND stream_id = $3 AND version >= $4 ORDER BY version \
      LIMIT $5) part \
     WHERE before < $6 ORDER BY version"
);

const BACKWARDS: &str = concat!(
    "SELECT ",
    columns!(),
    ", (SELECT p.hash FROM daybook.events p WHERE p.position = part.position - 1) FROM (SELECT *, sum(octet_length(metadata) + octet_length(data)) OVER (ORDER BY version DESC ROWS UNBOUNDED PRECEDING) \
        - octet_length(metadata) - octet_length(data) AS before \
      FROM daybook.events WHERE tenant = $1 AND category = $2 AND stream_id = $3 AND version <= $4 ORDER BY version \
      DESC LIMIT $5) part \
     WHERE before < $6 ORDER BY version DESC"
);

/// Part of a stream.
pub(super) async fn stream(
    shared: &Shared,
    stream: &StreamId,
    from: Version,
    direction: Direction,
    limit: usize,
) -> Result<Vec<Record>, Error> {
    let sql = match direction {
        Direction::Forwards => FORWARDS,
        Direction::Backwards => BACKWARDS,
    };
    let found = reading!(shared, connection => sqlx::query::<Postgres>(sql)
        .bind(stream.tenant.as_bytes())
        .bind(stream.category.as_bytes())
        .bind(stream.id.as_bytes())
        .bind(signed(from))
        .bind(signed(limit as u64))
        .bind(signed(MOST_BYTES as u64))
        .fetch_all(connection));
    let mut names = Names::default();
    let mut records: Vec<Record> = Vec::new();
    for row in found? {
        let record = rows::proved(&row, &mut names, None).map_err(|error| read_error(&error))?;
        let expected = records.last().map(|last| match direction {
            Direction::Forwards => last.version + 1,
            Direction::Backwards => last.version - 1,
        });
        if expected.is_some_and(|expected| expected != record.version) {
            return Err(Error::Damaged {
                position: record.position,
                what: format!("version {} of {stream:?} is in the wrong place", record.version),
            });
        }
        records.push(record);
    }
    Ok(records)
}

/// The last version of a stream and its event's id, of a record that fits.
pub(super) async fn stream_head(shared: &Shared, of: &StreamId) -> Result<Option<(Version, Uuid)>, Error> {
    let last = stream(shared, of, Version::MAX, Direction::Backwards, 1).await?;
    Ok(last.first().map(|last| (last.version, last.event_id)))
}

/// The receipt of a command.
pub(super) async fn command(shared: &Shared, id: Uuid) -> Result<Option<Receipt>, Error> {
    let found = reading!(shared, connection => sqlx::query::<Postgres>(
            "SELECT position FROM daybook.events WHERE command_id = $1 AND fingerprint IS NOT NULL",
        )
        .bind(id)
        .fetch_optional(connection));
    match found? {
        Some(row) => {
            let first = unsigned(&row, 0).map_err(|error| read_error(&error))?;
            receipt(shared, first).await.map(Some)
        }
        None => Ok(None),
    }
}

/// The receipt of the command whose first record is at `first`.
pub(super) async fn receipt(shared: &Shared, first: Position) -> Result<Receipt, Error> {
    let found = reading!(shared, connection => sqlx::query::<Postgres>(rows::RECEIPT)
        .bind(signed(first))
        .fetch_all(connection));
    rows::receipt(&found?, first)
}

/// The last position up to `head` recorded at or before an instant. Instants never decrease, so one statement finds it
/// by binary search. The records on both sides of the answer are checked, which proves the answer.
pub(super) async fn position_at(shared: &Shared, instant: Micros, head: Position) -> Result<Position, Error> {
    let found = reading!(shared, connection => sqlx::query::<Postgres>(
            "WITH RECURSIVE search (low, high) AS ( \
               SELECT 0::bigint, $2::bigint \
               UNION ALL \
               SELECT CASE WHEN e.recorded_at <= $1 THEN e.position ELSE s.low END, \
                      CASE WHEN e.recorded_at <= $1 THEN s.high ELSE e.position - 1 END \
               FROM search s JOIN daybook.events e ON e.position = s.low + (s.high - s.low + 1) / 2 WHERE s.low < \
               s.high) \
             SELECT low FROM search WHERE low = high",
        )
        .bind(instant)
        .bind(signed(head))
        .fetch_optional(connection));
    match found? {
        Some(row) => {
            let at = unsigned(&row, 0).map_err(|error| read_error(&error))?;
            let (all, around) = (Filter::default(), (at.saturating_sub(1), head.min(at + 1)));
            let sides = reading!(shared, connection => select(connection, around.0, around.1, &all, 2));
            let found = sides?.len() as u64;
            if around.0 + found < around.1 { Err(Error::hole(around.0 + found + 1)) } else { Ok(at) }
        }
        None => Err(Error::Damaged { position: head, what: "there are positions without a record before it".into() }),
    }
}
