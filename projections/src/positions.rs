//! The positions of the read models from their database, for processes that do not project them: polled often while a
//! request waits, and not at all otherwise.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use event_store::partition;
use event_store::record::{Position, StreamId};

use crate::board::Stop;
use crate::held;
use crate::store::{Checkpoint, Error, ReadStore, Slot, Statement};

/// How old a polled position may be for a waiting request, and how often it is polled meanwhile.
const FRESH: Duration = Duration::from_millis(15);

/// The checkpoints of every model, in order of partition.
pub(crate) type Seen = BTreeMap<String, Vec<Checkpoint>>;

/// Looks where the read models stand.
pub(crate) struct Positions {
    rows: Arc<dyn ReadStore>,
    seen: Mutex<Option<(Instant, Arc<Seen>)>>,
    /// How many streams each model holds, as it was seen last.
    held: Mutex<Arc<BTreeMap<String, u64>>>,
    /// When looking failed last, if it has not succeeded since, and why.
    failed: Mutex<Option<(Instant, Error)>>,
    /// One poll at a time, shared by all waiting callers.
    turn: tokio::sync::Mutex<()>,
}

impl Positions {
    pub(crate) fn new(rows: Arc<dyn ReadStore>) -> Arc<Self> {
        Arc::new(Self {
            rows,
            seen: Mutex::default(),
            held: Mutex::default(),
            failed: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// The last polled positions.
    pub(crate) fn last(&self) -> Arc<Seen> {
        self.kept(Duration::MAX).unwrap_or_default()
    }

    fn kept(&self, oldest: Duration) -> Option<Arc<Seen>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().filter(|(at, _)| at.elapsed() <= oldest).map(|(_, seen)| Arc::clone(seen))
    }

    /// How many streams each model held when it was looked last.
    pub(crate) fn last_held(&self) -> Arc<BTreeMap<String, u64>> {
        Arc::clone(&self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks how many streams each model holds.
    pub(crate) async fn look_held(&self) -> Result<(), Error> {
        let found = self.rows.read(vec![Statement::new(held::COUNTS, Vec::new())]).await?;
        let counts = found.into_iter().flatten().map(|row| Ok((row.text(0)?.to_owned(), row.count(1)?)));
        let counts = counts.collect::<Result<BTreeMap<_, _>, Error>>()?;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(counts);
        Ok(())
    }

    /// Why the positions cannot be read; `None` while they can.
    pub(crate) fn away(&self) -> Option<String> {
        self.failure().map(|(_, error)| error.to_string())
    }

    fn failure(&self) -> Option<(Instant, Error)> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Polls, unless another caller just did.
    pub(crate) async fn look(&self) -> Result<Arc<Seen>, Error> {
        let entered = Instant::now();
        let _turn = self.turn.lock().await;
        if let Some(seen) = self.kept(FRESH) {
            return Ok(seen);
        }
        // A caller that waited for its turn while a poll failed shares the failure: an unresponsive database is polled
        // by one caller at a time, and the others would otherwise wait for each of those before them.
        if let Some((_, error)) = self.failure().filter(|(ended, _)| *ended >= entered) {
            return Err(error);
        }
        // As old as the question, not as the answer.
        let asked = Instant::now();
        let mut seen = Seen::new();
        let found = self.rows.checkpoints(None, Slot::Live).await;
        let failure = found.as_ref().err().map(|error| (Instant::now(), error.clone()));
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failure;
        for checkpoint in found? {
            let of = seen.entry(checkpoint.name.clone()).or_default();
            of.push(checkpoint);
        }
        let seen = Arc::new(seen);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((asked, Arc::clone(&seen)));
        Ok(seen)
    }

    /// Waits until the named models (or the partition of a stream in them) show a position; the lowest of theirs.
    pub(crate) async fn wait_for(
        &self,
        names: &[&str],
        stream: Option<&StreamId>,
        wanted: Position,
        timeout: Duration,
    ) -> Result<Position, Error> {
        let mut at = 0;
        let reached = async {
            loop {
                let seen = self.look().await?;
                let mut hopeless = false;
                at = Position::MAX;
                for name in names {
                    let Some(found) = seen.get(*name) else {
                        at = 0;
                        continue;
                    };
                    for one in concerned(found, stream) {
                        at = at.min(one.position);
                        // A stopped model will not move: waiting is pointless.
                        hopeless |= one.stopped.is_some() && one.position < wanted;
                    }
                }
                if at >= wanted || hopeless {
                    return Ok::<_, Error>(());
                }
                tokio::time::sleep(FRESH).await;
            }
        };
        if let Ok(failed @ Err(_)) = tokio::time::timeout(timeout, reached).await {
            failed?;
        }
        if at >= wanted { Ok(at) } else { Err(Error::Stale { wanted, at }) }
    }
}

/// Those checkpoints of a model that a stream's rows depend on.
fn concerned<'a>(found: &'a [Checkpoint], stream: Option<&StreamId>) -> impl Iterator<Item = &'a Checkpoint> {
    let several = found.len() > 1;
    let partition = stream.filter(|_| several).map(partition::of_stream);
    found.iter().filter(move |one| partition.is_none_or(|partition| one.partition == partition))
}

/// The combined checkpoints of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) position: Position,
    pub(crate) building: bool,
    pub(crate) stopped: Option<Stop>,
}

impl Sum {
    pub(crate) fn of(found: &[Checkpoint]) -> Self {
        Self {
            position: found.iter().map(|one| one.position).min().unwrap_or(0),
            building: found.is_empty() || found.iter().any(Checkpoint::building),
            stopped: found.iter().filter_map(|one| one.stopped.clone()).min_by_key(|stop| stop.position),
        }
    }
}
