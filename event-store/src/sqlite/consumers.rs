//! Consumer rows: leases and checkpoints, changed by compare-and-set in the writer's transaction. A save under an epoch that
//! is over must never succeed.

use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::oneshot;

use super::rows::read_error;
use crate::consumer::{Checkpoint, ConsumerKey, ConsumerRow, Lease};
use crate::record::Micros;
use crate::store::Error;

/// The largest state that a checkpoint carries.
const MAX_STATE: usize = 4 * 1024 * 1024;
const MAX_NAME: usize = 255;

/// A change of a row, on the writer's queue.
pub(super) enum ConsumerJob {
    Acquire {
        key: ConsumerKey,
        owner: String,
        lease_us: Micros,
        reply: oneshot::Sender<Result<Option<ConsumerRow>, Error>>,
    },
    Release {
        lease: Lease,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    Save {
        lease: Lease,
        checkpoint: Checkpoint,
        reply: oneshot::Sender<Result<(), Error>>,
    },
}

/// The outcome of a change; reported once the transaction is durable.
pub(super) enum ConsumerAnswer {
    Row(oneshot::Sender<Result<Option<ConsumerRow>, Error>>, Option<ConsumerRow>),
    Unit(oneshot::Sender<Result<(), Error>>, Result<(), Error>),
}

impl ConsumerJob {
    /// What the change writes beside a row of the usual size.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Save { checkpoint, .. } => checkpoint.state.len(),
            Self::Acquire { .. } | Self::Release { .. } => 0,
        }
    }

    pub(super) fn refuse(self, error: &Error) {
        match self {
            Self::Acquire { reply, .. } => drop(reply.send(Err(error.clone()))),
            Self::Release { reply, .. } | Self::Save { reply, .. } => drop(reply.send(Err(error.clone()))),
        }
    }

    /// Makes the change in the open transaction; reports a failure to the caller.
    pub(super) fn apply(self, log: &Connection, now: Micros) -> rusqlite::Result<ConsumerAnswer> {
        let done = match &self {
            Self::Acquire { key, owner, lease_us, .. } => acquire(log, key, owner, *lease_us, now).map(Done::Row),
            Self::Release { lease, .. } => release(log, lease).map(Done::Changed),
            Self::Save { lease, checkpoint, .. } => save(log, lease, checkpoint).map(Done::Changed),
        };
        match (done, self) {
            (Err(error), job) => {
                job.refuse(&Error::NotNow(error.to_string()));
                Err(error)
            }
            (Ok(Done::Row(row)), Self::Acquire { reply, .. }) => Ok(ConsumerAnswer::Row(reply, row)),
            (Ok(Done::Changed(changed)), Self::Release { reply, .. } | Self::Save { reply, .. }) => {
                Ok(ConsumerAnswer::Unit(reply, if changed { Ok(()) } else { Err(Error::LeaseLost) }))
            }
            (Ok(_), _) => Err(rusqlite::Error::InvalidQuery),
        }
    }
}

enum Done {
    Row(Option<ConsumerRow>),
    Changed(bool),
}

impl ConsumerAnswer {
    pub(super) fn tell(self) {
        match self {
            Self::Row(reply, row) => drop(reply.send(Ok(row))),
            Self::Unit(reply, outcome) => drop(reply.send(outcome)),
        }
    }

    pub(super) fn tell_instead(self, error: &Error) {
        match self {
            Self::Row(reply, _) => drop(reply.send(Err(error.clone()))),
            Self::Unit(reply, _) => drop(reply.send(Err(error.clone()))),
        }
    }
}

/// Whether a name can be one.
pub(super) fn check_key(key: &ConsumerKey, owner: &str) -> Result<(), Error> {
    if key.name.is_empty() || key.name.len() > MAX_NAME || owner.is_empty() || owner.len() > MAX_NAME {
        return Err(Error::Never(format!("a consumer's name and owner have 1 to {MAX_NAME} bytes")));
    }
    Ok(())
}

