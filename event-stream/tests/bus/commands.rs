//! The command queue: delivery at least once, whatever happens to the server in between.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use event_stream::commands::{Options, Queue, ReceiveOptions, SendError};
use servers::Nats;
use uuid::Uuid;

use crate::harness::{LIMIT, connect};
use crate::stored::jetstream;

async fn queue(nats: &Nats) -> Queue {
    let options = Options { max_bytes: 64 * 1024 * 1024, ..Options::default() };
    Queue::new(connect(&nats.url()).await, options)
}

/// When an unacknowledged command is delivered again: longer than a busy machine delays a progress message.
const SOON: Duration = Duration::from_secs(2);

fn soon() -> ReceiveOptions {
    ReceiveOptions { ack_wait: SOON, ..ReceiveOptions::default() }
}

async fn send(queue: &Queue, service: &str, count: u128) -> BTreeSet<Uuid> {
    let mut ids = BTreeSet::new();
    for n in 0..count {
        let id = Uuid::now_v7();
        let body = Bytes::from(format!("{service} {n}"));
        queue.send(service, id, body).await.unwrap();
        ids.insert(id);
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_gets_its_own_commands() {
    let nats = Nats::start();
    let queue = queue(&nats).await;
    let wanted = send(&queue, "inventory", 50).await;
    send(&queue, "pay.ments", 10).await;
    let mut deliveries = queue.receive("inventory", ReceiveOptions::default());
    let mut got = BTreeSet::new();
    while got.len() < wanted.len() {
        let delivery = tokio::time::timeout(LIMIT, deliveries.next()).await.unwrap();
        assert!(delivery.body.starts_with(b"inventory "));
        got.insert(delivery.id);
        delivery.ack().await.unwrap();
    }
    assert_eq!(got, wanted);
    let more = tokio::time::timeout(Duration::from_millis(300), deliveries.next()).await;
    assert!(more.is_err(), "it was acknowledged and came again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_comes_again_until_it_is_acknowledged() {
    let nats = Nats::start();
    let queue = queue(&nats).await;
    let ids = send(&queue, "inventory", 1).await;
    let mut deliveries = queue.receive("inventory", soon());
    // The first is dropped, as if its executor had died or its acknowledgement were lost.
    let first = deliveries.next().await;
    assert!(ids.contains(&first.id) && first.attempt() == 1);
    drop(first);
    let second = tokio::time::timeout(LIMIT, deliveries.next()).await.unwrap();
    assert!(ids.contains(&second.id) && second.attempt() == 2);
    let asked = Instant::now();
    second.retry_later(Duration::from_millis(200)).await.unwrap();
    let third = tokio::time::timeout(LIMIT, deliveries.next()).await.unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(190));
    // One that says that it takes longer keeps it.
    for _ in 0..5 {
        let other = tokio::time::timeout(SOON / 3, deliveries.next()).await;
        assert!(other.is_err(), "it came although it is under way");
        third.in_progress().await.unwrap();
    }
    third.ack().await.unwrap();
    let more = tokio::time::timeout(SOON * 3 / 2, deliveries.next()).await;
    assert!(more.is_err(), "it was acknowledged and came again");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_after_the_server_was_killed() {
    let mut nats = Nats::start();
    let queue = queue(&nats).await;
    let mut deliveries = queue.receive("inventory", soon());
    let mut wanted = send(&queue, "inventory", 30).await;
    let mut got = BTreeSet::new();
    for _ in 0..10 {
        let delivery = deliveries.next().await;
        got.insert(delivery.id);
        delivery.ack().await.unwrap();
    }
    nats.kill();
    let refused = queue.send("inventory", Uuid::now_v7(), Bytes::new()).await;
    assert!(matches!(refused, Err(SendError::Unavailable(_))), "{refused:?}");
    nats.start_again();
    let began = Instant::now();
    let id = Uuid::now_v7();
    while queue.send("inventory", id, Bytes::new()).await.is_err() {
        assert!(began.elapsed() < LIMIT);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    wanted.insert(id);
    while got.len() < wanted.len() {
        let delivery = tokio::time::timeout(LIMIT, deliveries.next()).await.unwrap();
        got.insert(delivery.id);
        delivery.ack().await.ok();
    }
    assert_eq!(got, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_was_lost_is_made_again() {
    let nats = Nats::start();
    let queue = queue(&nats).await;
    let mut deliveries = queue.receive("inventory", soon());
    send(&queue, "inventory", 1).await;
    deliveries.next().await.ack().await.unwrap();
    let lost = send(&queue, "inventory", 3).await;
    let deleted = jetstream(&nats).await.delete_stream("DAYBOOK_COMMANDS").await;
    assert!(deleted.unwrap().success);
    // The commands on it are gone; the sender repeats them, and they arrive.
    for id in &lost {
        queue.send("inventory", *id, Bytes::from_static(b"again")).await.unwrap();
    }
    let mut got = BTreeSet::new();
    while got.len() < lost.len() {
        let delivery = tokio::time::timeout(LIMIT, deliveries.next()).await.unwrap();
        if delivery.body == "again" {
            got.insert(delivery.id);
        }
        delivery.ack().await.ok();
    }
    assert_eq!(got, lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_read_is_kept_aside() {
    let nats = Nats::start();
    let queue = queue(&nats).await;
    let ids = send(&queue, "inventory", 1).await;
    let mut deliveries = queue.receive("inventory", soon());
    let delivery = deliveries.next().await;
    delivery.park("no JSON:\nline two").await.unwrap();
    let more = tokio::time::timeout(SOON * 3 / 2, deliveries.next()).await;
    assert!(more.is_err(), "it was parked and came again");
    let dead = jetstream(&nats).await;
    let dead = dead.get_stream("DAYBOOK_COMMANDS_DEAD").await.unwrap();
    let kept = dead.get_raw_message(1).await.unwrap();
    assert_eq!(kept.payload, "inventory 0");
    let id = ids.first().unwrap();
    let subject = format!("daybook.dead.inventory.{id}");
    assert_eq!(kept.subject.as_str(), subject);
    let header = |name: &str| kept.headers.get(name).unwrap().as_str().to_owned();
    assert!(ids.contains(&header("Daybook-Command-Id").parse().unwrap()));
    assert_eq!(header("Daybook-Reason"), "no JSON: line two");
    let told = queue.put_aside("inventory", *id).await.unwrap().unwrap();
    assert_eq!(told.reason, "no JSON: line two");
    assert!(told.ago < LIMIT, "{:?} ago", told.ago);
    for (service, id) in [("payments", *id), ("inventory", Uuid::now_v7())] {
        assert_eq!(queue.put_aside(service, id).await, Ok(None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_and_a_large_body_are_refused() {
    let nats = Nats::start();
    let options = Options { max_bytes: 100_000, ..Options::default() };
    let queue = Queue::new(connect(&nats.url()).await, options);
    let large = Bytes::from(vec![0; 3 * 1024 * 1024]);
    let refused = queue.send("inventory", Uuid::now_v7(), large).await;
    assert!(matches!(refused, Err(SendError::TooLarge(_))), "{refused:?}");
    let body = Bytes::from(vec![0; 20_000]);
    let mut sent = 0;
    let refused = loop {
        match queue.send("inventory", Uuid::now_v7(), body.clone()).await {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 10);
    };
    assert_eq!(refused, SendError::Full);
}
