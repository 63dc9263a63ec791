//! One batch on its way from the log to the rows: read, decoded once, folded, and committed with the checkpoints of all the models that
//! it is for. It never commits rows without the checkpoint, or the checkpoint without them.

use std::sync::Arc;
use std::time::Instant;

use event_store::record::{Position, Record};
use event_store::{EventStore, Filter};

use crate::fact::Fact;
use crate::member::{Cut, Member};
use crate::projection::Projection;
use crate::source::Source;
use crate::step::{Engine, Failure};
use crate::store::{Change, Error, Part, Slot};
use crate::worker::Parts;

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
    Unfit { first: Position, last: Position, failure: Failure },
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
    /// Where the partitions of what is posted end, if not all at the same position.
    pub(crate) cut: Option<Cut>,
}

/// Reads what waits after `from` and makes the changes; `None` if nothing waits.
pub(crate) async fn prepare(
    parts: &Parts,
    source: &mut Source,
    engine: &mut Engine,
    reach: &Reach<'_>,
    from: Position,
    careful_to: Position,
) -> Result<Option<Prepared>, Fault> {
    let careful = from < careful_to;
    let limit = if careful { 1 } else { parts.batch };
    let page = source.page(&*parts.log, from, limit).await?;
    let (mut records, mut to) = (page.records, page.next.min(reach.bound));
    if careful && records.len() > 1 {
        records.truncate(1);
        to = records[0].position.min(to);
    }
    records.retain(|record| record.position <= to);
    let last = records.last().map(|last| (last.position, last.hash));
    let (to, hash) = match last {
        Some((position, hash)) if position == to => (to, hash),
        _ if to <= from => return Ok(None),
        // Nothing is posted that could not be held against the log later.
        _ => match (hash_at(&*parts.log, to).await?, last) {
            (Some(hash), _) => (to, hash),
            (None, Some(last)) => last,
            (None, None) => return Ok(None),
        },
    };
    source.used(page.next, to);
    if source.is_whole() {
        contiguous(from, &records)?;
    }
    let started = Instant::now();
    let count = records.len();
    let (first, last) =
        (records.first().map_or(to, |first| first.position), records.last().map_or(to, |last| last.position));
    let unfit = |failure| Fault::Unfit { first, last, failure };
    let (models, cut) = (reach.models.to_vec(), reach.cut.clone());
    let facts = offload(count, move || decode(records, &models, cut.as_ref())).await?.map_err(unfit)?;
    let absent = engine.folds.absent(&facts, reach.models);
    let batch = engine.batch + 1;
    engine.folds.bring(absent, &*parts.log, &*parts.rows, reach.models, reach.slot.suffix(), batch).await?;
    let models = reach.models.to_vec();
    let mut taken = std::mem::replace(engine, Engine::new());
    let (back, changes) = offload(count, move || {
        let changes = taken.apply(&facts, &models);
        (taken, changes)
    })
    .await?;
    *engine = back;
    metrics::histogram!("daybook_projection_apply_seconds").record(started.elapsed().as_secs_f64());
    Ok(Some(Prepared { from, to, hash, head: page.head, records: count, changes: changes.map_err(unfit)? }))
}

/// Runs what takes a while on a thread where it holds nobody up.
async fn offload<T: Send + 'static>(size: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    if size < SMALL {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Read(error.to_string()))
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

/// The hash of the record at a position, if the log shows it here already.
pub(crate) async fn hash_at(log: &dyn EventStore, position: Position) -> Result<Option<[u8; 32]>, Error> {
    let head = *log.head().borrow();
    if head.position == position {
        return Ok(Some(head.hash));
    }
    let page = log.read_log(position.saturating_sub(1), &Filter::default(), 1).await?;
    let found = page.records.first();
    Ok(found.filter(|record| record.position == position).map(|record| record.hash))
}

fn decode(records: Vec<Record>, models: &[Arc<dyn Projection>], cut: Option<&Cut>) -> Result<Vec<Fact>, Failure> {
    records
        .into_iter()
        .filter(|record| cut.is_none_or(|cut| cut.admits(record)))
        .filter(|record| models.iter().any(|model| model.wants(&record.stream.category)))
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
        partition: members[*at].partition,
        from: batch.from,
        epoch: members[*at].epoch,
        to: batch.to,
        hash: batch.hash,
        changes,
    });
    parts.rows.commit(slot, commits.collect()).await?;
    metrics::histogram!("daybook_projection_commit_seconds").record(started.elapsed().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    for member in set.iter().map(|at| &members[*at]) {
        let name = member.model.spec().name;
        metrics::histogram!("daybook_projection_batch_events", "projection" => name).record(batch.records as f64);
        if slot == Slot::Live {
            let lag = batch.head.saturating_sub(batch.to);
            metrics::gauge!("daybook_projection_lag_events", member.labels()).set(lag as f64);
            metrics::gauge!("daybook_projection_position", member.labels()).set(batch.to as f64);
            parts.board.change(name, |status| status.position = batch.to);
        }
    }
    Ok(())
}
