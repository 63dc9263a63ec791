//! Buyers and clerks at work until they are told to stop: orders placed, noted, shipped, cancelled, returned and read back, keys sent
//! again, keys misused. Every request is recorded. It knows servers by their URLs only, so that whoever breaks them may do so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use checker::History;
use domain::ids::{LocationId, Sku};
use event_store::record::StreamId;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::recorded::{Command, Endpoints, Recorded, version};
use super::{Answer, shop};

/// Orders that a client remembers, to do something with later.
const REMEMBERED: usize = 24;
/// Commands that a client remembers, to send them again.
const SENT: usize = 40;
/// Seconds that some requests wait for the verdict.
const WAIT_S: u32 = 5;
/// How often the log is followed when there is nothing new.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    Place,
    Note,
    Ship,
    Cancel,
    Return,
    Restock,
    Read,
    /// An earlier command under its own key.
    Replay,
    /// Another request under an earlier key.
    Misuse,
    /// A body that is not as documented.
    Malformed,
}

/// What is done how often, in parts of the whole.
#[derive(Clone, Debug)]
pub(crate) struct Mix(pub(crate) Vec<(Action, u32)>);

impl Default for Mix {
    fn default() -> Self {
        Self(vec![
            (Action::Place, 30),
            (Action::Note, 12),
            (Action::Ship, 14),
            (Action::Cancel, 6),
            (Action::Return, 8),
            (Action::Restock, 4),
            (Action::Read, 14),
            (Action::Replay, 7),
            (Action::Misuse, 3),
            (Action::Malformed, 2),
        ])
    }
}

/// A load to be put on a system.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Clients, each doing one thing after the other.
    pub(crate) clients: usize,
    pub(crate) mix: Mix,
    /// What is sold; few, so that orders meet at the stock.
    pub(crate) skus: Vec<String>,
    /// How long a client goes on asking what became of a command.
    pub(crate) patience: Duration,
    /// The first seed; print it.
    pub(crate) seed: u64,
}

/// What was done, each action by how it ended: `Place 201`, `Ship order-state`, `Note unresolved`.
pub(crate) type Counts = BTreeMap<String, u64>;

/// A load under way. Dropping it ends it at once, with what is under way of unknown outcome.
pub(crate) struct Running {
    stop: CancellationToken,
    clients: JoinSet<Counts>,
    answered: Arc<AtomicU64>,
}

impl Load {
    /// So many clients, four SKUs, the usual mix.
    pub(crate) fn of(clients: usize, seed: u64) -> Self {
        Self {
            clients,
            mix: Mix::default(),
            skus: (1..=4).map(|number| format!("LOAD{number}")).collect(),
            patience: Duration::from_secs(60),
            seed,
        }
    }

    /// Puts goods on the shelf and lets the clients go.
    pub(crate) async fn start(self, history: &History, endpoints: &Endpoints) -> Running {
        let stop = CancellationToken::new();
        let answered = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        let mut opening = Worker::new(&self, history, endpoints, "opening".to_owned());
        for sku in &self.skus {
            let command = opening.restock(sku, 200);
            assert!(opening.recorded.send(&command).await.is_some(), "no goods");
        }
        for number in 0..self.clients {
            let worker = Worker::new(&self, history, endpoints, format!("load-{number}"));
            clients.spawn(worker.run(stop.clone(), Arc::clone(&answered)));
        }
        let tail = Recorded::new(history, "tail", endpoints, self.patience);
        clients.spawn(follow(tail, stop.clone()));
        Running { stop, clients, answered }
    }
}

