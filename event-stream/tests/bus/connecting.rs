//! A server that is away is waited for; one that is not fit is refused.

use std::time::Duration;

use event_store::partition::Door;
use event_stream::connection::{Connection, Error, Options};
use servers::Nats;

use crate::harness::{Log, Reader, Running, bus};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_at_the_start_is_waited_for() {
    let mut nats = Nats::start();
    nats.stop();
    let mut log = Log::new(30);
    let relay = Running::start(&log, &nats, "one").await;
    let bus = bus(&log, &nats).await;
    let mut reader = Reader::new(&bus, Door::All);
    log.write(50).await;
    reader.read_to(log.head()).await;
    assert_eq!(bus.stats().from_stream, 0);
    nats.start_again();
    relay.caught_up(&log).await;
    while bus.stats().from_stream == 0 {
        log.write(5).await;
        reader.read_to(log.head()).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    reader.check(&log, &Door::All).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_small_messages_is_refused_in_plain_words() {
    let nats = Nats::start_with("max_payload: 1MB\n");
    let refused = Connection::connect(Options::new(vec![nats.url()], "test")).await;
    let Err(Error::Unfit(reason)) = refused else {
        panic!("{refused:?}");
    };
    assert!(reason.contains("max_payload is 1048576"), "{reason}");
}
