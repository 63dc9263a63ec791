//! A log, a server, and readers and publishers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use event_store::append::{Batch, Expectation, NewEvent, Outcome, StreamWrite};
use event_store::partition::{self, Correlate, Door};
use event_store::record::{Position, Record, StreamId};
use event_store::sqlite::{Options, Store};
use event_store::{EventStore, Feed, Filter};
use event_stream::connection::{self, Connection};
use event_stream::consumer::{self, Bus};
use event_stream::relay::{self, Relay, Status};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use servers::Nats;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long anything may take before a test has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);

/// A log in a temporary folder, and the random commands that go into it.
pub(crate) struct Log {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Arc<Store>,
    rng: SmallRng,
}

impl Log {
    pub(crate) fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(dir.path())).unwrap();
        eprintln!("seed {seed}");
        Self { dir, store, rng: SmallRng::seed_from_u64(seed) }
    }

    /// Appends random commands: one to three streams, one to five events each, all of one correlation or of several.
    pub(crate) async fn write(&mut self, commands: usize) {
        self.write_to(commands, |_| true).await;
    }

    /// The same, to streams that are wanted only.
    pub(crate) async fn write_to(&mut self, commands: usize, wanted: impl Fn(&StreamId) -> bool) {
        let mut pending = Vec::new();
        for _ in 0..commands {
            let command = self.command(&wanted);
            pending.push(self.store.append(command));
            if pending.len() == 64 {
                settle(&mut pending).await;
            }
        }
        settle(&mut pending).await;
    }

    /// One command that writes this many events to streams all over.
    pub(crate) async fn write_large(&mut self, events: usize) {
        let mut writes: Vec<_> = (0..40).map(|n| write(&format!("large-{n}"))).collect();
        for n in 0..events {
            let event = self.event();
            writes[n % 40].events.push(event);
        }
        let mut pending = vec![self.store.append(batch(writes))];
        settle(&mut pending).await;
    }

    fn command(&mut self, wanted: &impl Fn(&StreamId) -> bool) -> Batch {
        let mut names = BTreeSet::new();
        for _ in 0..self.rng.random_range(1..=3) {
            loop {
                let name = format!("{}", self.rng.random_range(0..500));
                if wanted(&StreamId::new("acme", "thing", name.as_str())) {
                    names.insert(name);
                    break;
                }
            }
        }
        let mut writes: Vec<_> = names.iter().map(|name| write(name)).collect();
        for write in &mut writes {
            for _ in 0..self.rng.random_range(1..=5) {
                let event = self.event();
                write.events.push(event);
            }
        }
        batch(writes)
    }

    fn event(&mut self) -> NewEvent {
        let correlation = Uuid::from_u128(self.rng.random_range(0..1_000));
        let mut data = vec![0; self.rng.random_range(0..400)];
        self.rng.fill(&mut data[..]);
        NewEvent {
            event_id: Uuid::now_v7(),
            kind: ["Made", "Moved.far", "Broken *>"][self.rng.random_range(0..3)].into(),
            schema_version: 1,
            data: data.into(),
            metadata: Bytes::copy_from_slice(correlation.as_bytes()),
        }
    }

    pub(crate) fn head(&self) -> Position {
        self.store.head().borrow().position
    }

    pub(crate) fn shared(&self) -> Arc<dyn EventStore> {
        Arc::clone(&self.store) as Arc<dyn EventStore>
    }

    /// Everything in the log.
    pub(crate) async fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        let mut after = 0;
        loop {
            let filter = Filter::default();
            let page = self.store.read_log(after, &filter, 5_000).await.unwrap();
            if page.records.is_empty() {
                return records;
            }
            after = page.next;
            records.extend(page.records);
        }
    }

    /// The records of a partition.
    pub(crate) async fn through(&self, door: &Door) -> Vec<Record> {
        let mut records = self.records().await;
        records.retain(|record| door.admits(record));
        records
    }
}

fn write(name: &str) -> StreamWrite {
    StreamWrite { stream: StreamId::new("acme", "thing", name), expected: Expectation::Any, events: Vec::new() }
}

fn batch(writes: Vec<StreamWrite>) -> Batch {
    Batch { command_id: Uuid::now_v7(), fingerprint: [0; 32], writes }
}

async fn settle(pending: &mut Vec<event_store::append::Pending>) {
    for outcome in pending.drain(..) {
        let outcome = outcome.await.unwrap();
        assert!(matches!(outcome, Outcome::Appended(_)), "{outcome:?}");
    }
}

/// The correlation is in the metadata.
pub(crate) fn correlate() -> Correlate {
    Arc::new(|record| Uuid::from_slice(&record.metadata).unwrap_or_default())
}

/// Every door that there is.
pub(crate) fn doors() -> Vec<Door> {
    let streams = (0..partition::STREAMS).map(Door::Streams);
    let correlations = (0..partition::CORRELATIONS).map(|p| Door::Correlations(p, correlate()));
    std::iter::once(Door::All).chain(streams).chain(correlations).collect()
}

/// Connects to one server, or to several whose addresses are separated by commas.
pub(crate) async fn connect(urls: &str) -> Connection {
    let urls = urls.split(',').map(str::to_owned).collect();
    let options = connection::Options::new(urls, "test");
    Connection::connect(options).await.unwrap()
}

