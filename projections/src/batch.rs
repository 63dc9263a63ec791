//! One batch on its way from the log to the rows: read, decoded once, folded, and committed with the checkpoints of all the models that
//! it is for. It never commits rows without the checkpoint, or the checkpoint without them.

use std::sync::Arc;
use std::time::Instant;

use event_store::Filter;
use event_store::record::{Position, Record};

use crate::fact::Fact;
use crate::projection::Projection;
use crate::step::{Engine, Failure};
use crate::store::{Change, Error, Part, Slot};
use crate::worker::{Member, Parts};

/// Fewer facts than this are not worth another thread.
const SMALL: usize = 48;

/// A batch that is ready to be committed.
pub(crate) struct Prepared {
    pub(crate) from: Position,
    pub(crate) to: Position,
    pub(crate) hash: [u8; 32],
    pub(crate) head: Position,
    pub(crate) records: usize,
    pub(crate) changes: Vec<Vec<Change>>,
}

/// Why no batch could be made ready.
pub(crate) enum Fault {
    /// It may go better later.
    Transient(Error),
    /// These records cannot be applied, from the first to the last position.
    Unfit {
        first: Position,
        last: Position,
        failure: Failure,
    },
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Transient(error)
    }
}

/// What a batch is made for.
pub(crate) struct Reach<'a> {
    pub(crate) models: &'a [Arc<dyn Projection>],
    pub(crate) slot: Slot,
    pub(crate) bound: Position,
}

/// Reads what waits after `from` and makes the changes; `None` if nothing waits.
pub(crate) async fn prepare(
    parts: &Parts,
    engine: &mut Engine,
    reach: &Reach<'_>,
    from: Position,
    careful_to: Position,
) -> Result<Option<Prepared>, Fault> {
    let careful = from < careful_to;
    let limit = if careful { 1 } else { parts.batch };
    let page = parts
        .log
        .read_log(from, &Filter::default(), limit)
        .await
        .map_err(Error::from)?;
    let mut records = page.records;
    if careful {
        records.truncate(1);
    }
    records.retain(|record| record.position <= reach.bound);
    let Some((to, hash)) = records.last().map(|last| (last.position, last.hash)) else {
        return Ok(None);
    };
    contiguous(from, &records)?;
    let started = Instant::now();
    let count = records.len();
    let unfit = |failure| Fault::Unfit {
        first: from + 1,
        last: to,
        failure,
    };
    let models = reach.models.to_vec();
    let facts = offload(count, move || decode(records, &models))
        .await?
        .map_err(unfit)?;
    let absent = engine.folds.absent(&facts, reach.models);
    let batch = engine.batch + 1;
    engine
        .folds
        .bring(
            absent,
            &*parts.log,
            &*parts.rows,
            reach.models,
            reach.slot.suffix(),
            batch,
        )
        .await?;
    let models = reach.models.to_vec();
    let mut taken = std::mem::replace(engine, Engine::new());
    let (back, changes) = offload(count, move || {
        let changes = taken.apply(&facts, &models);
        (taken, changes)
    })
    .await?;
    *engine = back;
    metrics::histogram!("daybook_projection_apply_seconds").record(started.elapsed().as_secs_f64());
    Ok(Some(Prepared {
        from,
        to,
        hash,
        head: page.head,
        records: count,
        changes: changes.map_err(unfit)?,
    }))
}

/// Runs what takes a while on a thread where it holds nobody up.
async fn offload<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    if size < SMALL {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Read(error.to_string()))
}

fn contiguous(from: Position, records: &[Record]) -> Result<(), Error> {
    for (expected, record) in (from + 1..).zip(records) {
        if record.position != expected {
            return Err(Error::Log(event_store::Error::Damaged {
                position: expected,
                what: format!("the next record has position {}", record.position),
            }));
        }
    }
    Ok(())
}

fn decode(records: Vec<Record>, models: &[Arc<dyn Projection>]) -> Result<Vec<Fact>, Failure> {
    records
        .into_iter()
        .filter(|record| {
            models
                .iter()
                .any(|model| model.wants(&record.stream.category))
        })
        .map(|record| {
            Fact::decode(record).map_err(|poison| Failure {
                model: None,
                category: poison.category,
                reason: poison.reason,
            })
        })
        .collect()
}

pub(crate) async fn commit(
    parts: &Parts,
    slot: Slot,
    members: &[Member],
    set: &[usize],
    batch: Prepared,
) -> Result<(), Error> {
    let started = Instant::now();
    let commits = set.iter().zip(batch.changes).map(|(at, changes)| Part {
        name: members[*at].model.spec().name,
        from: batch.from,
        epoch: members[*at].epoch,
        to: batch.to,
        hash: batch.hash,
        changes,
    });
    parts.rows.commit(slot, commits.collect()).await?;
    metrics::histogram!("daybook_projection_commit_seconds")
        .record(started.elapsed().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    for at in set {
        let name = members[*at].model.spec().name;
        metrics::histogram!("daybook_projection_batch_events", "projection" => name)
            .record(batch.records as f64);
        if slot == Slot::Live {
            let lag = batch.head.saturating_sub(batch.to);
            metrics::gauge!("daybook_projection_lag_events", "projection" => name).set(lag as f64);
            metrics::gauge!("daybook_projection_position", "projection" => name)
                .set(batch.to as f64);
            parts
                .board
                .change(name, |status| status.position = batch.to);
        }
    }
    Ok(())
}
