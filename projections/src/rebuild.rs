//! Rebuilds a read model beside the live one, and replaces the live one in one transaction, so that no reader ever sees
//! half a model, or an older state than before.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use event_store::record::Position;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::board::Status;
use crate::handle::{Projections, Way};
use crate::hold::layout;
use crate::member::Member;
use crate::projection::Projection;
use crate::store::{Checkpoint, Error, Making, Slot, Takeover};
use crate::worker::{Parts, Progress, Worker};

/// How often new tables may find the live ones ahead before those are made to wait.
const CHASES: u32 = 3;
/// How long the new tables wait before another attempt, while a long transaction reads the live ones.
const BUSY: Duration = Duration::from_secs(2);

impl Projections {
    /// Rebuilds a read model from the first record, beside the live one, and replaces the live one; returns its new
    /// position.
    ///
    /// # Errors
    /// If there is none of that name, it is already being rebuilt, or a record cannot be applied; the rows are then
    /// unchanged.
    pub async fn rebuild(&self, name: &str, progress: Option<Progress>) -> Result<Position, Error> {
        let model = self.model(name)?;
        let spec = model.spec();
        let _guard = Rebuilding::begin(&self.rebuilding, spec.name)?;
        tracing::info!(projection.name = spec.name, "rebuilding a read model");
        let mut parts = self.parts.clone();
        if !matches!(self.way, Way::Whole(_)) {
            // A separate owner id, so that its checkpoints can be told from the live workers'.
            parts.owner = Uuid::now_v7();
        }
        let built = self.build(&parts, model, progress).await;
        parts.board.change(spec.name, |status| status.rebuild = None);
        if built.is_err() {
            parts.rows.discard(spec, Some(parts.owner)).await?;
        }
        built
    }

    async fn build(
        &self,
        parts: &Parts,
        model: Arc<dyn Projection>,
        progress: Option<Progress>,
    ) -> Result<Position, Error> {
        let spec = model.spec();
        let making = Making {
            spec,
            slot: Slot::Next,
            partitions: 1,
            owner: parts.owner,
            incarnation: parts.log.incarnation(),
            building_to: 0,
        };
        let made = parts.rows.create(making).await?;
        let made = made.first().ok_or_else(|| Error::Lost(spec.name.to_owned()))?;
        let board = parts.board.clone();
        let told: Progress = Arc::new(move |at, head| {
            board.change(spec.name, |status| status.rebuild = Some(at));
            if let Some(progress) = &progress {
                progress(at, head);
            }
        });
        let member = Member::new(model, made, None);
        let mut worker = Worker::new(parts.clone(), Slot::Next, vec![member], Some(told));
        let partitions = match self.way {
            Way::Whole(_) => 1,
            Way::Shared(..) | Way::Reading(_) => layout(spec),
        };
        let mut chases = 0;
        loop {
            worker.drive(&CancellationToken::new()).await?;
            if let Some(stop) = worker.stopped() {
                return Err(Error::Read(stop.reason.clone()));
            }
            match parts.rows.take_over(spec, parts.owner, partitions).await? {
                Takeover::Done(checkpoint) => {
                    self.taken_over(&checkpoint);
                    return Ok(checkpoint.position);
                }
                Takeover::Busy => {
                    tracing::info!(
                        projection.name = spec.name,
                        "a long transaction reads the live rows; the new ones wait"
                    );
                    tokio::time::sleep(BUSY).await;
                }
                Takeover::Behind(live) => {
                    tracing::debug!(position = live, "the live rows are ahead; catching up");
                    chases += 1;
                    if chases >= CHASES && partitions > 1 {
                        still(parts, spec.name).await?;
                    }
                }
            }
        }
    }

    fn taken_over(&self, checkpoint: &Checkpoint) {
        let name = checkpoint.name.as_str();
        self.parts.board.change(name, |status| {
            *status = Status { position: checkpoint.position, ..Status::default() };
        });
        metrics::gauge!("daybook_projection_stopped", "projection" => name.to_owned()).set(0.0);
        self.parts.board.taken_over();
        tracing::info!(projection.name = name, position = checkpoint.position, "a read model was rebuilt");
    }
}

/// Keeps the live rows unchanged: their workers see the new epoch and wait for the take-over, for a limited time.
async fn still(parts: &Parts, name: &str) -> Result<(), Error> {
    for live in parts.rows.checkpoints(Some(name), Slot::Live).await? {
        if live.owner != parts.owner {
            parts.rows.acquire(name, Slot::Live, live.partition, parts.owner).await?;
        }
    }
    Ok(())
}

/// Guard: one rebuild per model at a time; released on drop.
struct Rebuilding<'a>(&'a Mutex<BTreeSet<&'static str>>, &'static str);

impl<'a> Rebuilding<'a> {
    fn begin(all: &'a Mutex<BTreeSet<&'static str>>, name: &'static str) -> Result<Self, Error> {
        if all.lock().unwrap_or_else(PoisonError::into_inner).insert(name) {
            Ok(Self(all, name))
        } else {
            Err(Error::AlreadyRebuilding(name.to_owned()))
        }
    }
}

impl Drop for Rebuilding<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(self.1);
    }
}