/// A running relay.
pub(crate) struct Running {
    pub(crate) status: watch::Receiver<Status>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(log: &Log, nats: &Nats, owner: &str) -> Self {
        Self::with(log, nats, options(owner)).await
    }

    pub(crate) async fn with(log: &Log, nats: &Nats, options: relay::Options) -> Self {
        Self::at(log, &nats.url(), options).await
    }

    pub(crate) async fn at(log: &Log, urls: &str, options: relay::Options) -> Self {
        let connection = connect(urls).await;
        let relay = Relay::new(log.shared(), connection, correlate(), options);
        let cancel = CancellationToken::new();
        Self { status: relay.status(), task: tokio::spawn(relay.run(cancel.clone())), cancel }
    }

    pub(crate) fn now(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Waits until the stream has the whole log.
    pub(crate) async fn caught_up(&self, log: &Log) {
        let status = self.status.clone();
        until("the relay to catch up", || {
            let now = status.borrow();
            now.active && now.generation > 0 && now.published == log.head()
        })
        .await;
    }

    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }

    /// Ends it as a crash would: nothing is saved or given back.
    pub(crate) fn crash(self) {
        self.task.abort();
    }
}

pub(crate) fn options(owner: &str) -> relay::Options {
    relay::Options { lease: Duration::from_secs(2), max_bytes: 256 * 1024 * 1024, ..relay::Options::new(owner) }
}

/// A bus that listens.
pub(crate) async fn bus(log: &Log, nats: &Nats) -> Bus {
    bus_at(log, &nats.url()).await
}

pub(crate) async fn bus_at(log: &Log, urls: &str) -> Bus {
    listen(log, urls, consumer::Options::default()).await
}

/// A bus whose feeds wait for it however busy the machine is.
pub(crate) async fn patient(log: &Log, nats: &Nats) -> Bus {
    let options = consumer::Options { silence: LIMIT / 2, ..consumer::Options::default() };
    listen(log, &nats.url(), options).await
}

async fn listen(log: &Log, urls: &str, options: consumer::Options) -> Bus {
    let bus = Bus::new(log.shared(), connect(urls).await, options);
    let listening = bus.clone();
    tokio::spawn(async move { listening.run(CancellationToken::new()).await });
    bus
}

/// Reads a feed from the beginning, and remembers what it said.
pub(crate) struct Reader {
    feed: Box<dyn Feed>,
    rng: SmallRng,
    pub(crate) next: Position,
    pub(crate) records: Vec<Record>,
    /// Where pages ended.
    pub(crate) cuts: Vec<Position>,
    pub(crate) slowest: Duration,
}

impl Reader {
    pub(crate) fn new(bus: &Bus, door: Door) -> Self {
        Self {
            feed: bus.feed(door),
            rng: SmallRng::seed_from_u64(7),
            next: 0,
            records: Vec::new(),
            cuts: Vec::new(),
            slowest: Duration::ZERO,
        }
    }

    /// Reads until everything up to a position was seen.
    pub(crate) async fn read_to(&mut self, position: Position) {
        let began = Instant::now();
        while self.next < position {
            assert!(began.elapsed() < LIMIT, "the feed stands at {} of {position}", self.next);
            self.step().await;
        }
    }

    /// One page; now and then the future is dropped first.
    pub(crate) async fn step(&mut self) {
        if self.rng.random_bool(0.3) {
            let patience = Duration::from_micros(self.rng.random_range(0..3_000));
            let limit = self.rng.random_range(1..200);
            match tokio::time::timeout(patience, self.feed.next(limit)).await {
                Ok(page) => self.take(page.unwrap()),
                Err(_) => return,
            }
            return;
        }
        let began = Instant::now();
        let limit = self.rng.random_range(1..200);
        let page = self.feed.next(limit).await.unwrap();
        self.slowest = self.slowest.max(began.elapsed());
        self.take(page);
    }

    fn take(&mut self, page: event_store::Page) {
        assert!(page.next >= self.next, "the feed went back");
        assert!(page.head >= page.next);
        for record in &page.records {
            assert!(record.position > self.next && record.position <= page.next);
        }
        self.next = page.next;
        self.records.extend(page.records);
        self.cuts.push(page.next);
    }

    /// Whether it has read exactly what the log has for its door, and never cut a command.
    pub(crate) async fn check(&self, log: &Log, door: &Door) {
        let mut expected = log.through(door).await;
        expected.retain(|record| record.position <= self.next);
        let of = |records: &[Record]| records.iter().map(|r| r.position).collect::<Vec<_>>();
        assert_eq!(of(&self.records), of(&expected), "{door:?}");
        assert_eq!(self.records, expected, "{door:?}");
        for cut in &self.cuts {
            let at = expected.partition_point(|record| record.position <= *cut);
            if at > 0 && at < expected.len() {
                assert_ne!(expected[at - 1].command_id, expected[at].command_id, "{door:?} was cut at {cut}");
            }
        }
    }
}

/// Waits for something to become so.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < LIMIT, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Copies a folder with everything in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target: PathBuf = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
