//! The records of each partition.

use event_store::partition::{Door, of_stream};
use servers::Nats;

use crate::harness::{Log, Reader, Running, bus, doors, patient};

#[tokio::test(flavor = "multi_thread")]
async fn every_door_gives_exactly_its_records_and_cuts_no_command() {
    let nats = Nats::start();
    let mut log = Log::new(10);
    // Some of it lies before the stream begins.
    log.write(100).await;
    let relay = Running::start(&log, &nats, "one").await;
    relay.caught_up(&log).await;
    let bus = patient(&log, &nats).await;
    let mut readers: Vec<_> = doors().into_iter().map(|door| (Reader::new(&bus, door.clone()), door)).collect();
    for round in 0..6 {
        log.write(80).await;
        if round == 3 {
            log.write_large(2_200).await;
        }
        let head = log.head();
        let reading = readers.iter_mut().map(|(reader, _)| reader.read_to(head));
        futures_util::future::join_all(reading).await;
    }
    for (reader, door) in &readers {
        reader.check(&log, door).await;
        assert_eq!(reader.next, log.head());
    }
    let stats = bus.stats();
    assert!(stats.from_stream > stats.from_store, "{stats:?}");
    assert_eq!((stats.foreign, stats.silences), (0, 0), "{stats:?}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_door_moves_to_the_head_beside_busy_ones() {
    let nats = Nats::start();
    let mut log = Log::new(11);
    let relay = Running::start(&log, &nats, "one").await;
    relay.caught_up(&log).await;
    let bus = patient(&log, &nats).await;
    let idle = Door::Streams(3);
    let mut reader = Reader::new(&bus, idle.clone());
    // Every feed is on the bus.
    log.write(50).await;
    reader.read_to(log.head()).await;
    while bus.stats().subscriptions == 0 {
        reader.step().await;
    }
    let before = bus.stats();
    let had = reader.records.len();
    for _ in 0..10 {
        log.write_to(20, |stream| of_stream(stream) != 3).await;
        reader.read_to(log.head()).await;
    }
    assert_eq!(reader.records.len(), had, "it was not idle");
    // It got there by the relay's word and not by reading the log.
    assert_eq!(bus.stats().from_store, before.from_store);
    assert_eq!(bus.stats().silences, before.silences);
    reader.check(&log, &idle).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_reads_again_from_where_it_is_set() {
    let nats = Nats::start();
    let mut log = Log::new(12);
    let relay = Running::start(&log, &nats, "one").await;
    relay.caught_up(&log).await;
    log.write(100).await;
    relay.caught_up(&log).await;
    let bus = bus(&log, &nats).await;
    let mut feed = bus.feed(Door::All);
    let records = log.records().await;
    for after in [0, 50, log.head() - 1, 10] {
        feed.seek(after);
        let mut read = Vec::new();
        while read.last().is_none_or(|last| *last < log.head()) {
            let page = feed.next(64).await.unwrap();
            read.extend(page.records.iter().map(|record| record.position));
        }
        let expected: Vec<_> = records[after as usize..].iter().map(|r| r.position).collect();
        assert_eq!(read, expected);
    }
    relay.stop().await;
}
