//! Faults of a server: a reader of the log notices nothing but a pause.

use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use event_store::partition::Door;
use event_store::sqlite::{Options, Store};
use event_stream::consumer::Bus;
use servers::Nats;

use crate::harness::{LIMIT, Log, Reader, Running, bus, bus_at, copy, doors, options, until};
use crate::stored::{check_stream, jetstream, on_the_bus};

/// A few doors of each kind.
fn some() -> Vec<Door> {
    let all = doors();
    [0, 4, 9, 20, 31].map(|n| all[n].clone()).to_vec()
}

fn readers(bus: &Bus) -> Vec<(Reader, Door)> {
    some().into_iter().map(|door| (Reader::new(bus, door.clone()), door)).collect()
}

async fn read(readers: &mut [(Reader, Door)], log: &Log) {
    let head = log.head();
    let reading = readers.iter_mut().map(|(reader, _)| reader.read_to(head));
    futures_util::future::join_all(reading).await;
}

async fn check(readers: &[(Reader, Door)], log: &Log) {
    for (reader, door) in readers {
        reader.check(log, door).await;
    }
}

/// A relay and readers that are all on the bus.
async fn begin(log: &mut Log, nats: &Nats) -> (Running, Bus, Vec<(Reader, Door)>) {
    let relay = Running::start(log, nats, "one").await;
    relay.caught_up(log).await;
    let bus = bus(log, nats).await;
    let mut readers = readers(&bus);
    let began = Instant::now();
    while bus.stats().from_stream == 0 || bus.stats().subscriptions < readers.len() as u64 {
        assert!(began.elapsed() < LIMIT, "{:?}", bus.stats());
        log.write(10).await;
        read(&mut readers, log).await;
    }
    (relay, bus, readers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_under_load_loses_nothing() {
    let mut nats = Nats::start();
    let mut log = Log::new(20);
    let (relay, bus, mut readers) = begin(&mut log, &nats).await;
    for _ in 0..3 {
        log.write(100).await;
        nats.kill();
        assert!(!nats.runs());
        log.write(100).await;
        // The log is still read while there is no server.
        let began = Instant::now();
        read(&mut readers, &log).await;
        assert!(began.elapsed() < LIMIT / 3);
        nats.start_again();
        log.write(50).await;
        relay.caught_up(&log).await;
        read(&mut readers, &log).await;
    }
    assert_eq!(relay.now().generation, 1, "nothing was lost by the server");
    check_stream(&log, &nats, &relay.now()).await;
    check(&readers, &log).await;
    let stats = bus.stats();
    assert!(stats.silences > 0 && stats.from_store > 0, "{stats:?}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nats_is_away_the_store_is_read_and_afterwards_the_bus_again() {
    let mut nats = Nats::start();
    let mut log = Log::new(21);
    let (relay, bus, mut readers) = begin(&mut log, &nats).await;
    nats.stop();
    for _ in 0..10 {
        log.write(40).await;
        read(&mut readers, &log).await;
    }
    let slowest = readers.iter().map(|(reader, _)| reader.slowest).max();
    assert!(slowest < Some(LIMIT / 10), "a call hung for {slowest:?}");
    let away = bus.stats();
    assert!(away.silences >= readers.len() as u64, "{away:?}");
    nats.start_again();
    relay.caught_up(&log).await;
    let began = Instant::now();
    while bus.stats().from_stream < away.from_stream + 100 {
        assert!(began.elapsed() < LIMIT, "nobody came back: {:?}", bus.stats());
        log.write(20).await;
        read(&mut readers, &log).await;
    }
    assert_eq!(relay.now().generation, 1);
    check_stream(&log, &nats, &relay.now()).await;
    check(&readers, &log).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_stream_is_followed_by_a_new_generation() {
    let nats = Nats::start();
    let mut log = Log::new(22);
    let (relay, bus, mut readers) = begin(&mut log, &nats).await;
    let deleted = jetstream(&nats).await.delete_stream("DAYBOOK_EVENTS_1").await;
    assert!(deleted.unwrap().success);
    log.write(100).await;
    read(&mut readers, &log).await;
    until("a new generation", || relay.now().generation == 2).await;
    let before = bus.stats().from_stream;
    let began = Instant::now();
    while bus.stats().from_stream < before + 100 {
        assert!(began.elapsed() < LIMIT, "nobody came back: {:?}", bus.stats());
        log.write(20).await;
        read(&mut readers, &log).await;
    }
    relay.caught_up(&log).await;
    check_stream(&log, &nats, &relay.now()).await;
    check(&readers, &log).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_from_an_older_copy_of_the_servers_folder_is_not_gone_on_with() {
    let mut nats = Nats::start();
    let mut log = Log::new(23);
    let (relay, _bus, mut readers) = begin(&mut log, &nats).await;
    relay.caught_up(&log).await;
    let kept = tempfile::tempdir().unwrap();
    nats.stop();
    copy(&nats.data(), &kept.path().join("copy"));
    let then = relay.now().published;
    nats.start_again();
    log.write(200).await;
    relay.caught_up(&log).await;
    read(&mut readers, &log).await;
    nats.stop();
    std::fs::remove_dir_all(nats.data()).unwrap();
    copy(&kept.path().join("copy"), &nats.data());
    nats.start_again();
    let old = on_the_bus(&nats, 1).await;
    assert_eq!(old.last().map(|stored| stored.position), Some(then), "it was not put back");
    until("a new generation", || relay.now().generation == 2).await;
    log.write(100).await;
    relay.caught_up(&log).await;
    read(&mut readers, &log).await;
    check_stream(&log, &nats, &relay.now()).await;
    check(&readers, &log).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_from_a_backup_is_not_mixed_with_what_it_had_published_before() {
    let nats = Nats::start();
    let mut log = Log::new(24);
    let (relay, _bus, _readers) = begin(&mut log, &nats).await;
    relay.caught_up(&log).await;
    relay.stop().await;
    // A backup, then a future that is lost.
    event_store::EventStore::close(&*log.store).await.unwrap();
    let kept = tempfile::tempdir().unwrap();
    copy(log.dir.path(), kept.path());
    let reopen = |log: &mut Log, dir: &std::path::Path| {
        log.store = Store::open(Options::new(dir)).unwrap();
    };
    let dir = log.dir.path().to_owned();
    reopen(&mut log, &dir);
    let lost = Running::start(&log, &nats, "two").await;
    log.write(30).await;
    lost.caught_up(&log).await;
    let lost_head = log.head();
    lost.stop().await;
    event_store::EventStore::close(&*log.store).await.unwrap();

    // Another future from the same past, longer than the lost one.
    reopen(&mut log, kept.path());
    log.write(100).await;
    assert!(log.head() > lost_head);
    let bus = bus(&log, &nats).await;
    let mut readers = readers(&bus);
    read(&mut readers, &log).await;
    let relay = Running::start(&log, &nats, "three").await;
    relay.caught_up(&log).await;
    assert_eq!(relay.now().generation, 2);
    log.write(100).await;
    read(&mut readers, &log).await;
    relay.caught_up(&log).await;
    check_stream(&log, &nats, &relay.now()).await;
    check(&readers, &log).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_message_is_not_believed_and_a_new_generation_begins() {
    let nats = Nats::start();
    let mut log = Log::new(25);
    let (relay, bus, mut readers) = begin(&mut log, &nats).await;
    relay.caught_up(&log).await;
    // The last message again: the right headers, in the wrong place.
    let last = on_the_bus(&nats, 1).await.pop().unwrap();
    let mut headers = HeaderMap::new();
    for (name, values) in last.message.headers.as_ref().unwrap().iter() {
        if name.to_string().starts_with("Daybook-") {
            headers.insert(name.clone(), values[0].clone());
        }
    }
    let context = jetstream(&nats).await;
    let sent = context.publish_with_headers(last.message.subject.clone(), headers, last.message.payload.clone());
    let ack = sent.await.unwrap().await.unwrap();
    assert_eq!(ack.sequence, last.sequence + 1, "the message was not stored");
    log.write(50).await;
    read(&mut readers, &log).await;
    until("a new generation", || relay.now().generation == 2).await;
    log.write(50).await;
    read(&mut readers, &log).await;
    relay.caught_up(&log).await;
    check_stream(&log, &nats, &relay.now()).await;
    check(&readers, &log).await;
    assert!(relay.now().refused > 0 || bus.stats().foreign > 0);
    relay.stop().await;
}

/// Makes the generation's stream again with the same messages, so that some can be deleted from it, and another body put in.
async fn tamper(nats: &Nats, deleted: &[u64], changed: &[u64]) {
    let stored = on_the_bus(nats, 1).await;
    let context = jetstream(nats).await;
    let stream = context.get_stream("DAYBOOK_EVENTS_1").await.unwrap();
    let mut config = stream.cached_info().config.clone();
    config.deny_delete = false;
    config.deny_purge = false;
    context.delete_stream("DAYBOOK_EVENTS_1").await.unwrap();
    let stream = context.create_stream(config).await.unwrap();
    for stored in &stored {
        let mut headers = HeaderMap::new();
        for (name, values) in stored.message.headers.as_ref().unwrap().iter() {
            if name.to_string().starts_with("Daybook-") {
                headers.insert(name.clone(), values[0].clone());
            }
        }
        let mut body = stored.message.payload.to_vec();
        if changed.contains(&stored.sequence) {
            let last = body.len() - 1;
            body[last] ^= 1;
        }
        let sent = context.publish_with_headers(stored.message.subject.clone(), headers, body.into());
        let ack = sent.await.unwrap().await.unwrap();
        assert_eq!(ack.sequence, stored.sequence);
    }
    for sequence in deleted {
        assert!(stream.delete_message(*sequence).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_the_stream_is_read_from_the_store() {
    let nats = Nats::start();
    let mut log = Log::new(26);
    let relay = Running::start(&log, &nats, "one").await;
    relay.caught_up(&log).await;
    log.write(60).await;
    relay.caught_up(&log).await;
    assert_eq!((relay.now().generation, relay.now().base), (1, 0));
    relay.stop().await;
    tamper(&nats, &[5, 6, 7, 20, 41], &[]).await;
    let relay = Running::start(&log, &nats, "two").await;
    relay.caught_up(&log).await;
    assert_eq!(relay.now().generation, 1, "the holes were to stay");
    let bus = bus(&log, &nats).await;
    // What they read is the stream.
    until("the relay to be heard", || bus.hears()).await;
    let mut readers = readers(&bus);
    log.write(20).await;
    read(&mut readers, &log).await;
    check(&readers, &log).await;
    let stats = bus.stats();
    assert!(stats.holes > 0, "{stats:?}");
    assert_eq!(stats.foreign, 0, "{stats:?}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_message_makes_the_generation_foreign_to_its_readers() {
    let nats = Nats::start();
    let mut log = Log::new(27);
    let relay = Running::start(&log, &nats, "one").await;
    relay.caught_up(&log).await;
    log.write(60).await;
    relay.caught_up(&log).await;
    assert_eq!((relay.now().generation, relay.now().base), (1, 0));
    relay.stop().await;
    tamper(&nats, &[], &[30]).await;
    let relay = Running::start(&log, &nats, "two").await;
    relay.caught_up(&log).await;
    let bus = bus(&log, &nats).await;
    until("the relay to be heard", || bus.hears()).await;
    let mut readers = readers(&bus);
    log.write(20).await;
    read(&mut readers, &log).await;
    check(&readers, &log).await;
    assert!(bus.stats().foreign > 0, "{:?}", bus.stats());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_servers_one_may_be_lost() {
    let mut nodes = Nats::cluster();
    let urls = nodes.each_ref().map(Nats::url).join(",");
    let mut log = Log::new(28);
    let options = event_stream::relay::Options { replicas: 3, lease: Duration::from_secs(10), ..options("one") };
    let relay = Running::at(&log, &urls, options).await;
    relay.caught_up(&log).await;
    let bus = bus_at(&log, &urls).await;
    let mut readers = readers(&bus);
    for node in &mut nodes {
        log.write(50).await;
        node.kill();
        assert!(!node.runs());
        log.write(50).await;
        read(&mut readers, &log).await;
        // Two of three continue without the third.
        relay.caught_up(&log).await;
        node.start_again();
    }
    assert_eq!(relay.now().generation, 1, "nothing was lost by the servers");
    check_stream(&log, &nodes[0], &relay.now()).await;
    check(&readers, &log).await;
    relay.stop().await;
}
