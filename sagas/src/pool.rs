//! The saga partitions of this process: those that the consumer group assigns to it, each with its own runner. The
//! failure of one runner never stops another: it is restarted after a pause (`event_store::supervision`), because the
//! log has everything.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use event_store::members::Membership;
use event_store::partition::{CORRELATIONS, Door};
use event_store::supervision::{Ended, Supervisor};
use event_store::{EventStore, Feed};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dispatch::Dispatch;
use crate::holds::Holds;
use crate::meters::Board;
use crate::runner::{NAME, Options, Runner};

/// Creates a feed of a partition.
pub type Feeds = Arc<dyn Fn(Door) -> Box<dyn Feed> + Send + Sync>;

/// Runs the saga partitions that are assigned to this process.
pub struct Pool {
    partitions: Arc<Partitions>,
    supervisor: Supervisor,
}

/// The dependencies of each partition's runner.
#[derive(Clone)]
struct Partitions {
    store: Arc<dyn EventStore>,
    feeds: Feeds,
    dispatch: Arc<dyn Dispatch>,
    tracker: TaskTracker,
    options: Options,
    board: Arc<Board>,
    holds: Holds,
}

impl Pool {
    /// A pool whose runners append to `store`, read feeds from `feeds`, and send through `dispatch` in tasks on
    /// `tracker`. `options` are those of each runner except for its partition; the owner is the id of this process in
    /// the consumer group.
    pub fn new(
        store: Arc<dyn EventStore>,
        feeds: Feeds,
        dispatch: Arc<dyn Dispatch>,
        tracker: TaskTracker,
        options: Options,
    ) -> Self {
        let (board, holds) = Default::default();
        let partitions = Partitions { store, feeds, dispatch, tracker, options, board, holds };
        Self { partitions: Arc::new(partitions), supervisor: Supervisor::default() }
    }

    /// Shows in `holds` how many streams its runners hold.
    #[must_use]
    pub fn shown_in(mut self, holds: Holds) -> Self {
        Arc::make_mut(&mut self.partitions).holds = holds;
        self
    }

    /// Keeps its partitions running by `supervisor`.
    #[must_use]
    pub fn kept_by(mut self, supervisor: Supervisor) -> Self {
        self.supervisor = supervisor;
        self
    }

    /// Runs until it is cancelled. Then its membership ends, and every runner saves its checkpoint and releases its
    /// lease. If this is dropped instead, its leases end by themselves.
    ///
    /// # Errors
    /// If the membership in the consumer group is lost.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), Ended> {
        let Options { owner, lease, .. } = &self.partitions.options;
        let told = cancel.clone();
        let cancel = cancel.child_token();
        let _ends = cancel.clone().drop_guard();
        let store = self.partitions.store.clone();
        let membership = Membership::new(store, NAME, owner, *lease, CORRELATIONS);
        let mut share = membership.share();
        let mut running: HashMap<u32, CancellationToken> = HashMap::new();
        let mut tasks = JoinSet::new();
        let mut place = JoinSet::new();
        place.spawn(membership.run(cancel.clone()));
        while !cancel.is_cancelled() {
            let wanted = share.borrow_and_update().clone();
            self.deal(&wanted, &mut running, &mut tasks, &cancel);
            tokio::select! {
                () = cancel.cancelled() => {}
                changed = share.changed() => if changed.is_err() {
                    break;
                },
                Some(_) = place.join_next() => break,
                Some(ended) = tasks.join_next() => {
                    // A partition that is assigned again while its runner stops is started again after that.
                    if let Ok(partition) = ended {
                        running.remove(&partition);
                    }
                }
            }
        }
        cancel.cancel();
        while tasks.join_next().await.is_some() {}
        while place.join_next().await.is_some() {}
        if told.is_cancelled() { Ok(()) } else { Err(Ended::Failed("its place among the processes is lost".into())) }
    }

    /// Stops runners of lost partitions, and starts missing ones.
    fn deal(
        &self,
        wanted: &BTreeSet<u32>,
        running: &mut HashMap<u32, CancellationToken>,
        tasks: &mut JoinSet<u32>,
        cancel: &CancellationToken,
    ) {
        for (partition, stop) in running.iter() {
            if !wanted.contains(partition) {
                stop.cancel();
            }
        }
        for partition in wanted {
            if !running.contains_key(partition) {
                let stop = cancel.child_token();
                running.insert(*partition, stop.clone());
                tasks.spawn(self.partitions.clone().keep(self.supervisor.clone(), *partition, stop));
            }
        }
    }
}

impl Partitions {
    /// Runs a partition until it is cancelled, whatever happens to its runner.
    async fn keep(self: Arc<Self>, supervisor: Supervisor, partition: u32, stop: CancellationToken) -> u32 {
        let part = |pulse| {
            let (this, stop) = (Arc::clone(&self), stop.clone());
            async move {
                let ended = this.runner(partition).told_on(pulse).run(stop).await;
                this.board.forget(Some(partition));
                ended.map_err(Ended::from)
            }
        };
        supervisor.keep(&format!("{NAME}/{partition}"), &stop, part).await;
        self.board.forget(Some(partition));
        partition
    }

    fn runner(&self, partition: u32) -> Runner {
        let door = Door::Correlations(partition, crate::correlate());
        let options = Options { partition: Some(partition), ..self.options.clone() };
        let runner =
            Runner::new(self.store.clone(), (self.feeds)(door), self.dispatch.clone(), self.tracker.clone(), options);
        runner.on(self.board.clone()).shown_in(self.holds.clone())
    }
}
