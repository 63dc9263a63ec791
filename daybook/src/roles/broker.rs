//! The optional broker: events come from it, commands go through it. Without a broker, a process reads the log itself
//! and runs the commands of its own sagas.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use event_store::partition::Door;
use event_store::supervision::Supervisor;
use event_store::{EventStore, Feed, Filter, StoreTail};
use event_stream::commands::{self, Queue};
use event_stream::relay::{self, Relay};
use event_stream::{Bus, Connection, connection, consumer};

use super::{Stage, ends};
use crate::config::Config;
use crate::service::health::{Health, Part, State};

/// What the broker is called among the parts.
const BROKER: &str = "broker";

/// Creates a feed of a partition.
pub(super) type Feeds = Arc<dyn Fn(Door) -> Box<dyn Feed> + Send + Sync>;

/// The broker as this process uses it.
#[derive(Clone)]
pub(super) struct Broker {
    connection: Connection,
    bus: Bus,
    /// Where commands go.
    pub(super) queue: Queue,
}

/// Connects to the broker that a configuration names. One that is away is waited for in the background.
pub(super) async fn connect(
    config: &Config,
    owner: &str,
    log: &Arc<dyn EventStore>,
    stage: &Stage,
    supervisor: &Supervisor,
) -> anyhow::Result<Option<Broker>> {
    let nodes = config.nats.nodes();
    if nodes.is_empty() {
        return Ok(None);
    }
    let connection =
        Connection::connect(connection::Options::new(nodes, owner)).await.context("the broker cannot be used")?;
    let bus = Bus::new(Arc::clone(log), connection.clone(), consumer::Options::default());
    let (following, token) = (bus.clone(), stage.token.clone());
    stage.keep(supervisor, BROKER, move |_| {
        let (following, token) = (following.clone(), token.clone());
        async move { ends(following.run(token)).await }
    });
    let queue = Queue::new(
        connection.clone(),
        commands::Options { replicas: config.nats.replicas, ..commands::Options::default() },
    );
    Ok(Some(Broker { connection, bus, queue }))
}

/// Where the records of each door come from.
pub(super) fn feeds(broker: Option<&Broker>, log: &Arc<dyn EventStore>) -> Feeds {
    match broker {
        Some(broker) => {
            let bus = broker.bus.clone();
            Arc::new(move |door| bus.feed(door))
        }
        None => {
            let log = Arc::clone(log);
            Arc::new(move |door| Box::new(StoreTail::through(Arc::clone(&log), Filter::default(), door)))
        }
    }
}

/// Publishes the log, or stands by.
pub(super) fn relay(
    broker: &Broker,
    config: &Config,
    owner: &str,
    log: &Arc<dyn EventStore>,
    stage: &Stage,
    supervisor: &Supervisor,
    health: &Health,
) {
    let options = relay::Options {
        lease: config.roles.lease(),
        replicas: config.nats.replicas,
        max_age: Duration::from_secs(config.nats.max_age_h * 3_600),
        max_bytes: config.nats.max_bytes,
        ..relay::Options::new(owner)
    };
    let relay = Relay::new(Arc::clone(log), broker.connection.clone(), sagas::correlate(), options);
    let (status, token) = (relay.status(), stage.token.clone());
    stage.keep(supervisor, relay::NAME, move |_| {
        let (relay, token) = (relay.clone(), token.clone());
        async move { ends(relay.run(token)).await }
    });
    let connection = broker.connection.clone();
    health.add(move || {
        let status = status.borrow().clone();
        let detail = if status.active {
            format!("publishes; generation {}, position {}", status.generation, status.published)
        } else {
            "stands by".to_owned()
        };
        let state = if connection.is_connected() { State::Ready } else { State::Failed };
        vec![Part::new(relay::NAME, state, detail)]
    });
}

/// Reports the broker's state, for parts that continue without it.
pub(super) fn watch(broker: &Broker, health: &Health) {
    let connection = broker.connection.clone();
    health.add(move || {
        let (state, detail) = if connection.is_connected() {
            (State::Ready, "connected")
        } else {
            (State::Degraded, "unreachable; the log is read instead, and commands between services wait")
        };
        vec![Part::new(BROKER, state, detail)]
    });
}
