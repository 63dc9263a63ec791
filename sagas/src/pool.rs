//! The partitions of long processes that this process runs: those that are dealt to it among all that share the work, each with a
//! runner of its own. What stops one runner never stops another: it is run again after a pause, for the log has everything.

use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_store::members::Membership;
use event_store::partition::{CORRELATIONS, Door};
use event_store::{EventStore, Feed};
use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dispatch::Dispatch;
use crate::meters::{self, Board};
use crate::runner::{NAME, Options, Runner};

/// The first wait before a runner that failed is run again; doubled each time.
const AGAIN_FIRST: Duration = Duration::from_millis(100);
/// The longest one.
const AGAIN_CAP: Duration = Duration::from_secs(10);
/// A runner that ran for so long has recovered.
const RECOVERED: Duration = Duration::from_secs(60);

/// Makes a feed of what comes through a door.
pub type Feeds = Arc<dyn Fn(Door) -> Box<dyn Feed> + Send + Sync>;

/// Runs the share of long processes that falls to this process.
pub struct Pool {
    partitions: Arc<Partitions>,
}

/// What each partition's runner is made of.
struct Partitions {
    store: Arc<dyn EventStore>,
    feeds: Feeds,
    dispatch: Arc<dyn Dispatch>,
    tracker: TaskTracker,
    options: Options,
    board: Arc<Board>,
}

impl Pool {
    /// A pool whose runners append to `store`, read from what `feeds` makes, and send through `dispatch` in tasks on `tracker`.
    /// `options` are those of each runner, its partition left out; its owner is this process among those that share the work.
    pub fn new(
        store: Arc<dyn EventStore>,
        feeds: Feeds,
        dispatch: Arc<dyn Dispatch>,
        tracker: TaskTracker,
        options: Options,
    ) -> Self {
        Self { partitions: Arc::new(Partitions { store, feeds, dispatch, tracker, options, board: Arc::default() }) }
    }

    /// Runs until it is told to stop. Then its place goes to the others, and every runner saves where it is and gives its lease
    /// back. If this is dropped instead, its leases end by themselves.
    pub async fn run(self, cancel: CancellationToken) {
        let Options { owner, lease, .. } = &self.partitions.options;
        let cancel = cancel.child_token();
        let _ends = cancel.clone().drop_guard();
        let store = self.partitions.store.clone();
        let membership = Membership::new(store, NAME, owner, *lease, CORRELATIONS);
        let mut share = membership.share();
        let mut running: HashMap<u32, CancellationToken> = HashMap::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(membership.run(cancel.clone()).map(|()| None));
        while !cancel.is_cancelled() {
            let wanted = share.borrow_and_update().clone();
            self.deal(&wanted, &mut running, &mut tasks, &cancel);
            tokio::select! {
                () = cancel.cancelled() => {}
                changed = share.changed() => if changed.is_err() {
                    break;
                },
                Some(ended) = tasks.join_next() => {
                    // A partition that is dealt to this process again while its runner stops is begun anew once it has.
                    if let Ok(Some(partition)) = ended {
                        running.remove(&partition);
                    }
                }
            }
        }
        cancel.cancel();
        while tasks.join_next().await.is_some() {}
    }

    /// Stops what is not wanted any more, and starts what is and does not run.
    fn deal(
        &self,
        wanted: &BTreeSet<u32>,
        running: &mut HashMap<u32, CancellationToken>,
        tasks: &mut JoinSet<Option<u32>>,
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
                tasks.spawn(self.partitions.clone().keep(*partition, stop));
            }
        }
    }
}

impl Partitions {
    /// Runs a partition until told to stop, whatever happens to its runner.
    async fn keep(self: Arc<Self>, partition: u32, stop: CancellationToken) -> Option<u32> {
        let mut wait = AGAIN_FIRST;
        while !stop.is_cancelled() {
            let began = Instant::now();
            let run = self.runner(partition).run(stop.clone());
            let why = match AssertUnwindSafe(run).catch_unwind().await {
                Ok(Ok(())) => continue,
                Ok(Err(stopped)) => match std::error::Error::source(&stopped) {
                    Some(source) => format!("{stopped}: {source}"),
                    None => stopped.to_string(),
                },
                Err(_) => "it panicked".to_owned(),
            };
            self.board.forget(Some(partition));
            if stop.is_cancelled() {
                break;
            }
            if began.elapsed() >= RECOVERED {
                wait = AGAIN_FIRST;
            }
            meters::restarted();
            tracing::error!(partition, error = why, wait = ?wait, "a partition's long processes are taken up again after a pause");
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(AGAIN_CAP);
        }
        Some(partition)
    }

    fn runner(&self, partition: u32) -> Runner {
        let door = Door::Correlations(partition, crate::correlate());
        let options = Options { partition: Some(partition), ..self.options.clone() };
        let runner =
            Runner::new(self.store.clone(), (self.feeds)(door), self.dispatch.clone(), self.tracker.clone(), options);
        runner.on(self.board.clone())
    }
}
