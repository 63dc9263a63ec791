//! Continues a held stream: reads the records that its rows lack from the log and applies them, as far as they can be
//! read, one bounded part at a time. If the rows show a record that was set aside (another version of the program could
//! not read it), that record and everything after it is first removed from the rows.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use event_store::record::{Position, Record, StreamId, Version};
use event_store::{Direction, EventStore};
use streams::Until;

use crate::batch::Changed;
use crate::fact::{Fact, Step};
use crate::held::{self, Held, HeldChange};
use crate::projection::{Projection, Rows, Tallies};
use crate::step::{Engine, in_order};
use crate::store::Error;
use crate::worker::Parts;

/// How many records one commit applies.
const PART: usize = 1_000;
/// The reason of a stream whose rows depend on a record that can no longer be read.
const REBUILD: &str =
    "the rows show an earlier record of the stream that can no longer be read: rebuild the read model";

/// The work before a record that sets another aside is applied.
pub(crate) enum Follow {
    /// These changes must be committed; then ask again. They release no stream.
    First(Vec<Changed>),
    /// Nothing more: this goes with the record.
    With(Vec<Changed>),
}

/// The fold of a stream that is read on, with the version that comes next: the next part need not fold the stream from its beginning.
pub(crate) type Kept = Option<(Version, Engine)>;

/// A record that sets another aside, on which the models that hold its stream are being brought up to it.
#[derive(Debug)]
pub(crate) struct Following {
    position: Position,
    /// The versions that were set aside before it.
    known: BTreeSet<Version>,
    /// The fold of each model.
    kept: Vec<Kept>,
}

/// The result of continuing a held stream.
pub(crate) struct Forward {
    pub(crate) changed: Changed,
    /// Whether anything is shown that was not.
    pub(crate) moved: bool,
    /// Whether nothing is left that is not shown.
    pub(crate) through: bool,
}

/// Brings every model that holds the stream of a record which sets another aside up to right before it.
pub(crate) async fn follow(
    parts: &Parts,
    engine: &mut Engine,
    models: &[Arc<dyn Projection>],
    record: &Record,
) -> Result<Follow, Error> {
    let (log, stream) = (&*parts.log, &record.stream);
    let mut work: Vec<Changed> = models.iter().map(|_| Changed::default()).collect();
    let Some(aside) = streams::sets_aside(record).filter(|aside| *aside < record.version) else {
        return Ok(Follow::With(work));
    };
    let before = Until::Version(record.version - 1);
    let mut following = match engine.following.take().filter(|it| it.position == record.position) {
        Some(following) => following,
        None => {
            let known = streams::asides(log, stream, before).await?;
            Box::new(Following { position: record.position, known, kept: models.iter().map(|_| None).collect() })
        }
    };
    let Following { known, kept, .. } = &mut *following;
    let mut asides = known.clone();
    let news = asides.insert(aside);
    let (mut first, mut released) = (false, false);
    for (at, model) in models.iter().enumerate() {
        if !model.wants(&stream.category) {
            continue;
        }
        let held = engine.held.get(at).and_then(|held| held.get(stream)).cloned();
        match held {
            Some(held) if held.version == record.version => {
                work[at].held.push(HeldChange::Release(stream.clone()));
                released = true;
            }
            Some(held) if held.version <= aside || !news => {
                let forward = forward(log, model, &held, (before, &asides), Some(record), &mut kept[at]).await?;
                first |= forward.moved;
                work[at] = forward.changed;
            }
            None if !news => {}
            held => {
                let top = held.map_or(record.version, |held| held.version) - 1;
                work[at] = rewind(log, model, record, (aside, top), (known, &asides)).await?;
                first |= !work[at].rows.is_empty() || work[at].held.iter().any(|it| holds_before(it, record.version));
            }
        }
    }
    if released && !first && !put(engine, log, stream, record.version - 1, &asides).await? {
        engine.folds.forget(stream);
    }
    if first {
        // A release may only be committed together with the record: otherwise the next question would see a model that
        // has always shown the set-aside record, and roll it back.
        work.iter_mut().for_each(|work| work.held.retain(|change| !matches!(change, HeldChange::Release(_))));
        engine.following = Some(following);
    }
    for (all, work) in engine.held.iter_mut().zip(&work) {
        work.held.iter().for_each(|change| held::change(all, change));
    }
    Ok(if first { Follow::First(work) } else { Follow::With(work) })
}

fn holds_before(change: &HeldChange, version: Version) -> bool {
    matches!(change, HeldChange::Hold(held) if held.version < version)
}

/// Loads a subject into an engine. An unreadable part is missing; the step that needs it fails.
async fn put(
    engine: &mut Engine,
    log: &dyn EventStore,
    stream: &StreamId,
    version: Version,
    asides: &BTreeSet<Version>,
) -> Result<bool, Error> {
    match engine.folds.put(log, stream, version, asides).await {
        Ok(()) => Ok(true),
        Err(streams::Error::Unreadable(_)) => Ok(false),
        Err(streams::Error::Store(error)) => Err(error.into()),
    }
}

