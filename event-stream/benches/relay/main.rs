//! How fast the relay publishes a log that waits for it, and how soon after its commit a record is delivered; on one server and on
//! three, every message synced before it is acknowledged.
//!
//! `cargo bench -p event-stream --bench relay -- [--events 200000] [--probes 2000] [--nodes 1,3]`. What it prints must come from what
//! it measured in this very run.
#![expect(clippy::unwrap_used, reason = "a measurement stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "the table is what this is for")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use event_store::EventStore;
use event_store::append::{Batch, Expectation, NewEvent, StreamWrite};
use event_store::partition::Door;
use event_store::record::StreamId;
use event_store::sqlite::{Options, Store};
use event_stream::connection::{self, Connection};
use event_stream::consumer::{self, Bus};
use event_stream::relay::{self, Relay};
use hdrhistogram::Histogram;
use servers::Nats;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// About what an event of an order weighs, with its metadata.
const DATA: usize = 400;
const METADATA: usize = 100;
/// Events of one command.
const COMMAND: usize = 4;

struct Arguments {
    events: usize,
    probes: usize,
    nodes: Vec<usize>,
}

fn main() {
    let arguments = arguments();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("| servers | relay, events/s | commit to delivery p50 | p99 | max |");
    println!("|---|---|---|---|---|");
    for &nodes in &arguments.nodes {
        let servers: Vec<Nats> = match nodes {
            1 => vec![Nats::start()],
            3 => Nats::cluster().into(),
            other => panic!("{other} servers are not known"),
        };
        let (rate, delivery) = runtime.block_on(measure(&servers, &arguments));
        println!(
            "| {nodes} | {rate:.0} | {} | {} | {} |",
            milliseconds(delivery.value_at_quantile(0.5)),
            milliseconds(delivery.value_at_quantile(0.99)),
            milliseconds(delivery.max()),
        );
    }
}

async fn measure(servers: &[Nats], arguments: &Arguments) -> (f64, Histogram<u64>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(dir.path())).unwrap();
    let urls: Vec<_> = servers.iter().map(Nats::url).collect();
    let connect = async || {
        let options = connection::Options::new(urls.clone(), "bench");
        Connection::connect(options).await.unwrap()
    };
    let start = async |owner: &str| {
        let options = relay::Options { replicas: servers.len(), ..relay::Options::new(owner) };
        let shared = Arc::clone(&store) as Arc<dyn EventStore>;
        let correlate = Arc::new(|record: &event_store::record::Record| record.command_id);
        let relay = Relay::new(shared, connect().await, correlate, options);
        let (status, cancel) = (relay.status(), CancellationToken::new());
        let task = tokio::spawn(relay.run(cancel.clone()));
        (status, cancel, task)
    };

    // The generation begins on an empty log; then the log grows while no relay publishes.
    let (mut status, cancel, task) = start("first").await;
    let begun = status.wait_for(|status| status.generation > 0);
    tokio::time::timeout(Duration::from_secs(60), begun).await.unwrap().unwrap();
    cancel.cancel();
    task.await.unwrap();
    let mut pending = Vec::new();
    for _ in 0..arguments.events / COMMAND {
        pending.push(store.append(command(COMMAND)));
        if pending.len() == 256 {
            for outcome in pending.drain(..) {
                outcome.await.unwrap();
            }
        }
    }
    for outcome in pending {
        outcome.await.unwrap();
    }
    let head = store.head().borrow().position;
    let (mut status, cancel, task) = start("second").await;
    status.wait_for(|status| status.records > 0).await.unwrap();
    let (began, had) = (Instant::now(), status.borrow().records);
    status.wait_for(|status| status.published == head).await.unwrap();
    let rate = (head - had) as f64 / began.elapsed().as_secs_f64();

    let bus = Bus::new(Arc::clone(&store) as Arc<dyn EventStore>, connect().await, consumer::Options::default());
    let listening = bus.clone();
    let listener = tokio::spawn(async move { listening.run(CancellationToken::new()).await });
    let mut feed = bus.feed(Door::All);
    feed.seek(head);
    while bus.stats().subscriptions == 0 {
        feed.next(100).await.unwrap();
    }
    let mut delivery = Histogram::<u64>::new(3).unwrap();
    for _ in 0..arguments.probes {
        store.append(command(1)).await.unwrap();
        let committed = Instant::now();
        while feed.next(100).await.unwrap().records.is_empty() {}
        delivery.record(u64::try_from(committed.elapsed().as_micros()).unwrap()).unwrap();
    }
    let stats = bus.stats();
    assert!(stats.from_stream >= arguments.probes as u64 && stats.from_store == 0, "{stats:?}");
    cancel.cancel();
    task.await.unwrap();
    listener.abort();
    (rate, delivery)
}

fn command(events: usize) -> Batch {
    let command_id = Uuid::now_v7();
    let event = |_| NewEvent {
        event_id: Uuid::now_v7(),
        kind: "OrderPlaced".into(),
        schema_version: 1,
        data: Bytes::from(vec![b'x'; DATA]),
        metadata: Bytes::from(vec![b'y'; METADATA]),
    };
    Batch {
        command_id,
        fingerprint: [0; 32],
        writes: vec![StreamWrite {
            stream: StreamId::new("acme", "order", command_id.to_string()),
            expected: Expectation::NoStream,
            events: (0..events).map(event).collect(),
        }],
    }
}

fn milliseconds(micros: u64) -> String {
    format!("{:.2} ms", micros as f64 / 1_000.0)
}

fn arguments() -> Arguments {
    let mut arguments = Arguments { events: 200_000, probes: 2_000, nodes: vec![1, 3] };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let mut value = || given.next().unwrap_or_else(|| panic!("{name} wants a value"));
        match name.as_str() {
            "--events" => arguments.events = value().parse().unwrap(),
            "--probes" => arguments.probes = value().parse().unwrap(),
            "--nodes" => arguments.nodes = value().split(',').map(|n| n.parse().unwrap()).collect(),
            // Given by `cargo bench` itself.
            "--bench" => {}
            other => panic!("{other} is not known"),
        }
    }
    arguments
}
