//! What the server has, read without any of our own code.

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, pull};
use event_store::record::Position;
use event_stream::relay::Status;
use futures_util::StreamExt;
use servers::Nats;

use crate::harness::{LIMIT, Log};

/// One message as the server has it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    pub(crate) position: Position,
    pub(crate) hash: String,
    pub(crate) epoch: u64,
    pub(crate) message: async_nats::Message,
}

pub(crate) async fn jetstream(nats: &Nats) -> async_nats::jetstream::Context {
    let client = async_nats::connect(nats.url()).await.unwrap();
    async_nats::jetstream::new(client)
}

/// Everything in a generation's stream, in order, read without any of our own code.
pub(crate) async fn on_the_bus(nats: &Nats, generation: u64) -> Vec<Stored> {
    let jetstream = jetstream(nats).await;
    let name = format!("DAYBOOK_EVENTS_{generation}");
    let stream = jetstream.get_stream(&name).await.unwrap();
    let last = stream.cached_info().state.last_sequence;
    let mut stored: Vec<Stored> = Vec::new();
    if stream.cached_info().state.messages == 0 {
        return stored;
    }
    let config = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
    // Servers that have just come back say for a moment that they are not ready.
    let since = Instant::now();
    let consumer = loop {
        match stream.create_consumer(config.clone()).await {
            Ok(consumer) => break consumer,
            Err(error) => assert!(since.elapsed() < LIMIT, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let mut messages = consumer.messages().await.unwrap();
    while stored.last().is_none_or(|stored| stored.sequence < last) {
        let message = tokio::time::timeout(LIMIT, messages.next()).await;
        let message = message.unwrap().unwrap().unwrap();
        let sequence = message.info().unwrap().stream_sequence;
        let (message, _) = message.split();
        let header = |name: &str| {
            let headers = message.headers.as_ref().unwrap();
            headers.get(name).map_or("", |value| value.as_str()).to_owned()
        };
        stored.push(Stored {
            sequence,
            position: header("Daybook-Position").parse().unwrap_or(0),
            hash: header("Daybook-Hash"),
            epoch: header("Daybook-Epoch").parse().unwrap_or(0),
            message,
        });
    }
    stored
}

/// That the stream of the relay's generation is the log after its base: every position once, in order, with the store's hash, and no
/// epoch after a newer one.
pub(crate) async fn check_stream(log: &Log, nats: &Nats, status: &Status) {
    let records = log.records().await;
    let stored = on_the_bus(nats, status.generation).await;
    let expected = &records[status.base as usize..];
    let positions: Vec<_> = stored.iter().map(|stored| stored.position).collect();
    let wanted: Vec<_> = expected.iter().map(|record| record.position).collect();
    assert_eq!(positions, wanted);
    for (stored, record) in stored.iter().zip(expected) {
        assert_eq!(stored.sequence, stored.position - status.base);
        let hash: String = record.hash.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(stored.hash, hash, "at {}", record.position);
    }
    let epochs: Vec<_> = stored.iter().map(|stored| stored.epoch).collect();
    assert!(epochs.is_sorted(), "an old epoch after a newer one");
}