/// Continues a held stream up to `until`, at most one part. `then` is the record that caused this: a finished stream
/// stays held until that record is applied. `kept` is the remainder of the part before.
pub(crate) async fn forward(
    log: &dyn EventStore,
    model: &Arc<dyn Projection>,
    held: &Held,
    (until, asides): (Until, &BTreeSet<Version>),
    then: Option<&Record>,
    kept: &mut Kept,
) -> Result<Forward, Error> {
    let stream = &held.stream;
    let (mut steps, stopped, more) = next(log, held, until, asides).await?;
    let stays = |held: Option<Held>| Forward {
        changed: Changed { rows: Vec::new(), held: held.map(HeldChange::Hold).into_iter().collect() },
        moved: false,
        through: false,
    };
    let mut rows = Vec::new();
    loop {
        let mut engine = match kept.take() {
            Some((next, engine)) if next == held.version => engine,
            _ => {
                let mut engine = Engine::new(vec![held::All::new()]);
                if model.folds(&stream.category) && !put(&mut engine, log, stream, held.version - 1, asides).await? {
                    let rebuild = Held { reason: REBUILD.to_owned(), ..held.clone() };
                    return Ok(stays((rebuild != *held).then_some(rebuild)));
                }
                engine
            }
        };
        match engine.apply(&steps, std::slice::from_ref(model)) {
            Ok(changes) => {
                rows.extend(changes.into_iter().flatten());
                *kept = Some((steps.last().map_or(held.version, |last| last.record().version + 1), engine));
            }
            // One after the other, to find the one at which it fails.
            Err(_) if steps.len() > 1 => {
                steps.truncate(1);
                continue;
            }
            Err(failure) => {
                let failing = steps.first().map(|step| Held::at(step.record(), &failure.reason));
                return Ok(stays(failing.filter(|failing| failing != held)));
            }
        }
        break;
    }
    let shown = steps.last().map(|step| step.record().version);
    let cut_short = shown.is_some_and(|shown| shown + 1 < held.version + more.taken);
    let following = shown.map_or(held.version, |shown| shown + 1);
    let changed = match (stopped.filter(|_| !cut_short), then) {
        (Some(stopped), _) => (stopped != *held).then_some(HeldChange::Hold(stopped)),
        (None, None) if !cut_short && !more.waits => Some(HeldChange::Release(stream.clone())),
        // Held until it is finished, but not because of a fault.
        (None, _) => Some(HeldChange::Hold(Held {
            version: following,
            reason: "it is catching up after a record was set aside".to_owned(),
            ..held.clone()
        })),
    };
    let through = matches!(changed, Some(HeldChange::Release(_)));
    let moved = shown.is_some();
    Ok(Forward { changed: Changed { rows, held: changed.into_iter().collect() }, moved, through })
}

/// How much of a stream was read.
struct Taken {
    /// How many records.
    taken: u64,
    /// Whether there are more of them.
    waits: bool,
}

/// The next steps of a held stream, up to the first unreadable record, which is returned.
async fn next(
    log: &dyn EventStore,
    held: &Held,
    until: Until,
    asides: &BTreeSet<Version>,
) -> Result<(Vec<Step>, Option<Held>, Taken), Error> {
    let page = log.read_stream(&held.stream, held.version, Direction::Forwards, PART).await?;
    let full = page.len() >= PART;
    let (mut steps, mut ended) = (Vec::with_capacity(page.len()), !full);
    for record in page {
        if !until.includes(&record) {
            ended = true;
            break;
        }
        if asides.contains(&record.version) {
            steps.push(Step::Passed(Box::new(record)));
            continue;
        }
        match Fact::decode(record) {
            Ok(fact) => steps.push(Step::Happened(Box::new(fact))),
            Err(unreadable) => {
                let (record, unreadable) = *unreadable;
                let taken = Taken { taken: steps.len() as u64, waits: true };
                return Ok((steps, Some(Held::at(&record, &unreadable.reason)), taken));
            }
        }
    }
    let taken = Taken { taken: steps.len() as u64, waits: !ended };
    Ok((steps, None, taken))
}

/// Removes a model's view of a stream from a version on, and holds the stream there. `was` and `is` are the versions
/// that are set aside before the record and with it. If the rows show a record that can no longer be read, the changes
/// to remove are unknown, and only a rebuild helps.
async fn rewind(
    log: &dyn EventStore,
    model: &Arc<dyn Projection>,
    record: &Record,
    (from, top): (Version, Version),
    (was, is): (&BTreeSet<Version>, &BTreeSet<Version>),
) -> Result<Changed, Error> {
    let stream = &record.stream;
    let (mut old, mut new) = (Engine::new(Vec::new()), Engine::new(Vec::new()));
    let rebuild = || Changed { rows: Vec::new(), held: vec![HeldChange::Hold(Held::at(record, REBUILD))] };
    if !put(&mut old, log, stream, top, was).await? {
        return Ok(rebuild());
    }
    if !put(&mut new, log, stream, from - 1, is).await? {
        return Ok(rebuild());
    }
    let (mut rows, mut tallies) = (Vec::new(), Tallies::default());
    let (was, is) = (old.shown(&**model, stream), new.shown(&**model, stream));
    is.instead_of(was, &mut rows, &mut tallies);
    tallies.into_changes(&mut rows);
    let level = (*stream.category == *domain::stream::STOCK).then(|| old.folds.levels.subject(stream, 0).clone());
    let (mut at, mut first) = (from, None);
    'pages: loop {
        let page = log.read_stream(stream, at, Direction::Forwards, PART).await?;
        let full = page.len() >= PART;
        for record in page {
            if record.version > top {
                break 'pages;
            }
            at = record.version + 1;
            first.get_or_insert_with(|| record.clone());
            if let Ok(fact) = Fact::decode(record) {
                let mut of_fact = Rows::default();
                let made = catch_unwind(AssertUnwindSafe(|| model.record(&fact, level.as_ref(), &mut of_fact)));
                if made.is_err() {
                    return Ok(rebuild());
                }
                of_fact.removed(&mut rows);
            }
        }
        if !full {
            break;
        }
    }
    in_order(&mut rows);
    let held = Held::at(first.as_ref().unwrap_or(record), "it is being rebuilt without the set-aside record");
    Ok(Changed { rows, held: vec![HeldChange::Hold(held)] })
}
