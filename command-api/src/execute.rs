//! The executor: load, fold, decide, append, answer. It never answers before all records that the answer depends on are
//! durable, and a dropped caller never cancels a write.

mod afloat;
mod attempt;
mod batch;
mod cache;
mod calls;
mod done;
mod error;
mod fold;
mod follow_ups;
mod follows;
mod load;
mod meter;
mod plan;
mod react;
pub(crate) mod refuse;
mod rehearse;
mod replay;

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ids::Tenant;
use domain::stream::StreamName;
use event_store::EventStore;
use event_store::record::StreamId;
use schemas::{Metadata, Stored};
use sha2::{Digest, Sha256};
use streams::Unreadable;
use tokio::time::{sleep, timeout_at};
use tokio_util::task::TaskTracker;
use uuid::{Uuid, uuid};

pub use done::{Done, Refused, Verdict};
pub use error::Error;
pub use plan::{Plan, Planned};

use attempt::{Attempt, Work};
use cache::{Bound, Cache};
use calls::{Calls, Entered, Turn};
use fold::Type;
use follow_ups::FollowUps;
use meter::Meter;

/// The name space of command ids that are made from idempotency keys. Never changed: the ids are in the log.
const KEYS: Uuid = uuid!("6f1c2d0e-6f5b-4f3c-9a53-6b1d7a1f0c1e");

/// The bounds of an executor.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most folded aggregates in the cache. An order of a dozen lines takes some kilobytes.
    pub cached: usize,
    /// The most bytes of these, about; the bound that is reached first applies.
    pub cached_bytes: usize,
    /// How often a command is decided again because its streams have changed or an event that it depended on was not
    /// written. Within one process a retry follows a failed write; more than a few mean that another process keeps
    /// writing the same streams.
    pub retries: u32,
    /// How long an equal request waits for the first one.
    pub equal_wait: Duration,
    /// How many events apart the snapshots of a stream are: about as many as can be read and folded during one round
    /// trip.
    pub snapshot_every: u64,
    /// Whether sagas react in the batch that they react to. If not, their runner reacts later, in batches of its own.
    pub reactions: bool,
    /// The most commands of sagas that are carried out at once before the decision that asks for them is durable, see
    /// [`Executor::carries_out`]. With 0 the runners send all of them.
    pub follow_ups: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cached: 32_768,
            cached_bytes: 512 * 1024 * 1024,
            retries: 24,
            equal_wait: Duration::from_secs(10),
            snapshot_every: 200,
            reactions: true,
            follow_ups: 256,
        }
    }
}

/// What a caller knows of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// That it has events.
    Exists,
    /// Its version, 1 or more: what has no event has no version.
    Version(u64),
}

/// A command's envelope.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whose streams.
    pub tenant: Tenant,
    /// The command's id: [`command_id`] of the idempotency key, or an id derived from the request if an equal request
    /// can come again; otherwise [`fresh_command_id`].
    pub command_id: Uuid,
    /// What equal requests have in common, see [`fingerprint`].
    pub fingerprint: [u8; 32],
    /// The actor, and the correlation of the work.
    pub metadata: Metadata,
    /// What the caller knows of one of the plan's streams: where that is not so, the command is refused.
    pub if_match: Option<(StreamName, Expected)>,
    /// Decide, and write nothing.
    pub dry_run: bool,
    /// Carry it out only while the saga of the metadata waits for its outcome, and write it only after what that rests on. For a
    /// command whose asking is not durable yet.
    pub while_asked: bool,
}

impl Request {
    fn stream_id(&self, name: &StreamName) -> StreamId {
        stream_id(&self.tenant, name)
    }
}

/// The stored name of a stream.
#[must_use]
pub fn stream_id(tenant: &Tenant, name: &StreamName) -> StreamId {
    StreamId::new(tenant.as_str(), name.category, name.id.as_str())
}

/// The command id that an idempotency key stands for.
#[must_use]
pub fn command_id(tenant: &Tenant, key: &str) -> Uuid {
    Uuid::new_v5(&Uuid::new_v5(&KEYS, tenant.as_str().as_bytes()), key.as_bytes())
}

/// The id of a command that no other request can be equal to.
#[must_use]
pub fn fresh_command_id() -> Uuid {
    Uuid::now_v7()
}

