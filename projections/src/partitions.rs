//! Projects the read models in partitions, shared with other processes. Each share of the work (one stream partition of
//! all models by stream, or the one ordered share of the other models) is run by the process that has its lease; the
//! others stand by. The lease only avoids duplicate work: rows are safe because taking a checkpoint gives it a new
//! epoch, and a commit with an older epoch is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use event_store::Feed;
use event_store::consumer::{ConsumerKey, Lease};
use event_store::members::Membership;
use event_store::partition::{Door, STREAMS};
use event_store::record::Micros;
use event_store::supervision::{Ended, Pulse, Supervisor};
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::board::Board;
use crate::hold::{hold_spread, misfit};
use crate::member::Member;
use crate::patience::Patience;
use crate::projection::Projection;
use crate::store::{Checkpoint, Error, Slot, ended};
use crate::value::Spread;
use crate::worker::{Parts, Worker};

/// The consumer rows that hold the leases, and the group of the processes that share the work.
const NAME: &str = "projections";
/// The share of the models that need one ordered worker.
const ORDERED: u32 = STREAMS;
/// How often a process that stands by looks whether a lease is free, at the most.
const LOOK: Duration = Duration::from_millis(250);
/// How long a take-over may hold a model's checkpoints.
const TAKEOVER: Duration = Duration::from_secs(20);

/// Makes the feed of a door.
pub type Feeds = Arc<dyn Fn(Door) -> Box<dyn Feed> + Send + Sync>;

/// Shares the work with other processes.
pub(crate) struct Partitions {
    /// Without a board: where a partition stands is seen in its database.
    parts: Parts,
    models: Vec<Arc<dyn Projection>>,
    feeds: Feeds,
    /// The id of this process in leases.
    owner: String,
    lease: Duration,
    running: Mutex<BTreeSet<u32>>,
}

/// Why a share is not run any longer.
enum Over {
    /// It was cancelled.
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