impl Running {
    /// How many requests were answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests are answered than now.
    ///
    /// # Panics
    /// If that takes longer than `within`: the system makes no progress.
    pub(crate) async fn until_more(&self, requests: u64, within: Duration) {
        let (from, since) = (self.answered(), Instant::now());
        while self.answered() < from + requests {
            assert!(
                since.elapsed() < within,
                "{} of {requests} requests were answered within {within:?}",
                self.answered() - from
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets every client finish what it is at, and counts.
    pub(crate) async fn stop(mut self) -> Counts {
        self.stop.cancel();
        let mut all = Counts::new();
        while let Some(counts) = self.clients.join_next().await {
            for (what, count) in counts.expect("a client ends") {
                *all.entry(what).or_default() += count;
            }
        }
        all
    }
}

async fn follow(mut tail: Recorded, stop: CancellationToken) -> Counts {
    let mut after = 0;
    loop {
        let next = tail.follow(after).await;
        if next == after {
            if stop.is_cancelled() {
                return Counts::new();
            }
            tokio::time::sleep(FOLLOW_EVERY).await;
        }
        after = next;
    }
}

/// An order as its client knows it.
#[derive(Clone)]
struct Known {
    stream: StreamId,
    version: Option<u64>,
    position: Option<u64>,
}

struct Worker {
    recorded: Recorded,
    random: StdRng,
    name: String,
    tenant: String,
    skus: Vec<String>,
    mix: Mix,
    orders: Vec<Known>,
    sent: Vec<Command>,
    keys: u64,
    counts: Counts,
}

impl Worker {
    fn new(load: &Load, history: &History, endpoints: &Endpoints, name: String) -> Self {
        let own = name.bytes().fold(load.seed, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
        Self {
            recorded: Recorded::new(history, &name, endpoints, load.patience),
            random: StdRng::seed_from_u64(own),
            // A run may put several loads on one system: their keys must not meet.
            name: format!("{name}-{:x}", Uuid::now_v7().as_u128()),
            tenant: endpoints.tenant.clone(),
            skus: load.skus.clone(),
            mix: load.mix.clone(),
            orders: Vec::new(),
            sent: Vec::new(),
            keys: 0,
            counts: Counts::new(),
        }
    }

    async fn run(mut self, stop: CancellationToken, answered: Arc<AtomicU64>) -> Counts {
        while !stop.is_cancelled() {
            let (action, _) = *self.mix.0.choose_weighted(&mut self.random, |(_, weight)| *weight).expect("a mix");
            // Who knows no order yet places one.
            let action = if self.orders.is_empty() { Action::Place } else { action };
            let answer = self.act(action).await;
            answered.fetch_add(u64::from(answer.is_some()), Ordering::Relaxed);
            let ended = answer.map_or("unresolved".to_owned(), |answer| told(&answer));
            *self.counts.entry(format!("{action:?} {ended}")).or_default() += 1;
        }
        self.counts
    }

    async fn act(&mut self, action: Action) -> Option<Answer> {
        match action {
            Action::Place => self.place().await,
            Action::Read => self.read().await,
            Action::Replay => {
                let command = self.sent.choose(&mut self.random)?.clone();
                self.recorded.send(&command).await
            }
            Action::Misuse => {
                let taken = self.sent.choose(&mut self.random)?.key.clone();
                let mut command = self.restock("MISUSED", 1);
                command.key = taken;
                self.recorded.send(&command).await
            }
            Action::Malformed => {
                let about = self.order(Uuid::now_v7());
                let command = self.command("/v1/orders".to_owned(), json!({ "lines": 7 }), about);
                self.recorded.send(&command).await
            }
            Action::Restock => {
                let sku = self.skus.choose(&mut self.random).expect("a SKU").clone();
                let qty = self.random.random_range(1..100);
                let command = self.restock(&sku, qty);
                self.send(command).await
            }
            Action::Note | Action::Ship | Action::Cancel | Action::Return => self.change(action).await,
        }
    }

    async fn place(&mut self) -> Option<Answer> {
        let id = Uuid::now_v7();
        let sku = self.skus.choose(&mut self.random).expect("a SKU").clone();
        let instrument = if self.random.random_bool(0.9) { "sandbox:approve" } else { "sandbox:decline" };
        let mut body = shop::order(&[(&sku, self.random.random_range(1..5))], instrument);
        body["order_id"] = json!(id);
        let about = self.order(id);
        let mut command = self.command("/v1/orders".to_owned(), body, about.clone());
        command.wait = self.random.random_bool(0.4).then_some(WAIT_S);
        let answer = self.send(command).await?;
        let known = Known { stream: about, version: version(&answer), position: answer.position };
        if self.orders.len() == REMEMBERED {
            let forgotten = self.random.random_range(0..REMEMBERED);
            self.orders.swap_remove(forgotten);
        }
        self.orders.push(known);
        Some(answer)
    }

    async fn change(&mut self, action: Action) -> Option<Answer> {
        let at = self.random.random_range(0..self.orders.len());
        let known = self.orders[at].clone();
        let (what, body): (_, Value) = match action {
            Action::Ship => ("shipments", json!({})),
            Action::Cancel => ("cancellations", json!({ "reason": "changed my mind" })),
            Action::Return => ("returns", json!({ "lines": [{ "line_id": 1, "qty": 1, "reason": "too big" }] })),
            _ => ("notes", json!({ "text": "Leave it with the neighbour." })),
        };
        let path = format!("/v1/orders/{}/{what}", known.stream.id);
        let mut command = self.command(path, body, known.stream);
        // A note says what it was written on, so that some come too late.
        command.if_match = known.version.filter(|_| action == Action::Note);
        let waits = matches!(action, Action::Ship | Action::Cancel) && self.random.random_bool(0.5);
        command.wait = waits.then_some(WAIT_S);
        let answer = self.send(command).await?;
        if answer.status < 300 {
            self.orders[at].version = version(&answer);
        }
        self.orders[at].position = answer.position.max(self.orders[at].position);
        Some(answer)
    }

    /// Reads an order back, mostly so that its client's last change must be seen.
    async fn read(&mut self) -> Option<Answer> {
        let at = self.random.random_range(0..self.orders.len());
        let known = &self.orders[at];
        let min_position = known.position.filter(|_| self.random.random_bool(0.8));
        let answer = self.recorded.read(&known.stream, min_position).await?;
        if answer.status == 200 {
            self.orders[at].version = version(&answer);
        }
        Some(answer)
    }

    fn restock(&mut self, sku: &str, qty: u32) -> Command {
        let place = LocationId::try_new("main").expect("a location");
        let name = domain::stream::stock(&place, &Sku::try_new(sku).expect("a SKU"));
        let about = StreamId::new(self.tenant.as_str(), name.category, name.id);
        self.command(format!("/v1/stock/{sku}/receipts"), json!({ "qty": qty }), about)
    }

    fn order(&self, id: Uuid) -> StreamId {
        StreamId::new(self.tenant.as_str(), "order", id.to_string())
    }

    /// A command under a key of its own.
    fn command(&mut self, path: String, body: Value, about: StreamId) -> Command {
        self.keys += 1;
        Command { key: format!("{}-{}", self.name, self.keys), path, body, about, if_match: None, wait: None }
    }

    async fn send(&mut self, command: Command) -> Option<Answer> {
        let answer = self.recorded.send(&command).await;
        if self.sent.len() == SENT {
            let forgotten = self.random.random_range(0..SENT);
            self.sent.swap_remove(forgotten);
        }
        self.sent.push(command);
        answer
    }
}

/// How an answer is counted.
fn told(answer: &Answer) -> String {
    let replayed = if answer.replayed { " again" } else { "" };
    if answer.status < 400 {
        format!("{}{replayed}", answer.status)
    } else {
        format!("{}{replayed}", answer.text("/code"))
    }
}
