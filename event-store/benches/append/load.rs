//! The load: new streams, or random ones of many existing streams. Each writer has its own streams, so its expected
//! versions are right.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use event_store::EventStore;
use event_store::append::{Batch, Expectation, NewEvent, Outcome, StreamWrite};
use event_store::record::StreamId;
use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

/// Existing streams and events of the random load.
const STREAMS: usize = 200_000;
const EVENTS_EACH: usize = 5;

/// No two writers of any two runs draw the same command ids.
static RUNS: AtomicU64 = AtomicU64::new(100);

/// Which streams are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Each event begins a stream.
    New,
    /// Each event goes to a random one of the streams that are there.
    Random,
}

impl Load {
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "new" => Self::New,
            "random" => Self::Random,
            other => panic!("there is no load {other}"),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Random => "random",
        }
    }
}

/// A stream's number and the last event that it has.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    pub(crate) number: u64,
    pub(crate) version: u64,
    pub(crate) event_id: Uuid,
}

/// The streams that are there, with their heads.
#[derive(Clone, Default)]
pub(crate) struct Streams {
    pub(crate) heads: Vec<Head>,
}

/// One writer's part of them.
pub(crate) struct Share {
    heads: Vec<Head>,
    random: SmallRng,
}

impl Streams {
    pub(crate) fn share(&mut self, writers: usize) -> Vec<Share> {
        let mut shares: Vec<Share> = (0..writers)
            .map(|_| Share { heads: Vec::new(), random: SmallRng::seed_from_u64(RUNS.fetch_add(1, Ordering::Relaxed)) })
            .collect();
        for (n, head) in self.heads.drain(..).enumerate() {
            shares[n % writers].heads.push(head);
        }
        shares
    }

    pub(crate) fn take_back(&mut self, shares: Vec<Share>) {
        self.heads = shares.into_iter().flat_map(|share| share.heads).collect();
    }
}

pub(crate) fn stream(number: u64) -> StreamId {
    StreamId::new("acme", "stock", format!("main/sku-{number:016x}"))
}

pub(crate) fn new_stream(random: &mut SmallRng) -> StreamId {
    StreamId::new("acme", "order", event_id(random).to_string())
}

/// A version 7 id, drawn without asking the kernel for randomness each time.
pub(crate) fn event_id(random: &mut SmallRng) -> Uuid {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    uuid::Builder::from_unix_timestamp_millis(now.as_millis() as u64, &random.random()).into_uuid()
}

/// About 500 bytes altogether, as an order event has.
pub(crate) fn data() -> Bytes {
    Bytes::from_static(&[b'd'; 380])
}

pub(crate) fn metadata() -> Bytes {
    Bytes::from_static(&[b'm'; 120])
}

/// Client keys are random, which is the dearer kind.
pub(crate) fn command_id(random: &mut SmallRng) -> Uuid {
    uuid::Builder::from_random_bytes(random.random()).into_uuid()
}

fn batch(stream: StreamId, expected: Expectation, event_id: Uuid, command_id: Uuid, kind: &Arc<str>) -> Batch {
    let event = NewEvent { event_id, kind: Arc::clone(kind), schema_version: 1, data: data(), metadata: metadata() };
    Batch { command_id, fingerprint: [5; 32], writes: vec![StreamWrite { stream, expected, events: vec![event] }] }
}

/// One writer: appends one event after the other, each when the one before is answered.
pub(crate) async fn write(
    store: Arc<dyn EventStore>,
    load: Load,
    mut share: Share,
    events: usize,
) -> (Share, Histogram<u64>) {
    let mut latencies = Histogram::new(3).unwrap();
    let kind: Arc<str> = "StockReserved".into();
    for _ in 0..events {
        let event_id = event_id(&mut share.random);
        let command_id = command_id(&mut share.random);
        let (stream, expected) = match load {
            Load::New => (new_stream(&mut share.random), Expectation::NoStream),
            Load::Random => {
                let place = share.random.random_range(0..share.heads.len());
                let head = &mut share.heads[place];
                let expected = Expectation::At { version: head.version, event_id: head.event_id };
                (head.version, head.event_id) = (head.version + 1, event_id);
                (stream(head.number), expected)
            }
        };
        let began = Instant::now();
        let outcome = store.append(batch(stream, expected, event_id, command_id, &kind)).await.unwrap();
        latencies.record(began.elapsed().as_micros() as u64).unwrap();
        assert!(matches!(outcome, Outcome::Appended(_)), "{outcome:?}");
    }
    (share, latencies)
}

/// Fills an empty store with what a load begins with.
pub(crate) async fn fill(store: &dyn EventStore, load: Load, scale: f64) -> Streams {
    let mut streams = Streams::default();
    if load == Load::New {
        return streams;
    }
    let mut random = SmallRng::seed_from_u64(1);
    let kind: Arc<str> = "StockReceived".into();
    let count = (STREAMS as f64 * scale) as usize;
    streams.heads = (0..count).map(|_| Head { number: random.random(), version: 0, event_id: Uuid::nil() }).collect();
    for version in 1..=EVENTS_EACH as u64 {
        for part in streams.heads.chunks_mut(10_000) {
            let pending: Vec<_> = part
                .iter_mut()
                .map(|head| {
                    let expected = match head.version {
                        0 => Expectation::NoStream,
                        version => Expectation::At { version, event_id: head.event_id },
                    };
                    (head.version, head.event_id) = (version, event_id(&mut random));
                    let id = command_id(&mut random);
                    let stream = stream(head.number);
                    store.append(batch(stream, expected, head.event_id, id, &kind))
                })
                .collect();
            for pending in pending {
                assert!(matches!(pending.await, Ok(Outcome::Appended(_))));
            }
        }
    }
    streams
}
