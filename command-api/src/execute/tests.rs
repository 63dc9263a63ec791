//! The executor on a real store. Tests wait for conditions, never for a time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed; this says where")]

mod conflicts;
mod durable;
mod equal;
mod follow_ups;
mod memory;
mod react;
mod several;
mod storm;
mod unreadable;

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use domain::ids::{LineId, LocationId, ReservationId, Sku, Tenant};
use domain::stock::command::Reserve;
use domain::stock::event::LineShare;
use domain::stock::{self, Stock};
use domain::stream::{self, StreamName};
use domain::time::Timestamp;
use event_store::sqlite::{self, Store};
use event_store::{EventStore, Filter};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use schemas::{Actor, Metadata};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{Done, Error, Executor, Options, Plan, Request, command_id, fingerprint};

/// The longest that a test waits for what has to come: far more than it takes on a busy machine.
const LONGEST: Duration = Duration::from_secs(30);

/// Stands right before the store's sync.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<GateState>,
    moved: Condvar,
}

#[derive(Default)]
struct GateState {
    shut: bool,
    waiting: bool,
    fail: Option<io::ErrorKind>,
    /// Which share of the syncs fails, and the dice for it.
    flaky: Option<(f64, SmallRng)>,
}

impl Gate {
    fn pass(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        while state.shut {
            state.waiting = true;
            state = self.moved.wait(state).unwrap();
        }
        state.waiting = false;
        if let Some((share, dice)) = &mut state.flaky
            && dice.random_bool(*share)
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.fail.take().map_or(Ok(()), |kind| Err(kind.into()))
    }

    /// From now on no sync comes to an end.
    fn shut(&self) {
        self.state.lock().unwrap().shut = true;
    }

    /// The sync that waits comes to its end: this one.
    fn open(&self, fail: Option<io::ErrorKind>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.shut = false;
        state.fail = fail;
        self.moved.notify_all();
    }

    /// From now on exactly this share of the syncs fails.
    fn flaky(&self, share: f64, seed: u64) {
        self.state.lock().unwrap().flaky = Some((share, SmallRng::seed_from_u64(seed)));
    }

    fn is_waiting(&self) -> bool {
        self.state.lock().unwrap().waiting
    }
}

/// A store with a gate before its sync.
pub(super) struct House {
    dir: TempDir,
    gate: Arc<Gate>,
    store: Arc<Store>,
    tracker: TaskTracker,
}

impl House {
    fn new() -> Self {
        Self::with_queue(65_536)
    }

    /// A house whose store takes so many events on its queue.
    fn with_queue(events: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let gate = Arc::new(Gate::default());
        let store = open(&dir, &gate, events);
        Self { dir, gate, store, tracker: TaskTracker::new() }
    }

    fn executor(&self) -> Executor {
        self.executor_with(Options::default())
    }

    fn executor_with(&self, options: Options) -> Executor {
        let store: Arc<dyn EventStore> = self.store.clone();
        Executor::new(store, self.tracker.clone(), options)
    }

    /// Closes the store and opens it again.
    async fn reopen(&mut self) {
        self.tracker.close();
        self.tracker.wait().await;
        self.tracker.reopen();
        // A store that has failed cannot close cleanly; its lock is released with it anyway.
        let _ = self.store.close().await;
        let old = std::mem::replace(&mut self.store, {
            let other = tempfile::tempdir().unwrap();
            open(&other, &self.gate, 65_536)
        });
        until("the old store is let go", || Arc::strong_count(&old) == 1).await;
        drop(old);
        self.store = open(&self.dir, &self.gate, 65_536);
    }

    /// Everything in the log: stream and type.
    async fn log(&self) -> Vec<(String, String)> {
        let page = self.store.read_log(0, &Filter::default(), 100_000).await.unwrap();
        page.records.iter().map(|record| (record.stream.to_string(), record.kind.to_string())).collect()
    }

    async fn count(&self, kind: &str) -> usize {
        self.log().await.iter().filter(|(_, k)| k == kind).count()
    }
}

/// A failing test must end: the writer must not wait at a gate that no test opens.
impl Drop for House {
    fn drop(&mut self) {
        self.gate.open(None);
    }
}

fn open(dir: &TempDir, gate: &Arc<Gate>, queue_events: usize) -> Arc<Store> {
    let mut options = sqlite::Options::new(dir.path());
    options.queue_events = queue_events;
    let gate = Arc::clone(gate);
    options.before_commit = Some(Arc::new(move || gate.pass()));
    Store::open(options).unwrap()
}

/// Waits for a condition.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONGEST, wait).await.unwrap_or_else(|_| panic!("it never came to this: {what}"));
}

/// Waits until an executor's own fold of a stream is at a version, durable or not.
async fn folded_to(executor: &Executor, name: &StreamName, version: u64) {
    let id = super::stream_id(&tenant(), name);
    until("the fold is there", || executor.0.cache.there(&id).is_some_and(|slot| slot.try_peek() == Some(version)))
        .await;
}

fn tenant() -> Tenant {
    Tenant::try_new("shop").unwrap()
}

fn sku(name: &str) -> Sku {
    Sku::try_new(name).unwrap()
}

fn north() -> LocationId {
    LocationId::try_new("north").unwrap()
}

fn shelf(name: &str) -> StreamName {
    stream::stock(&north(), &sku(name))
}

fn receive(name: &str, qty: u32) -> stock::Command {
    stock::Command::Receive { sku: sku(name), location: north(), qty, source_ref: None }
}

fn reserve(name: &str, qty: u32, reservation: Uuid) -> stock::Command {
    stock::Command::Reserve(Reserve {
        reservation_id: ReservationId(reservation),
        sku: sku(name),
        location: north(),
        order_id: None,
        lines: vec![LineShare { line_id: LineId(1), qty }],
        backorder_ok: Vec::new(),
        allow_partial: false,
        expires_at: None,
        now: Timestamp::from_micros(1),
        basket: None,
    })
}

/// A request under an idempotency key.
fn keyed(key: &str) -> Request {
    Request {
        tenant: tenant(),
        command_id: command_id(&tenant(), key),
        fingerprint: fingerprint(&[b"the same for all"]),
        metadata: Metadata::new(
            Actor { id: "clerk".into(), via: "test".into(), on_behalf_of: None },
            Uuid::from_u128(7),
        ),
        if_match: None,
        dry_run: false,
        while_asked: false,
    }
}

/// A request that no other can be equal to.
fn fresh() -> Request {
    Request { command_id: super::fresh_command_id(), ..keyed("") }
}

fn one(name: &str, command: stock::Command) -> Plan {
    Plan::new().and::<Stock>(shelf(name), command)
}

/// Puts units on the shelf.
async fn stocked(executor: &Executor, name: &str, qty: u32) -> Done {
    executor.execute(fresh(), one(name, receive(name, qty))).await.unwrap()
}

/// Runs a command in a separate task.
fn begin(executor: &Executor, request: Request, plan: Plan) -> tokio::task::JoinHandle<Result<Done, Error>> {
    let executor = executor.clone();
    tokio::spawn(async move { executor.execute(request, plan).await })
}
