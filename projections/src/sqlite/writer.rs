//! The one thread that writes the file. Each job is one transaction; it never answers before the transaction has ended.

use std::cell::Cell;
use std::ffi::c_int;
use std::path::Path;

use event_store::sqlite::Copier;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, Transaction, TransactionBehavior, params, params_from_iter};
use tokio::sync::{mpsc, oneshot};

use super::{schema, write_error};
use crate::held::HeldChange;
use crate::store::{Change, Error, Part, Slot};
use crate::value::Value;

/// How many jobs may wait: a worker has one on the way and prepares the next, so this is many workers.
const QUEUE: usize = 64;

type Work = Box<dyn FnOnce(&mut Connection) + Send>;

/// Sends jobs to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Work>,
}

impl Writer {
    /// Starts the thread; it ends when the writer is dropped.
    pub(super) fn start(
        mut connection: Connection,
        file: &Path,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (jobs, mut queue) = mpsc::channel::<Work>(QUEUE);
        let copier = Copier::start("read-copy", file, schema::MOST_WAL_PAGES)?;
        connection.wal_hook(Some(count_pages));
        let thread = std::thread::Builder::new().name("read-writer".into()).spawn(move || {
            while let Some(work) = queue.blocking_recv() {
                work(&mut connection);
                copier.written();
            }
            // The connection that is closed last copies what is left.
            drop(copier);
        })?;
        Ok((Self { jobs }, thread))
    }

    /// Runs a job as one transaction.
    pub(super) async fn run<T, F>(&self, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            // The caller may have stopped waiting; the transaction stays valid.
            let _ = answer.send(transact(connection, job));
        });
        self.jobs.send(work).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }
}

thread_local! {
    /// How many pages the write-ahead log had after the last commit.
    static PAGES: Cell<c_int> = const { Cell::new(0) };
}

/// Called after each commit with the pages in the write-ahead log, which begins again once it is copied.
fn count_pages(_: &Wal, pages: c_int) -> rusqlite::Result<()> {
    let before = PAGES.replace(pages);
    let written = if pages > before { pages - before } else { pages };
    metrics::counter!("daybook_projection_pages_written_total").increment(u64::try_from(written).unwrap_or(0));
    Ok(())
}

fn transact<T>(
    connection: &mut Connection,
    job: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(write_error)?;
    let answer = job(&transaction)?;
    transaction.commit().map_err(write_error)?;
    Ok(answer)
}

/// Writes the rows of all parts and moves their checkpoints.
pub(super) fn commit(transaction: &Transaction<'_>, slot: Slot, parts: &[Part]) -> Result<(), Error> {
    for part in parts {
        let moved = transaction
            .prepare_cached(
                "UPDATE checkpoint SET position = $1, hash = $2, stopped_at = NULL, stop_reason = NULL
                 WHERE name = $3 AND slot = $4 AND partition = $5 AND position = $6 AND epoch = $7",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    sql_int(part.to),
                    part.hash,
                    part.name,
                    slot.name(),
                    part.partition,
                    sql_int(part.from),
                    sql_int(part.epoch)
                ])
            })
            .map_err(write_error)?;
        if moved != 1 {
            return Err(Error::Lost(part.name.to_owned()));
        }
        write_rows(transaction, slot, &part.changes).map_err(write_error)?;
        write_held(transaction, slot, part.name, &part.held).map_err(write_error)?;
    }
    Ok(())
}

fn write_held(transaction: &Transaction<'_>, slot: Slot, name: &str, held: &[HeldChange]) -> rusqlite::Result<()> {
    for change in held {
        match change {
            HeldChange::Hold(held) => {
                let [tenant, category, stream, version, position, kind, reason, correlation] = held.row();
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO held
                             (name, slot, tenant, category, stream, version, position, kind, reason, correlation)
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                    )?
                    .execute(params![
                        name,
                        slot.name(),
                        tenant,
                        category,
                        stream,
                        version,
                        position,
                        kind,
                        reason,
                        correlation
                    ])?;
            }
            HeldChange::Release(stream) => {
                transaction
                    .prepare_cached(
                        "DELETE FROM held
                         WHERE name = $1 AND slot = $2 AND tenant = $3 AND category = $4 AND stream = $5",
                    )?
                    .execute(params![name, slot.name(), &*stream.tenant, &*stream.category, &*stream.id])?;
            }
        }
    }
    Ok(())
}

/// Changes of one kind to one table are mostly consecutive, so the current statement is reused while they last.
fn write_rows(transaction: &Transaction<'_>, slot: Slot, changes: &[Change]) -> rusqlite::Result<()> {
    let mut rest = changes;
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|change| alike(first, change)).count();
        let (run, later) = rest.split_at(same);
        let sql = match first {
            Change::Put(table, _) => schema::put(table, slot),
            Change::Remove(table, _) => schema::remove(table, slot),
        };
        let mut statement = transaction.prepare_cached(&sql)?;
        for change in run {
            let (Change::Put(_, values) | Change::Remove(_, values)) = change;
            statement.execute(params_from_iter(values))?;
        }
        rest = later;
    }
    Ok(())
}

fn alike(one: &Change, other: &Change) -> bool {
    match (one, other) {
        (Change::Put(a, _), Change::Put(b, _)) | (Change::Remove(a, _), Change::Remove(b, _)) => a == b,
        _ => false,
    }
}

/// A position as SQL keeps it.
pub(super) fn sql_int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef};
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
