//! The least that SQLite must do for the same rows. Nothing here may be cleverer or lazier than a prepared insert in a loop.

use std::path::Path;
use std::time::{Duration, Instant};

use event_store::record::StreamId;
use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rusqlite::Connection;
use uuid::Uuid;

use crate::cpu;
use crate::load::{self, Load, Streams};

/// How many events each commit of a run had: the records of one commit share their instant.
pub(crate) fn commit_sizes(dir: &Path, after: u64) -> Vec<usize> {
    let log = Connection::open(dir.join("log.sqlite")).unwrap();
    let mut statement =
        log.prepare("SELECT count(*) FROM log WHERE position > ?1 GROUP BY recorded_at ORDER BY recorded_at").unwrap();
    statement
        .query_map([after], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// A row, ready to be bound.
pub(crate) struct Row {
    stream: StreamId,
    version: u64,
    event_id: Uuid,
    command_id: Uuid,
}

/// Rows like those that the store wrote, made before the clock runs.
pub(crate) fn rows(load: Load, streams: &Streams, sizes: &[usize]) -> Vec<Row> {
    let mut random = SmallRng::seed_from_u64(3);
    (0..sizes.iter().sum())
        .map(|_| {
            let (stream, version) = match load {
                Load::New => (load::new_stream(&mut random), 1),
                Load::Random => {
                    let head = &streams.heads[random.random_range(0..streams.heads.len())];
                    (load::stream(head.number), head.version)
                }
            };
            Row {
                stream,
                version,
                event_id: load::event_id(&mut random),
                command_id: load::command_id(&mut random),
            }
        })
        .collect()
}

/// Writes the rows in commits of these sizes; answers the time for all and the times of the commits.
pub(crate) fn run(
    dir: &Path,
    rows: &[Row],
    sizes: &[usize],
) -> (Duration, Histogram<u64>, Duration) {
    let log = open(dir);
    let first: u64 = log
        .query_row("SELECT coalesce(max(position), 0) FROM log", [], |row| {
            row.get(0)
        })
        .unwrap();
    let (data, metadata) = (load::data(), load::metadata());
    let mut latencies = Histogram::new(3).unwrap();
    let mut rows = rows.iter().zip(first + 1..);
    let mut insert = log
        .prepare(
            "INSERT INTO log (position, recorded_at, tenant, category, stream_id, version, event_id, kind, \
             schema_version, command_id, hash, fingerprint, metadata, data) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )
        .unwrap();
    let mut begin = log.prepare("BEGIN IMMEDIATE").unwrap();
    let mut commit = log.prepare("COMMIT").unwrap();
    let cpu_before = cpu::mine();
    let began = Instant::now();
    for &size in sizes {
        let one = Instant::now();
        begin.raw_execute().unwrap();
        for (row, position) in rows.by_ref().take(size) {
            insert.raw_bind_parameter(1, position as i64).unwrap();
            insert.raw_bind_parameter(2, position as i64).unwrap();
            insert.raw_bind_parameter(3, &*row.stream.tenant).unwrap();
            insert.raw_bind_parameter(4, &*row.stream.category).unwrap();
            insert.raw_bind_parameter(5, &*row.stream.id).unwrap();
            insert.raw_bind_parameter(6, row.version as i64).unwrap();
            insert
                .raw_bind_parameter(7, &row.event_id.as_bytes()[..])
                .unwrap();
            insert.raw_bind_parameter(8, "StockReserved").unwrap();
            insert.raw_bind_parameter(9, 1).unwrap();
            insert
                .raw_bind_parameter(10, &row.command_id.as_bytes()[..])
                .unwrap();
            insert.raw_bind_parameter(11, &[9_u8; 32][..]).unwrap();
            insert.raw_bind_parameter(12, &[5_u8; 32][..]).unwrap();
            insert.raw_bind_parameter(13, &metadata[..]).unwrap();
            insert.raw_bind_parameter(14, &data[..]).unwrap();
            insert.raw_execute().unwrap();
        }
        commit.raw_execute().unwrap();
        latencies.record(one.elapsed().as_micros() as u64).unwrap();
    }
    (began.elapsed(), latencies, cpu::mine() - cpu_before)
}

/// The log table as the store has it, with the store's settings, and without what guards it against changes.
fn open(dir: &Path) -> Connection {
    let log = Connection::open(dir.join("log.sqlite")).unwrap();
    log.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
        .unwrap();
    log.pragma_update(None, "synchronous", "FULL").unwrap();
    log.pragma_update(None, "wal_autocheckpoint", 32_000)
        .unwrap();
    log.pragma_update(None, "cache_size", -16_384).unwrap();
    log.execute_batch(
        "DROP TRIGGER IF EXISTS log_is_never_changed; DROP TRIGGER IF EXISTS log_is_never_cut",
    )
    .unwrap();
    log
}
