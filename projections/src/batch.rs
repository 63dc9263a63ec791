//! One batch on its way from the log to the rows: read, decoded once, folded, and committed with the checkpoints of all the models that
//! it is for. It never commits rows without the checkpoint, or the checkpoint without them.

use std::sync::Arc;
use std::time::Instant;

use event_store::record::{Position, Record};
use event_store::{EventStore, Filter};
use streams::Unreadable;

use crate::fact::{Fact, Step};
use crate::fold::Absent;
use crate::held::{Held, HeldChange};
use crate::member::{Cut, Member};
use crate::projection::Projection;
use crate::repost::{self, Follow};
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
    /// The changes of each model's rows and held streams.
    pub(crate) work: Vec<Changed>,
    /// There is more to do before the checkpoint moves.
    pub(crate) unfinished: bool,
}

/// What a batch changes of one model.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    pub(crate) rows: Vec<Change>,
    pub(crate) held: Vec<HeldChange>,
}

/// Why no batch could be made ready.
pub(crate) enum Fault {
    /// It may go better later.
    Transient(Error),
    /// These records cannot be applied, up to the last position. If there is only one, it is included.
    Unfit { last: Position, one: Option<Box<Record>>, failure: Failure },
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
    /// The ends of the partitions, if they are not all at the same position.
    pub(crate) cut: Option<Cut>,
}

/// Reads the records after `from` and computes the changes; `None` if there are no records.
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
    // A record that sets another aside changes more than its own place, so it is a batch of its own.
    let aside = records.iter().position(|record| streams::sets_aside(record).is_some());
    let most = match aside {
        Some(0) => 1,
        Some(before) if !careful => before,
        _ if careful => 1,
        _ => records.len(),
    };
    if records.len() > most {
        records.truncate(most);
        to = records[most - 1].position.min(to);
    }
    records.retain(|record| record.position <= to);
    let Some((to, hash)) = end(parts, &records, from, to).await? else {
        return Ok(None);
    };
    let mut work: Vec<Changed> = reach.models.iter().map(|_| Changed::default()).collect();
    if aside == Some(0)
        && let [record] = &*records
        && reach.cut.as_ref().is_none_or(|cut| cut.admits(record))
    {
        match repost::follow(parts, engine, reach.models, record).await? {
            Follow::With(with) => work = with,
            Follow::First(work) => {
                source.used(page.next, from);
                let hash = standing_hash(parts, from).await?;
                let (head, to) = (page.head, from);
                return Ok(Some(Prepared { from, to, hash, head, records: 0, work, unfinished: true }));
            }
        }
    }
    source.used(page.next, to);
    if source.is_whole() {
        contiguous(from, &records)?;
    }
    let started = Instant::now();
    let count = records.len();
    let last = records.last().map_or(to, |last| last.position);
    let one = records.first().filter(|_| count == 1).cloned().map(Box::new);
    let (models, cut) = (reach.models.to_vec(), reach.cut.clone());
    let read = offload(count, move || decode(records, &models, cut.as_ref())).await?;
    let steps = sort(read, engine, reach.models, &mut work);
    bring(parts, engine, reach, &steps, &mut work).await?;
    let models = reach.models.to_vec();
    let mut taken = std::mem::replace(engine, Engine::new(Vec::new()));
    let (back, changes) = offload(count, move || {
        let changes = taken.apply(&steps, &models);
        (taken, changes)
    })
    .await?;
    *engine = back;
    metrics::histogram!("daybook_projection_apply_seconds").record(started.elapsed().as_secs_f64());
    let changes = changes.map_err(|failure| Fault::Unfit { last, one, failure })?;
    for (work, rows) in work.iter_mut().zip(changes) {
        work.rows = rows;
    }
    Ok(Some(Prepared { from, to, hash, head: page.head, records: count, work, unfinished: false }))
}

/// The hash at a checkpoint's position.
pub(crate) async fn standing_hash(parts: &Parts, position: Position) -> Result<[u8; 32], Error> {
    if position == 0 {
        return Ok([0; 32]);
    }
    let found = hash_at(&*parts.log, position).await?;
    found.ok_or_else(|| Error::Read(format!("this process does not see position {position} of the log yet")))
}