/// SHA-256 over what equal requests have in common, each part with its length: method, path, `If-Match`, raw body.
#[must_use]
pub fn fingerprint(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Runs commands. Clones share everything.
#[derive(Clone)]
pub struct Executor(Arc<Inner>);

struct Inner {
    store: Arc<dyn EventStore>,
    tracker: TaskTracker,
    options: Options,
    cache: Cache,
    calls: Calls,
    follow_ups: Arc<FollowUps>,
    metrics: Meter,
}

impl Executor {
    /// Writes run in tasks of `tracker`: wait for it before closing the store.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, tracker: TaskTracker, options: Options) -> Self {
        Self(Arc::new(Inner {
            store,
            tracker,
            cache: Cache::new(Bound { slots: options.cached, bytes: options.cached_bytes }),
            follow_ups: Arc::new(FollowUps::new(options.follow_ups)),
            options,
            calls: Calls::default(),
            metrics: Meter::new(),
        }))
    }

    pub(crate) fn tracker(&self) -> &TaskTracker {
        &self.0.tracker
    }

    /// The first record of a stream that cannot be folded, if there is one.
    pub(crate) async fn unfoldable(&self, stream: &StreamId) -> Result<Option<Unreadable>, Error> {
        let Some(of) = Type::of_category(&stream.category) else {
            return Ok(None);
        };
        match load::fold(&*self.0.store, stream, of, streams::Until::End).await {
            Ok(_) => Ok(None),
            Err(Error::Unreadable(unreadable)) => Ok(Some(*unreadable)),
            Err(error) => Err(error),
        }
    }

    /// The store that it writes to.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn EventStore> {
        &self.0.store
    }

    /// Runs a command: all of the plan or nothing. The answer is durable, a refusal as well. Dropping the future cancels nothing.
    ///
    /// # Errors
    /// If there is no outcome (yet); see [`Error`].
    pub async fn execute(&self, request: Request, plan: Plan) -> Result<Done, Error> {
        let began = Instant::now();
        let dry_run = request.dry_run;
        let answer = if dry_run || request.command_id.get_version_num() == 7 {
            self.spawn(request, plan, None).await
        } else {
            self.once(request, plan).await
        };
        let inner = &self.0;
        inner.metrics.answered(&answer, began.elapsed(), dry_run, (inner.cache.len(), inner.cache.bytes()));
        answer
    }

    /// Runs a command whose plan depends on current state ([`Plan::made_at`]): if that state changes before the command
    /// is decided, `plan` is called again, with `true`.
    ///
    /// # Errors
    /// If there is no outcome (yet), or no plan could be made.
    pub async fn execute_planned<F, P>(&self, request: Request, plan: F) -> Result<Done, Error>
    where
        F: Fn(bool) -> P,
        P: Future<Output = Result<Plan, Error>>,
    {
        for tries in 0..=self.0.options.retries {
            match self.execute(request.clone(), plan(tries > 0).await?).await {
                Err(Error::Outdated) => {}
                answer => return answer,
            }
        }
        Err(busy())
    }

    /// The current durable state and version of an aggregate; version 0 if it does not exist.
    ///
    /// # Errors
    /// If the store cannot be read, or the stored data cannot be decoded.
    pub async fn load<A: Stored>(&self, tenant: &Tenant, stream: &StreamName) -> Result<(Arc<A>, u64), Error> {
        let inner = &self.0;
        let id = stream_id(tenant, stream);
        for _ in 0..=inner.options.retries {
            let head = inner.store.stream_head(&id).await?;
            let slot = inner.cache.slot(&id, Type::of::<A>());
            slot.load(&*inner.store).await?;
            let (state, version, behind) = {
                let held = slot.lock().await;
                (held.fold.shown(), held.version, held.is_behind(head))
            };
            if behind {
                inner.cache.discard(&slot);
                continue;
            }
            if slot.wait_durable(version).await {
                drop(slot);
                inner.cache.trim();
                return match state.downcast() {
                    Ok(state) => Ok((state, version)),
                    Err(_) => Err(Error::Plan(format!("{id} is folded as another type"))),
                };
            }
        }
        Err(busy())
    }

    /// The outcome of a command, without states; `None` if it has not been accepted so far. The answer takes all
    /// appends in flight into account.
    ///
    /// # Errors
    /// If the store cannot be read, or the stored data cannot be decoded.
    pub async fn outcome(&self, tenant: &Tenant, command_id: Uuid) -> Result<Option<Done>, Error> {
        let inner = &self.0;
        match inner.store.command(command_id).await? {
            Some(receipt) if receipt.streams.iter().all(|written| &*written.stream.tenant == tenant.as_str()) => {
                inner.replay(tenant, None, &receipt).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Runs a command that another request could be equal to: the first one runs, the others wait for it.
    async fn once(&self, request: Request, plan: Plan) -> Result<Done, Error> {
        let inner = &self.0;
        let until = tokio::time::Instant::now() + inner.options.equal_wait;
        loop {
            match inner.calls.enter(request.command_id, request.fingerprint) {
                Entered::First(turn) => return self.spawn(request, plan, Some(turn)).await,
                Entered::Later { equal, mut answer } => {
                    let told = match timeout_at(until, answer.wait_for(Option::is_some)).await {
                        Ok(Ok(told)) => told.clone(),
                        Ok(Err(_)) => None,
                        Err(_) => return Err(Error::InProgress),
                    };
                    match told {
                        Some(answer) if equal => {
                            return answer.map(|done| Done { replayed: true, ..done });
                        }
                        Some(Ok(_)) => return Err(Error::KeyReused),
                        // The first command left nothing under the key: continue as if it had not been there.
                        Some(Err(_)) | None => tokio::task::yield_now().await,
                    }
                }
            }
        }
    }

    async fn spawn(&self, request: Request, plan: Plan, turn: Option<Turn>) -> Result<Done, Error> {
        let inner = Arc::clone(&self.0);
        let task = self.0.tracker.spawn(async move {
            let answer = inner.run(&request, &plan).await;
            if let Some(turn) = turn {
                turn.end(answer.clone());
            }
            answer
        });
        task.await.unwrap_or(Err(Error::Lost))
    }
}

impl Inner {
    async fn run(self: &Arc<Self>, request: &Request, plan: &Plan) -> Result<Done, Error> {
        let work = Work::try_new(request, plan)?;
        for tries in 0..=self.options.retries {
            if tries > 0 {
                self.metrics.retry();
                self.back_off(request.command_id, tries).await;
            }
            if let Attempt::Done(done) = self.attempt(&work, tries).await? {
                return Ok(done);
            }
        }
        Err(busy())
    }

    /// The first retry comes at once: in one process the state is right then. Later ones spread out, so that processes that write the
    /// same streams do not meet again and again.
    async fn back_off(&self, command_id: Uuid, tries: u32) {
        if tries > 1 {
            let spread = (command_id.as_u128() >> (tries % 64)) % 1_000;
            let spread = u64::try_from(spread).unwrap_or_default();
            sleep(Duration::from_micros(u64::from(tries.min(10)) * (500 + spread))).await;
        }
    }
}

pub(crate) fn busy() -> Error {
    Error::Busy { retry_after: Duration::from_secs(1) }
}

#[cfg(test)]
mod tests;
