//! The positions of the read models, for operators and for health: this process's own as they are now, the others from
//! their database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use event_store::partition::STREAMS;
use event_store::record::Position;
use tokio_util::sync::CancellationToken;

use crate::board::Stop;
use crate::handle::{Projections, Way};
use crate::positions::{Positions, Seen, Sum};
use crate::store::Error;
use crate::value::{Spec, Spread};

/// How often a process that does not project all models polls their positions, for its own health.
const LOOK: Duration = Duration::from_secs(1);

/// Where a read model stands, and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The model.
    pub name: &'static str,
    /// The version of its tables and its apply.
    pub version: u32,
    /// The last position that its rows show.
    pub position: Position,
    /// The log's last position.
    pub head: Position,
    /// How many positions it is behind the log.
    pub lag: u64,
    /// Whether it is being built and not to be read yet.
    pub building: bool,
    /// How far the tables are that are built beside it, if they are.
    pub rebuild: Option<Position>,
    /// Why it stopped, if it did.
    pub stopped: Option<Stop>,
    /// How many streams it holds, because one of their records cannot be read or applied; all others continue.
    pub held: u64,
    /// The partitions of the model that this process projects, if the model is partitioned.
    pub runs: Vec<u32>,
}

impl Projections {
    /// The position of each read model: this process's own as they are now, the others from the last poll, at most some
    /// seconds ago while `run` runs.
    #[must_use]
    pub fn positions(&self) -> Vec<Standing> {
        match &self.way {
            Way::Whole(_) => self.posted(),
            Way::Shared(_, positions) | Way::Reading(positions) => self.seen(&positions.last()),
        }
    }

    /// Why the database of the read models cannot be queried; `None` while it can. An embedded file can always be
    /// queried.
    #[must_use]
    pub fn away(&self) -> Option<String> {
        match &self.way {
            Way::Whole(_) => None,
            Way::Shared(_, positions) | Way::Reading(positions) => positions.away(),
        }
    }

    /// Where each read model stands now.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn standings(&self) -> Result<Vec<Standing>, Error> {
        match &self.way {
            Way::Whole(_) => Ok(self.posted()),
            Way::Shared(_, positions) | Way::Reading(positions) => {
                positions.look_held().await?;
                Ok(self.seen(&*positions.look().await?))
            }
        }
    }

    fn posted(&self) -> Vec<Standing> {
        let head = self.parts.log.head().borrow().position;
        let statuses = self.parts.board.all();
        let standing = |spec: &'static Spec| {
            let status = statuses.get(spec.name).cloned().unwrap_or_default();
            Standing {
                name: spec.name,
                version: spec.version,
                position: status.position,
                head,
                lag: head.saturating_sub(status.position),
                building: status.position < status.building_to,
                rebuild: status.rebuild,
                stopped: status.stopped,
                held: status.held,
                runs: Vec::new(),
            }
        };
        self.specs().into_iter().map(standing).collect()
    }

    fn seen(&self, seen: &Seen) -> Vec<Standing> {
        let head = self.parts.log.head().borrow().position;
        let held = match &self.way {
            Way::Shared(_, positions) | Way::Reading(positions) => positions.last_held(),
            Way::Whole(_) => Arc::default(),
        };
        let running = match &self.way {
            Way::Shared(shared, _) => shared.running(),
            Way::Whole(_) | Way::Reading(_) => BTreeSet::new(),
        };
        // Only the rebuilding process knows of a rebuild.
        let statuses = self.parts.board.all();
        let standing = |spec: &'static Spec| {
            let found = seen.get(spec.name).map_or(&[][..], Vec::as_slice);
            let sum = Sum::of(found);
            let runs = match spec.spread {
                Spread::ByStream => running.range(..STREAMS).copied().collect(),
                Spread::Single => running.get(&STREAMS).map(|_| 0).into_iter().collect(),
            };
            Standing {
                name: spec.name,
                version: spec.version,
                position: sum.position,
                head,
                lag: head.saturating_sub(sum.position),
                building: sum.building || found.iter().any(|one| one.version != spec.version),
                rebuild: statuses.get(spec.name).and_then(|status| status.rebuild),
                stopped: sum.stopped,
                held: held.get(spec.name).copied().unwrap_or(0),
                runs,
            }
        };
        self.specs().into_iter().map(standing).collect()
    }
}

/// Polls the positions of the models, for callers that do not wait.
pub(crate) async fn watch(positions: Arc<Positions>, token: CancellationToken) {
    loop {
        tokio::select! {
            () = token.cancelled() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
        let looked = positions.look().await;
        if let Err(error) = looked.and(positions.look_held().await) {
            tracing::warn!(
                error = %error,
                "the positions of the read models cannot be read now; it is retried, check the database"
            );
        }
    }
}
