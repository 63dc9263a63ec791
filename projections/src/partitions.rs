//! Posting the read models in partitions, shared with other processes. Each share of the work (a stream partition with all models by
//! stream, or the one ordered share of the others) is run by whoever has its lease; the others stand by. The lease only keeps work from
//! being done twice: rows are safe because a checkpoint is taken with a new epoch, and a commit with an older one is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use event_store::consumer::{ConsumerKey, Lease};
use event_store::members::Membership;
use event_store::partition::{Door, STREAMS};
use event_store::record::Micros;
use event_store::{Feed, supervision};
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::board::Board;
use crate::hold::{hold_spread, misfit};
use crate::member::Member;
use crate::projection::Projection;
use crate::store::{Checkpoint, Error, Slot};
use crate::value::Spread;
use crate::worker::{Parts, Worker};

/// The consumer rows that hold the leases, and the group of the processes that share the work.
const NAME: &str = "projections";
/// The share of the models that one ordered worker posts.
const ORDERED: u32 = STREAMS;
/// How often a process that stands by looks whether a lease is free, at the most.
const LOOK: Duration = Duration::from_millis(250);
/// How long a share rests that could not be run.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// How long a take-over may keep a model's checkpoints for itself.
const TAKEOVER: Duration = Duration::from_secs(20);

/// Makes the feed of a door.
pub type Feeds = Arc<dyn Fn(Door) -> Box<dyn Feed> + Send + Sync>;

/// Shares the work with other processes.
pub(crate) struct Partitions {
    /// Without a board: where a partition stands is seen in its database.
    parts: Parts,
    models: Vec<Arc<dyn Projection>>,
    feeds: Feeds,
    /// Who this process is in leases.
    owner: String,
    lease: Duration,
    running: Mutex<BTreeSet<u32>>,
}

/// Why a share is not run any longer.
enum Ended {
    /// It was told to stop.
    Told,
    /// Its checkpoints were changed by another, or it does not fit the log: look again.
    Again,
    /// Another one has the lease.
    Lost,
}

impl Partitions {
    pub(crate) fn new(
        parts: &Parts,
        models: Vec<Arc<dyn Projection>>,
        feeds: Feeds,
        owner: String,
        lease: Duration,
    ) -> Arc<Self> {
        let board = Board::new(BTreeMap::new());
        Arc::new(Self {
            parts: Parts { board, ..parts.clone() },
            models,
            feeds,
            owner,
            lease,
            running: Mutex::default(),
        })
    }

    /// The shares that this process runs now.
    pub(crate) fn running(&self) -> BTreeSet<u32> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs its share of the work, as it is dealt out, until told to stop.
    ///
    /// # Errors
    /// If its place among the processes is not kept any more.
    pub(crate) async fn run(self: Arc<Self>, token: CancellationToken) -> Result<(), supervision::Ended> {
        let shares = if self.models_of(ORDERED).is_empty() { STREAMS } else { STREAMS + 1 };
        let membership = Membership::new(Arc::clone(&self.parts.log), NAME, &self.owner, self.lease, shares);
        let mut dealt = membership.share();
        let keeping = AbortOnDropHandle::new(tokio::spawn(membership.run(token.clone())));
        let mut tasks: BTreeMap<u32, Task> = BTreeMap::new();
        while !token.is_cancelled() {
            let wanted = dealt.borrow_and_update().clone();
            let unwanted: Vec<_> = tasks.keys().copied().filter(|n| !wanted.contains(n)).collect();
            let ending: Vec<_> = unwanted.iter().filter_map(|n| tasks.remove(n)).collect();
            end(ending).await;
            for share in wanted {
                tasks.entry(share).or_insert_with(|| {
                    let token = token.child_token();
                    let task = tokio::spawn(Arc::clone(&self).keep(share, token.clone()));
                    (token, AbortOnDropHandle::new(task))
                });
            }
            tokio::select! {
                () = token.cancelled() => {}
                changed = dealt.changed() => if changed.is_err() {
                    break;
                },
            }
        }
        end(tasks.into_values().collect()).await;
        match keeping.await {
            Ok(()) if token.is_cancelled() => Ok(()),
            Ok(()) => Err(supervision::Ended::Failed("its place among the processes is lost".into())),
            Err(error) => Err(supervision::Ended::Failed(error.to_string())),
        }
    }

    fn models_of(&self, share: u32) -> Vec<Arc<dyn Projection>> {
        let spread = if share == ORDERED { Spread::Single } else { Spread::ByStream };
        let of = self.models.iter().filter(|model| model.spec().spread == spread);
        of.cloned().collect()
    }

