//! The one thread that writes the file. Each job is one transaction; it never answers before the transaction has ended.

use rusqlite::{
    Connection, OptionalExtension, Transaction, TransactionBehavior, params, params_from_iter,
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{schema, write_error};
use crate::store::{Change, Checkpoint, Error, Part, Slot, Takeover};
use crate::value::{Spec, Value};

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
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (jobs, mut queue) = mpsc::channel::<Work>(QUEUE);
        let thread = std::thread::Builder::new()
            .name("read-writer".into())
            .spawn(move || {
                while let Some(work) = queue.blocking_recv() {
                    work(&mut connection);
                }
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
            // Whoever asked may have gone; the transaction stands all the same.
            let _ = answer.send(transact(connection, job));
        });
        self.jobs.send(work).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }
}

fn transact<T>(
    connection: &mut Connection,
    job: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(write_error)?;
    let answer = job(&transaction)?;
    transaction.commit().map_err(write_error)?;
    Ok(answer)
}

/// Writes the rows of all parts and moves their checkpoints.
pub(super) fn commit(
    transaction: &Transaction<'_>,
    slot: Slot,
    parts: &[Part],
) -> Result<(), Error> {
    for part in parts {
        let moved = transaction
            .prepare_cached(
                "UPDATE checkpoint SET position = $1, hash = $2
                 WHERE name = $3 AND slot = $4 AND partition = 0 AND position = $5 AND epoch = $6",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    sql_int(part.to),
                    part.hash,
                    part.name,
                    slot.name(),
                    sql_int(part.from),
                    sql_int(part.epoch)
                ])
            })
            .map_err(write_error)?;
        if moved != 1 {
            return Err(Error::Lost(part.name.to_owned()));
        }
        write_rows(transaction, slot, &part.changes).map_err(write_error)?;
    }
    Ok(())
}

/// Changes of one kind to one table stand side by side mostly, so the statement at hand is kept while they last.
fn write_rows(
    transaction: &Transaction<'_>,
    slot: Slot,
    changes: &[Change],
) -> rusqlite::Result<()> {
    let mut rest = changes;
    while let Some(first) = rest.first() {
        let same = rest
            .iter()
            .take_while(|change| alike(first, change))
            .count();
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
        (Change::Put(a, _), Change::Put(b, _)) | (Change::Remove(a, _), Change::Remove(b, _)) => {
            a == b
        }
        _ => false,
    }
}

/// Makes a model's tables anew and empty.
pub(super) fn create(
    transaction: &Transaction<'_>,
    spec: &'static Spec,
    slot: Slot,
    owner: Uuid,
    incarnation: Uuid,
) -> Result<Checkpoint, Error> {
    let make = || {
        let generation: i64 = transaction.query_row(
            "SELECT COALESCE(MAX(generation), 0) + 1 FROM checkpoint",
            [],
            |row| row.get(0),
        )?;
        let epoch: i64 = transaction
            .query_row(
                "SELECT epoch FROM checkpoint WHERE name = $1 AND slot = $2 AND partition = 0",
                params![spec.name, slot.name()],
                |row| row.get(0),
            )
            .optional()?
            .unwrap_or(0);
        transaction.execute_batch(&schema::create(spec, slot, generation))?;
        transaction.execute(
            "INSERT INTO checkpoint (name, slot, partition, version, position, hash, epoch, owner, incarnation, generation)
             VALUES ($1, $2, 0, $3, 0, $4, $5, $6, $7, $8)
             ON CONFLICT (name, slot, partition) DO UPDATE SET version = excluded.version, position = 0,
                 hash = excluded.hash, epoch = excluded.epoch, owner = excluded.owner,
                 incarnation = excluded.incarnation, generation = excluded.generation",
            params![
                spec.name,
                slot.name(),
                spec.version,
                [0_u8; 32],
                epoch + 1,
                owner.to_string(),
                incarnation.to_string(),
                generation
            ],
        )
    };
    make().map_err(write_error)?;
    held(transaction, spec.name, slot)
}

/// Takes a checkpoint over.
pub(super) fn acquire(
    transaction: &Transaction<'_>,
    name: &str,
    slot: Slot,
    owner: Uuid,
) -> Result<Checkpoint, Error> {
    transaction
        .execute(
            "UPDATE checkpoint SET epoch = epoch + 1, owner = $1 WHERE name = $2 AND slot = $3 AND partition = 0",
            params![owner.to_string(), name, slot.name()],
        )
        .map_err(write_error)?;
    held(transaction, name, slot)
}

/// Puts the next tables in the place of the live ones, unless those are ahead: what was read once is never unread.
pub(super) fn take_over(
    transaction: &Transaction<'_>,
    spec: &'static Spec,
    owner: Uuid,
) -> Result<Takeover, Error> {
    let next = held(transaction, spec.name, Slot::Next)?;
    if next.owner != owner {
        return Err(Error::Lost(spec.name.to_owned()));
    }
    let live = checkpoint(transaction, spec.name, Slot::Live)?;
    let epoch = match &live {
        Some(live) if live.position > next.position => return Ok(Takeover::Behind(live.position)),
        Some(live) => live.epoch.max(next.epoch) + 1,
        None => next.epoch + 1,
    };
    let swap = || {
        transaction.execute_batch(&schema::take_over(spec))?;
        transaction.execute(
            "DELETE FROM checkpoint WHERE name = $1 AND slot = 'live' AND partition = 0",
            params![spec.name],
        )?;
        transaction.execute(
            "UPDATE checkpoint SET slot = 'live', epoch = $1 WHERE name = $2 AND slot = 'next' AND partition = 0",
            params![sql_int(epoch), spec.name],
        )
    };
    swap().map_err(write_error)?;
    held(transaction, spec.name, Slot::Live).map(Takeover::Done)
}

/// Drops what was being built.
pub(super) fn discard(transaction: &Transaction<'_>, spec: &'static Spec) -> Result<(), Error> {
    let drop = || {
        transaction.execute_batch(&schema::drop(spec, Slot::Next))?;
        transaction
            .execute(
                "DELETE FROM checkpoint WHERE name = $1 AND slot = 'next'",
                params![spec.name],
            )
            .map(drop_count)
    };
    drop().map_err(write_error)
}

const fn drop_count(_: usize) {}

fn held(connection: &Connection, name: &str, slot: Slot) -> Result<Checkpoint, Error> {
    checkpoint(connection, name, slot)?.ok_or_else(|| Error::Lost(name.to_owned()))
}

/// The checkpoint of a model's tables.
pub(super) fn checkpoint(
    connection: &Connection,
    name: &str,
    slot: Slot,
) -> Result<Option<Checkpoint>, Error> {
    connection
        .prepare_cached(
            "SELECT version, position, hash, epoch, owner, incarnation FROM checkpoint
             WHERE name = $1 AND slot = $2 AND partition = 0",
        )
        .and_then(|mut statement| {
            statement
                .query_row(params![name, slot.name()], |row| {
                    Ok(Checkpoint {
                        name: name.to_owned(),
                        version: row.get(0)?,
                        position: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
                        hash: row.get(2)?,
                        epoch: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
                        owner: row.get::<_, String>(4)?.parse().unwrap_or_default(),
                        incarnation: row.get::<_, String>(5)?.parse().unwrap_or_default(),
                    })
                })
                .optional()
        })
        .map_err(|error| Error::Read(error.to_string()))
}

/// A position as SQL keeps it.
fn sql_int(number: u64) -> i64 {
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