/// Whether a checkpoint can be kept.
pub(super) fn check_size(checkpoint: &Checkpoint) -> Result<(), Error> {
    if checkpoint.state.len() > MAX_STATE {
        return Err(Error::Never(format!(
            "a consumer's state has {} bytes, at most {MAX_STATE} are allowed",
            checkpoint.state.len()
        )));
    }
    Ok(())
}

/// A row as it stands.
pub(super) fn row(log: &Connection, key: &ConsumerKey) -> Result<Option<ConsumerRow>, Error> {
    select(log, key).map_err(read_error)
}

/// Every row of a name, in order of partition.
pub(super) fn rows(log: &Connection, name: &str) -> Result<Vec<ConsumerRow>, Error> {
    let select = || {
        log.prepare_cached(
            "SELECT partition, owner, epoch, lease_until, position, hash, state FROM consumer WHERE name = ?1 ORDER \
             BY partition",
        )?
        .query_map(params![name], |row| read(name, row))?
        .collect::<rusqlite::Result<Vec<_>>>()
    };
    select().map_err(read_error)
}

fn select(log: &Connection, key: &ConsumerKey) -> rusqlite::Result<Option<ConsumerRow>> {
    let sql = "SELECT partition, owner, epoch, lease_until, position, hash, state FROM consumer \
               WHERE name = ?1 AND partition = ?2";
    log.prepare_cached(sql)?.query_row(params![key.name, key.partition], |row| read(&key.name, row)).optional()
}

fn read(name: &str, row: &Row<'_>) -> rusqlite::Result<ConsumerRow> {
    Ok(ConsumerRow {
        lease: Lease {
            key: ConsumerKey { name: name.to_owned(), partition: row.get(0)? },
            owner: row.get(1)?,
            epoch: row.get(2)?,
            lease_until: row.get(3)?,
        },
        checkpoint: Checkpoint { position: row.get(4)?, hash: row.get(5)?, state: row.get::<_, Vec<u8>>(6)?.into() },
    })
}

fn acquire(
    log: &Connection,
    key: &ConsumerKey,
    owner: &str,
    lease_us: Micros,
    now: Micros,
) -> rusqlite::Result<Option<ConsumerRow>> {
    let before = select(log, key)?;
    let lease_until = now.saturating_add(lease_us.max(0));
    let epoch = match &before {
        None => 1,
        // A released row has no owner, so taking it again is a change of hands.
        Some(row) if row.lease.owner == owner => row.lease.epoch,
        Some(row) if row.lease.lease_until <= now => row.lease.epoch + 1,
        Some(_) => return Ok(None),
    };
    let checkpoint = before.map(|row| row.checkpoint).unwrap_or_default();
    log.prepare_cached(
        "INSERT INTO consumer VALUES (?1, ?2, ?3, ?4, ?5, 0, zeroblob(32), x'') \
         ON CONFLICT (name, partition) DO UPDATE SET owner = ?3, epoch = ?4, lease_until = ?5",
    )?
    .execute(params![key.name, key.partition, owner, epoch, lease_until])?;
    Ok(Some(ConsumerRow { lease: Lease { key: key.clone(), owner: owner.into(), epoch, lease_until }, checkpoint }))
}

fn release(log: &Connection, lease: &Lease) -> rusqlite::Result<bool> {
    let sql = "UPDATE consumer SET owner = '', lease_until = 0 \
               WHERE name = ?1 AND partition = ?2 AND owner = ?3 AND epoch = ?4";
    let Lease { key, owner, epoch, .. } = lease;
    Ok(log.prepare_cached(sql)?.execute(params![key.name, key.partition, owner, epoch])? == 1)
}

fn save(log: &Connection, lease: &Lease, checkpoint: &Checkpoint) -> rusqlite::Result<bool> {
    let sql = "UPDATE consumer SET position = ?5, hash = ?6, state = ?7 \
               WHERE name = ?1 AND partition = ?2 AND owner = ?3 AND epoch = ?4";
    let Lease { key, owner, epoch, .. } = lease;
    let Checkpoint { position, hash, state } = checkpoint;
    let changed = log.prepare_cached(sql)?.execute(params![
        key.name,
        key.partition,
        owner,
        epoch,
        position,
        &hash[..],
        &state[..]
    ])?;
    Ok(changed == 1)
}