/// Where a page ends that is used up to `to`, with the hash there; `None` if nothing waits.
async fn end(
    parts: &Parts,
    records: &[Record],
    from: Position,
    to: Position,
) -> Result<Option<(Position, [u8; 32])>, Error> {
    let last = records.last().map(|last| (last.position, last.hash));
    Ok(match last {
        Some((position, hash)) if position == to => Some((to, hash)),
        _ if to <= from => None,
        // A commit needs a hash, so that its rows can later be checked against the log.
        _ => match hash_at(&*parts.log, to).await? {
            Some(hash) => Some((to, hash)),
            None => last,
        },
    })
}

/// Collects the readable records in order, and holds the streams of unreadable records in every model that needs them.
/// Later records of such a stream are left for later.
fn sort(
    read: Vec<Result<Fact, Box<(Record, Unreadable)>>>,
    engine: &mut Engine,
    models: &[Arc<dyn Projection>],
    work: &mut [Changed],
) -> Vec<Step> {
    let mut steps = Vec::with_capacity(read.len());
    for read in read {
        let record = match &read {
            Ok(fact) => &fact.record,
            Err(unreadable) => &unreadable.0,
        };
        let wanting = |at: usize| models[at].wants(&record.stream.category) && !engine.skips(at, record);
        let wanted: Vec<_> = (0..models.len()).filter(|at| wanting(*at)).collect();
        match read {
            _ if wanted.is_empty() => {}
            Ok(fact) => steps.push(Step::Happened(Box::new(fact))),
            Err(unreadable) => {
                let (record, unreadable) = *unreadable;
                for at in wanted {
                    hold(engine, work, at, models[at].spec().name, Held::at(&record, &unreadable.reason));
                }
            }
        }
    }
    steps
}

/// Holds a stream in one model.
fn hold(engine: &mut Engine, work: &mut [Changed], at: usize, name: &'static str, held: Held) {
    tracing::error!(
        projection.name = name,
        position = held.position,
        stream = %held.stream,
        kind = held.kind,
        reason = held.reason,
        "a record cannot be read, and the read model holds its stream; see docs/operations.md, 'A record cannot be \
         read'"
    );
    metrics::counter!("daybook_unreadable_records_total", "reader" => "projections").increment(1);
    if let Some(all) = engine.held.get_mut(at) {
        all.insert(held.stream.clone(), held.clone());
    }
    work[at].held.push(HeldChange::Hold(held));
}

/// Loads the subjects that are not in the cache. A stream with an earlier record that can no longer be read is held
/// from here on.
async fn bring(
    parts: &Parts,
    engine: &mut Engine,
    reach: &Reach<'_>,
    steps: &[Step],
    work: &mut [Changed],
) -> Result<(), Error> {
    let mut absent = Absent::default();
    for step in steps {
        if engine.folds_for(step.record(), reach.models) {
            engine.folds.need(step.record(), &mut absent);
        }
    }
    let batch = engine.batch + 1;
    let (log, rows) = (&*parts.log, &*parts.rows);
    let unreadable = engine.folds.bring(absent, log, rows, reach.models, reach.slot.suffix(), batch).await?;
    for unreadable in unreadable {
        let Some(first) = steps.iter().map(Step::record).find(|record| record.stream == unreadable.stream) else {
            continue;
        };
        for (at, model) in reach.models.iter().enumerate() {
            if model.folds(&first.stream.category) && !engine.skips(at, first) {
                hold(engine, work, at, model.spec().name, Held::because_of(first, &unreadable));
            }
        }
    }
    Ok(())
}

/// Runs slow work on a separate thread, where it does not block other tasks.
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

fn decode(
    records: Vec<Record>,
    models: &[Arc<dyn Projection>],
    cut: Option<&Cut>,
) -> Vec<Result<Fact, Box<(Record, Unreadable)>>> {
    records
        .into_iter()
        .filter(|record| cut.is_none_or(|cut| cut.admits(record)))
        .filter(|record| models.iter().any(|model| model.wants(&record.stream.category)))
        .map(Fact::decode)
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
    let commits = set.iter().zip(batch.work).map(|(at, work)| Part {
        name: members[*at].model.spec().name,
        partition: members[*at].partition,
        from: batch.from,
        epoch: members[*at].epoch,
        to: batch.to,
        hash: batch.hash,
        changes: work.rows,
        held: work.held,
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
