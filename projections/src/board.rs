//! The positions of the read models, for requests that wait for a position or ask about lag. It shows only committed
//! positions.

use std::collections::BTreeMap;
use std::time::Duration;

use event_store::record::Position;
use tokio::sync::watch;

use crate::store::Error;

/// Why a read model stopped as a whole: another worker has it, or it holds more streams than can be single faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The first position that its rows do not show.
    pub position: Position,
    /// What went wrong.
    pub reason: String,
}

/// Where a read model stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// The last position that its rows show.
    pub position: Position,
    /// It is being built for the first time until here, and not to be read before.
    pub building_to: Position,
    /// How far the tables are that are built beside it, if they are.
    pub rebuild: Option<Position>,
    /// Why it stopped, if it did.
    pub stopped: Option<Stop>,
    /// How many streams it holds.
    pub held: u64,
}

/// Where all of them stand.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    statuses: watch::Sender<BTreeMap<&'static str, Status>>,
    /// Counts take-overs: when it changes, a worker reads its checkpoints again.
    takeovers: watch::Sender<u64>,
    /// How many requests wait for a position.
    waiting: watch::Sender<usize>,
}

/// A request that waits, until it is dropped.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

impl Board {
    pub(crate) fn new(statuses: BTreeMap<&'static str, Status>) -> Self {
        Self {
            statuses: watch::Sender::new(statuses),
            takeovers: watch::Sender::new(0),
            waiting: watch::Sender::new(0),
        }
    }

    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut Status)) {
        self.statuses.send_modify(|statuses| {
            if let Some(status) = statuses.get_mut(name) {
                change(status);
            }
        });
    }

    pub(crate) fn all(&self) -> BTreeMap<&'static str, Status> {
        self.statuses.borrow().clone()
    }

    pub(crate) fn status(&self, name: &str) -> Option<Status> {
        self.statuses.borrow().get(name).cloned()
    }

    pub(crate) fn taken_over(&self) {
        self.takeovers.send_modify(|count| *count += 1);
    }

    pub(crate) fn takeovers(&self) -> watch::Receiver<u64> {
        self.takeovers.subscribe()
    }

    /// Waits until a request waits for a position.
    pub(crate) async fn awaited(&self) {
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting > 0).await;
    }

    /// Waits until the named models (all, if none is named) show a position; the lowest of theirs.
    pub(crate) async fn wait_for(
        &self,
        names: &[&str],
        wanted: Position,
        timeout: Duration,
    ) -> Result<Position, Error> {
        let lowest = |statuses: &BTreeMap<&'static str, Status>| {
            let of = statuses.iter().filter(|(name, _)| names.is_empty() || names.contains(name));
            of.map(|(_, status)| status.position).min().unwrap_or(0)
        };
        // A stopped model will not move: waiting is pointless.
        let hopeless = |statuses: &BTreeMap<&'static str, Status>| {
            statuses.iter().any(|(name, status)| {
                (names.is_empty() || names.contains(name)) && status.stopped.is_some() && status.position < wanted
            })
        };
        self.waiting.send_modify(|waiting| *waiting += 1);
        let _waiting = Waiting(&self.waiting);
        let mut statuses = self.statuses.subscribe();
        let reached = statuses.wait_for(|statuses| lowest(statuses) >= wanted || hopeless(statuses));
        let at = match tokio::time::timeout(timeout, reached).await {
            Ok(Ok(statuses)) => lowest(&statuses),
            _ => lowest(&self.statuses.borrow()),
        };
        if at >= wanted { Ok(at) } else { Err(Error::Stale { wanted, at }) }
    }
}
