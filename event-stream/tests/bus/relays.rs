//! What relays put into the stream.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use event_stream::relay::{Relay, Status};
use servers::Nats;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::harness::{Log, Running, connect, correlate, options, until};
use crate::proxy::Proxy;
use crate::stored::{check_stream, on_the_bus};

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_published_once_in_order() {
    let nats = Nats::start();
    let mut log = Log::new(1);
    let relay = Running::start(&log, &nats, "one").await;
    relay.caught_up(&log).await;
    log.write(400).await;
    // More than one atomic batch can carry.
    log.write_large(2_500).await;
    relay.caught_up(&log).await;
    let status = relay.now();
    assert_eq!((status.base, status.generation), (0, 1));
    check_stream(&log, &nats, &status).await;

    // The next one continues where this one stopped.
    relay.stop().await;
    log.write(300).await;
    let relay = Running::start(&log, &nats, "two").await;
    relay.caught_up(&log).await;
    let status = relay.now();
    assert_eq!((status.base, status.generation), (0, 1));
    assert!(status.records < log.head(), "it published all of it again");
    check_stream(&log, &nats, &status).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_begins_at_the_head_of_a_log_that_was_there_before() {
    let nats = Nats::start();
    let mut log = Log::new(2);
    log.write(200).await;
    let base = log.head();
    let relay = Running::start(&log, &nats, "one").await;
    relay.caught_up(&log).await;
    log.write(100).await;
    relay.caught_up(&log).await;
    assert_eq!(relay.now().base, base);
    check_stream(&log, &nats, &relay.now()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_crashes_is_followed_by_another_without_hole_or_repetition() {
    let nats = Nats::start();
    let mut log = Log::new(3);
    let quick = |turn: u64| event_stream::relay::Options {
        lease: std::time::Duration::from_millis(600),
        ..options(&turn.to_string())
    };
    let mut relay = Running::with(&log, &nats, quick(0)).await;
    for turn in 1..5 {
        relay.caught_up(&log).await;
        // It has something under way when it ends.
        log.write(150).await;
        relay.crash();
        relay = Running::with(&log, &nats, quick(turn)).await;
        log.write(50).await;
    }
    relay.caught_up(&log).await;
    // A busy machine may keep one from renewing its lease in time, which is one more term.
    assert!(relay.now().generation == 1 && relay.now().epoch >= 5, "{:?}", relay.now());
    check_stream(&log, &nats, &relay.now()).await;
}

/// Suspends its callers while it is closed.
#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    changed: Condvar,
    waiting: AtomicBool,
}

impl Gate {
    fn set(&self, closed: bool) {
        *self.closed.lock().unwrap() = closed;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut closed = self.closed.lock().unwrap();
        while *closed {
            self.waiting.store(true, Ordering::SeqCst);
            closed = self.changed.wait(closed).unwrap();
        }
    }
}

/// A relay with its own thread and runtime: the gate stops all of it at once, including its lease and its connection,
/// as if the process were stopped.
async fn suspendable(log: &Log, url: String, gate: &Arc<Gate>, cancel: &CancellationToken) -> watch::Receiver<Status> {
    let (store, gate, cancel) = (log.shared(), Arc::clone(gate), cancel.clone());
    let (told, status) = oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut options = options("suspended");
            options.hook = Some(Arc::new(move |_| gate.pass()));
            let connection = connect(&url).await;
            let relay = Relay::new(store, connection, correlate(), options);
            told.send(relay.status()).unwrap();
            relay.run(cancel).await;
        });
    });
    status.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_was_suspended_beyond_its_lease_is_refused() {
    let nats = Nats::start();
    let mut log = Log::new(4);
    let proxy = Proxy::before(&nats.url()).await;
    let gate = Arc::new(Gate::default());
    let cancel = CancellationToken::new();
    let first = suspendable(&log, proxy.url(), &gate, &cancel).await;
    until("the first to begin", || first.borrow().generation == 1).await;
    log.write(20).await;
    until("the first to publish", || first.borrow().published == log.head()).await;
    let second = Running::start(&log, &nats, "second").await;
    let third = Running::start(&log, &nats, "third").await;

    // The first is stopped with a batch in its hand.
    gate.set(true);
    log.write(5).await;
    until("the relay to be suspended", || gate.waiting.load(Ordering::SeqCst)).await;
    assert_eq!(proxy.heard("\"err_code\":10071"), 0);
    until("another to take over", || second.now().active || third.now().active).await;
    log.write(40).await;
    let active = if second.now().active { &second } else { &third };
    active.caught_up(&log).await;
    assert!(active.now().epoch >= 2, "{:?}", active.now());

    // It continues: its batch in progress reaches the server, and is refused there.
    gate.set(false);
    until("the stale relay to be refused", || proxy.heard("\"err_code\":10071") > 0).await;
    log.write(40).await;
    active.caught_up(&log).await;
    check_stream(&log, &nats, &active.now()).await;
    let epochs: Vec<_> = on_the_bus(&nats, active.now().generation).await.iter().map(|stored| stored.epoch).collect();
    assert!(epochs.contains(&1) && epochs.contains(&2), "{epochs:?}");
    assert!(!(second.now().active && third.now().active));
    cancel.cancel();
}