    /// Runs the assigned share of the work until it is stopped; `supervisor` keeps each share running.
    ///
    /// # Errors
    /// If the membership in the consumer group is lost.
    pub(crate) async fn run(self: Arc<Self>, supervisor: Supervisor, token: CancellationToken) -> Result<(), Ended> {
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
                    let task = tokio::spawn(Arc::clone(&self).kept_by(supervisor.clone(), share, token.clone()));
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
            Ok(()) => Err(Ended::Failed("its membership in the consumer group is lost".into())),
            Err(error) => Err(Ended::Failed(error.to_string())),
        }
    }

    fn models_of(&self, share: u32) -> Vec<Arc<dyn Projection>> {
        let spread = if share == ORDERED { Spread::Single } else { Spread::ByStream };
        let of = self.models.iter().filter(|model| model.spec().spread == spread);
        of.cloned().collect()
    }

    async fn kept_by(self: Arc<Self>, supervisor: Supervisor, share: u32, token: CancellationToken) {
        let part = |pulse| Arc::clone(&self).keep(share, pulse, token.clone());
        supervisor.keep(&format!("{NAME}/{share}"), &token, part).await;
    }

    /// Runs a share whenever its lease is available. Temporary failures are retried.
    async fn keep(self: Arc<Self>, share: u32, pulse: Pulse, token: CancellationToken) -> Result<(), Ended> {
        let mut patience = Patience::new(pulse.clone());
        while !token.is_cancelled() {
            match self.turn(share, &pulse, &token).await {
                Ok(Some(Over::Again)) => patience.goes_on(),
                Ok(_) => {
                    patience.goes_on();
                    tokio::select! {
                        () = token.cancelled() => {}
                        () = tokio::time::sleep(LOOK.min(self.lease / 4)) => {}
                    }
                }
                Err(Ended::NotNow(why)) => patience.wait(&why, &token).await,
                Err(failed) => return Err(failed),
            }
        }
        Ok(())
    }

    /// Runs a share if its lease is available; returns why it ended.
    async fn turn(&self, share: u32, pulse: &Pulse, token: &CancellationToken) -> Result<Option<Over>, Ended> {
        let Some(lease) = self.take(share).await.map_err(ended)? else {
            return Ok(None);
        };
        let over = self.run_share(share, &lease, pulse, token).await?;
        // Its worker may have said that it waits, and is gone.
        pulse.goes_on();
        match over {
            // If the release fails, the lease ends by itself.
            Over::Told => drop(self.parts.log.release(&lease).await),
            Over::Again => {}
            Over::Lost => tracing::info!(share, "another process has taken over a share of the read models"),
        }
        Ok(Some(over))
    }

    async fn take(&self, share: u32) -> Result<Option<Lease>, Error> {
        let key = ConsumerKey { name: NAME.to_owned(), partition: share };
        let lease = Micros::try_from(self.lease.as_micros()).unwrap_or(Micros::MAX);
        let row = self.parts.log.acquire(&key, &self.owner, lease).await?;
        Ok(row.map(|row| row.lease))
    }

    async fn run_share(
        &self,
        share: u32,
        lease: &Lease,
        pulse: &Pulse,
        token: &CancellationToken,
    ) -> Result<Over, Ended> {
        let Some(members) = self.open(share).await.map_err(ended)? else {
            return Ok(Over::Again);
        };
        pulse.goes_on();
        let epochs: BTreeMap<_, _> =
            members.iter().map(|member| (member.model.spec().name, (member.partition, member.epoch))).collect();
        let door = if share == ORDERED { Door::All } else { Door::Streams(share) };
        let worker = Worker::new(self.parts.clone(), Slot::Live, members, None);
        let mut worker = worker.fed((self.feeds)(door));
        worker.told_on(pulse.clone());
        tracing::info!(share, epoch = lease.epoch, "running a share of the read models");
        let _running = Running::begin(&self.running, share);
        let stop = token.child_token();
        // A separate task: otherwise it would stop while the lease is renewed, and might keep the connection that the
        // renewal waits for.
        let until = stop.clone();
        let mut posting = AbortOnDropHandle::new(tokio::spawn(async move { worker.run(until).await }));
        let over = loop {
            tokio::select! {
                posted = &mut posting => return match posted.map_err(panicked)? {
                    Ok(()) => Ok(Over::Told),
                    Err(Error::Lost(name)) => {
                        tracing::info!(
                            share,
                            projection.name = name,
                            "another process moved a checkpoint; reading it again"
                        );
                        Ok(Over::Again)
                    }
                    Err(error) => Err(ended(error)),
                },
                () = tokio::time::sleep(self.lease / 3) => {}
            }
            // A temporary store error only costs the lease: the epochs keep the rows safe.
            match self.take(share).await {
                Ok(Some(now)) if now.epoch == lease.epoch => {
                    if self.changed(&epochs).await.unwrap_or(false) {
                        break Over::Again;
                    }
                }
                Ok(_) => break Over::Lost,
                Err(error) => {
                    tracing::warn!(
                        share,
                        error = %error,
                        "the lease of a share of the read models cannot be renewed now; it is retried, and others take \
                         over if the lease ends"
                    );
                }
            }
        };
        stop.cancel();
        match posting.await.map_err(panicked)? {
            // The worker has found the same.
            Ok(()) | Err(Error::Lost(_)) => Ok(over),
            Err(error) => Err(ended(error)),
        }
    }

    /// Whether another owner has taken a checkpoint, for example a rebuild of a stopped model.
    async fn changed(&self, epochs: &BTreeMap<&str, (u32, u64)>) -> Result<bool, Error> {
        let found = self.parts.rows.checkpoints(None, Slot::Live).await?;
        let same = |(name, (partition, epoch)): (&&str, &(u32, u64))| {
            found.iter().any(|one| one.name == **name && one.partition == *partition && one.epoch == *epoch)
        };
        Ok(!epochs.iter().all(same))
    }

    /// Takes the checkpoints of a share; `None` if they are not available now.
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

    /// The checkpoints of a model, once no rebuild holds them for its take-over.
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

/// A task that panicked has failed.
fn panicked(error: JoinError) -> Ended {
    Ended::Failed(error.to_string())
}

/// A supervised share; it is aborted with its supervisor.
type Task = (CancellationToken, AbortOnDropHandle<()>);

async fn end(tasks: Vec<Task>) {
    for (token, _) in &tasks {
        token.cancel();
    }
    for (_, task) in tasks {
        if let Err(error) = task.await {
            tracing::error!(
                error = %error,
                "a share of the read models failed at its end; its next owner continues from its checkpoint, nothing \
                 to do"
            );
        }
    }
}

/// Marks a share as running while this value lives.
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