    /// Runs a share whenever its lease is to be had.
    async fn keep(self: Arc<Self>, share: u32, token: CancellationToken) {
        while !token.is_cancelled() {
            let lease = match self.take(share).await {
                Ok(lease) => lease,
                Err(error) => {
                    tracing::warn!(share, error = %error, "the lease of a share of the read models cannot be taken now");
                    None
                }
            };
            let mut pause = LOOK.min(self.lease / 4);
            if let Some(lease) = lease {
                match self.run_share(share, &lease, &token).await {
                    Ok(Ended::Told) => {
                        // It ends by itself if it cannot be given back.
                        drop(self.parts.log.release(&lease).await);
                    }
                    Ok(Ended::Again) => continue,
                    Ok(Ended::Lost) => {
                        tracing::info!(share, "another process has taken a share of the read models over");
                    }
                    Err(error) => {
                        tracing::error!(share, error = %error, "a share of the read models cannot be run; trying again");
                        metrics::counter!("daybook_projection_errors_total").increment(1);
                        pause = AFTER_ERROR;
                    }
                }
            }
            tokio::select! {
                () = token.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn take(&self, share: u32) -> Result<Option<Lease>, Error> {
        let key = ConsumerKey { name: NAME.to_owned(), partition: share };
        let lease = Micros::try_from(self.lease.as_micros()).unwrap_or(Micros::MAX);
        let row = self.parts.log.acquire(&key, &self.owner, lease).await?;
        Ok(row.map(|row| row.lease))
    }

    async fn run_share(&self, share: u32, lease: &Lease, token: &CancellationToken) -> Result<Ended, Error> {
        let Some(members) = self.open(share).await? else {
            return Ok(Ended::Again);
        };
        let epochs: BTreeMap<_, _> =
            members.iter().map(|member| (member.model.spec().name, (member.partition, member.epoch))).collect();
        let door = if share == ORDERED { Door::All } else { Door::Streams(share) };
        let worker = Worker::new(self.parts.clone(), Slot::Live, members, None);
        let mut worker = worker.fed((self.feeds)(door));
        tracing::info!(share, epoch = lease.epoch, "running a share of the read models");
        let _running = Running::begin(&self.running, share);
        let stop = token.child_token();
        // A task of its own: while the lease is renewed it would else not go on, and might sit on the connection that the renewal waits
        // for.
        let until = stop.clone();
        let mut posting = AbortOnDropHandle::new(tokio::spawn(async move { worker.run(until).await }));
        let ended = loop {
            tokio::select! {
                posted = &mut posting => return match whole(posted) {
                    Ok(()) => Ok(Ended::Told),
                    Err(Error::Lost(name)) => {
                        tracing::info!(share, projection.name = name, "a checkpoint was moved by another; looking again");
                        Ok(Ended::Again)
                    }
                    Err(error) => Err(error),
                },
                () = tokio::time::sleep(self.lease / 3) => {}
            }
            // What the store refuses for a while costs nothing but the lease: the epochs keep the rows safe.
            match self.take(share).await {
                Ok(Some(now)) if now.epoch == lease.epoch => {
                    if self.changed(&epochs).await.unwrap_or(false) {
                        break Ended::Again;
                    }
                }
                Ok(_) => break Ended::Lost,
                Err(error) => {
                    tracing::warn!(share, error = %error, "the lease of a share of the read models cannot be renewed now");
                }
            }
        };
        stop.cancel();
        match whole(posting.await) {
            // It has found the same out by itself.
            Ok(()) | Err(Error::Lost(_)) => Ok(ended),
            failed => failed.map(|()| ended),
        }
    }

    /// Whether another one has taken a checkpoint: a rebuild that took over, say, of a model that had stopped.
    async fn changed(&self, epochs: &BTreeMap<&str, (u32, u64)>) -> Result<bool, Error> {
        let found = self.parts.rows.checkpoints(None, Slot::Live).await?;
        let same = |(name, (partition, epoch)): (&&str, &(u32, u64))| {
            found.iter().any(|one| one.name == **name && one.partition == *partition && one.epoch == *epoch)
        };
        Ok(!epochs.iter().all(same))
    }

    /// Takes the checkpoints of a share; `None` if they are not to be had now.
    async fn open(&self, share: u32) -> Result<Option<Vec<Member>>, Error> {
        let (parts, models) = (&self.parts, self.models_of(share));
        let partition = if share == ORDERED { 0 } else { share };
        let mut unfit = Vec::new();
        for model in &models {
            let spec = model.spec();
            let found = self.free(spec.name).await?;
            let own: Vec<_> = found.into_iter().filter(|one| one.partition == partition).collect();
            if own.is_empty() || misfit(&*parts.log, spec, &own).await?.is_some() {
                unfit.push(spec);
            }
        }
        if !unfit.is_empty() {
            hold_spread(&*parts.rows, &*parts.log, &unfit, parts.owner).await?;
            return Ok(None);
        }
        let mut members = Vec::new();
        for model in models {
            let name = model.spec().name;
            let held = parts.rows.acquire(name, Slot::Live, partition, parts.owner).await?;
            let member = Member::new(model, &held, None).of_several().holding(&*parts.rows, Slot::Live).await?;
            metrics::gauge!("daybook_projection_stopped", member.labels()).set(0.0);
            members.push(member);
        }
        Ok(Some(members))
    }

    /// The checkpoints of a model, once no rebuild keeps them for its take-over.
    async fn free(&self, name: &str) -> Result<Vec<Checkpoint>, Error> {
        let until = Instant::now() + TAKEOVER;
        loop {
            let live = self.parts.rows.checkpoints(Some(name), Slot::Live).await?;
            let next = self.parts.rows.checkpoints(Some(name), Slot::Next).await?;
            let kept = next.first().is_some_and(|next| {
                live.iter().any(|live| live.owner == next.owner) && live.iter().all(|live| live.version == next.version)
            });
            if !kept || Instant::now() >= until {
                return Ok(live);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What a task came to; one that panicked has failed.
fn whole(ended: Result<Result<(), Error>, JoinError>) -> Result<(), Error> {
    ended.unwrap_or_else(|error| Err(Error::Read(error.to_string())))
}

/// A share that is kept; it does not outlive whoever keeps it.
type Task = (CancellationToken, AbortOnDropHandle<()>);

async fn end(tasks: Vec<Task>) {
    for (token, _) in &tasks {
        token.cancel();
    }
    for (_, task) in tasks {
        if let Err(error) = task.await {
            tracing::error!(error = %error, "a share of the read models ended badly");
        }
    }
}

/// Says that a share runs, as long as it does.
struct Running<'a>(&'a Mutex<BTreeSet<u32>>, u32);

impl<'a> Running<'a> {
    fn begin(all: &'a Mutex<BTreeSet<u32>>, share: u32) -> Self {
        all.lock().unwrap_or_else(PoisonError::into_inner).insert(share);
        Self(all, share)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}
