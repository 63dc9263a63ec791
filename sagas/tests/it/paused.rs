//! A process that is paused beyond its lease, while another takes over, and then goes on as if nothing had happened: it writes nothing,
//! sends nothing and calls nobody, steps back, and stands by.

use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use domain::ids::OrderId;
use domain::order::event::Capture;
use domain::order::state::Status;
use event_store::consumer::{ConsumerKey, ConsumerRow};
use event_store::partition::{Door, of_correlation};
use event_store::{EventStore, Feed, Filter, StoreTail};
use sagas::{Dispatch, PaymentGateway, PaymentWorker, Runner, Stopped, payment, runner};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::faulty::{Counting, Faulty, Gate, Gated, Watched};
use super::ledger::{all_sagas_ended, laws_hold, log, reconcile};
use super::shop::{LEASE, Shop, WITHIN, pays, runs, ship, tenant};

type Work = Pin<Box<dyn Future<Output = Result<(), Stopped>>>>;

/// A process with one thread: what pauses the thread pauses all of it.
struct Process {
    cancel: CancellationToken,
    thread: thread::JoinHandle<Result<(), Stopped>>,
}

impl Process {
    fn start(work: impl FnOnce(CancellationToken) -> Work + Send + 'static) -> Self {
        let cancel = CancellationToken::new();
        let token = cancel.clone();
        let thread = thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(async move { work(token).await })
        });
        Self { cancel, thread }
    }

    fn lives(&self) -> bool {
        !self.thread.is_finished()
    }

    async fn stop(self) {
        self.cancel.cancel();
        let ended = tokio::task::spawn_blocking(move || self.thread.join().unwrap());
        ended.await.unwrap().unwrap();
    }
}

/// The runner of a partition.
fn runner(
    owner: &str,
    store: Arc<dyn EventStore>,
    feed: Box<dyn Feed>,
    dispatch: Arc<dyn Dispatch>,
    partition: u32,
) -> Runner {
    let options = runner::Options { partition: Some(partition), lease: LEASE, ..runs(owner) };
    Runner::new(store, feed, dispatch, TaskTracker::new(), options)
}

fn tail(store: &Arc<dyn EventStore>, partition: u32) -> Box<dyn Feed> {
    let door = Door::Correlations(partition, sagas::correlate());
    Box::new(StoreTail::through(store.clone(), Filter::default(), door))
}

fn worker(
    owner: &str,
    store: Arc<dyn EventStore>,
    feed: Box<dyn Feed>,
    gateway: Arc<dyn PaymentGateway>,
    dispatch: Arc<dyn Dispatch>,
) -> PaymentWorker {
    let options = payment::Options { lease: LEASE, ..pays(owner) };
    PaymentWorker::new(store, feed, gateway, dispatch, TaskTracker::new(), options)
}

fn payments(store: &Arc<dyn EventStore>) -> Box<dyn Feed> {
    Box::new(StoreTail::new(store.clone(), payment::filter()))
}

fn key(name: &str, partition: u32) -> ConsumerKey {
    ConsumerKey { name: name.into(), partition }
}

/// Waits until a row is leased to somebody.
async fn leased_to(store: &dyn EventStore, key: &ConsumerKey, owner: &str) -> ConsumerRow {
    let begun = Instant::now();
    loop {
        let row = store.consumer(key).await.unwrap();
        let held = |row: &ConsumerRow| row.lease.owner == owner && row.lease.lease_until > store.now();
        if let Some(row) = row.filter(held) {
            return row;
        }
        assert!(begun.elapsed() < WITHIN, "{owner} waits");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Takes a lease as soon as it has ended, as another process would, and does nothing with it.
async fn usurp(store: &dyn EventStore, key: &ConsumerKey) -> ConsumerRow {
    loop {
        if let Some(row) = store.acquire(key, "usurper", 60_000_000).await.unwrap() {
            return row;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Orders whose sagas are of one partition.
fn numbers(partition: u32) -> impl Iterator<Item = u128> {
    (1..=200).filter(move |number| of_correlation(tenant().as_str(), Uuid::from_u128(*number)) == partition)
}

#[derive(Clone, Copy, Debug)]
enum Where {
    /// With a page in its hands.
    Page,
    /// With decisions in its hands.
    Append,
    /// With a command in its hands.
    Dispatch,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn another_takes_over_and_the_paused_runner_steps_back() {
    for place in [Where::Page, Where::Append, Where::Dispatch] {
        let mut shop = Shop::open(0).await;
        let store: Arc<dyn EventStore> = shop.store.clone();
        let partition = of_correlation("main", Uuid::from_u128(1));
        let row = key(runner::NAME, partition);
        let mut numbers = numbers(partition);

        let (faulty, sends) = (Faulty::new(store.clone()), Counting::new(shop.services.clone()));
        let gate = Arc::new(Gate::default());
        let feed = Gated { inner: tail(&store, partition), kind: "StockReserved", gate: gate.clone() };
        let (its, sent) = (faulty.clone(), sends.clone());
        let first =
            Process::start(move |cancel| Box::pin(runner("a", its, Box::new(feed), sent, partition).run(cancel)));
        let held = leased_to(&*store, &row, "a").await;

        let paying = shop.join_payments("one");
        let mut keeper = match place {
            Where::Page => gate.close(),
            Where::Append => faulty.before_append.close(),
            Where::Dispatch => sends.gate.close(),
        };
        let number = numbers.next().unwrap();
        let order = shop.place(number, Capture::AtShipment, "sandbox:approve").await;
        keeper.paused().await;
        let sent_before = sends.sent();

        let (theirs, feed) = (store.clone(), tail(&store, partition));
        let services = shop.services.clone();
        let second = Process::start(move |cancel| Box::pin(runner("b", theirs, feed, services, partition).run(cancel)));
        let taken = leased_to(&*store, &row, "b").await;
        assert_eq!(taken.lease.epoch, held.lease.epoch + 1, "{place:?}");
        assert_eq!(shop.verdict(order).await, Status::Confirmed);
        assert_eq!(shop.order(order, ship(order)).await, None);
        shop.until(order, |it| it.status == Status::Completed).await;
        all_sagas_ended(&shop).await;
        let written = log(&*store).await.len();

        keeper.open();
        tokio::time::sleep(LEASE).await;
        assert!(first.lives() && second.lives(), "{place:?}");
        assert_eq!(log(&*store).await.len(), written, "{place:?}");
        let under_way = usize::from(matches!(place, Where::Dispatch));
        assert_eq!(sends.sent(), sent_before + under_way, "{place:?}");
        leased_to(&*store, &row, "b").await;

        second.stop().await;
        let number = numbers.next().unwrap();
        let next = shop.place(number, Capture::AtShipment, "sandbox:approve").await;
        assert_eq!(shop.verdict(next).await, Status::Confirmed);
        leased_to(&*store, &row, "a").await;
        all_sagas_ended(&shop).await;
        laws_hold(&shop, &[order, next]).await;
        reconcile(&shop).await;
        first.stop().await;
        paying.stop().await;
    }
}

/// The new one has not done anything yet: nothing but the lease keeps the old one from acting.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_paused_runner_does_nothing_under_a_lease_that_is_over() {
    for place in [Where::Page, Where::Append] {
        let mut shop = Shop::open(0).await;
        let store: Arc<dyn EventStore> = shop.store.clone();
        let partition = of_correlation("main", Uuid::from_u128(1));
        let row = key(runner::NAME, partition);
        let (faulty, sends) = (Faulty::new(store.clone()), Counting::new(shop.services.clone()));
        let gate = Arc::new(Gate::default());
        let feed = Gated { inner: tail(&store, partition), kind: "OrderPlaced", gate: gate.clone() };
        let (its, sent) = (faulty.clone(), sends.clone());
        let first =
            Process::start(move |cancel| Box::pin(runner("a", its, Box::new(feed), sent, partition).run(cancel)));
        leased_to(&*store, &row, "a").await;
        let mut keeper = match place {
            Where::Page => gate.close(),
            _ => faulty.before_append.close(),
        };
        let number = numbers(partition).next().unwrap();
        let order = shop.place(number, Capture::AtShipment, "sandbox:approve").await;
        keeper.paused().await;
        let usurper = usurp(&*store, &row).await;
        let written = log(&*store).await.len();
        keeper.open();
        tokio::time::sleep(LEASE).await;
        assert!(first.lives());
        assert_eq!(sends.sent(), 0, "{place:?}: it sends nothing");
        let sagas = log(&*store).await.split_off(written);
        match place {
            Where::Page => assert!(sagas.is_empty(), "it writes nothing: {sagas:?}"),
            // What was on its way to the log when it was paused may arrive: it is what the next one would write.
            _ => assert!(sagas.iter().all(|it| &*it.stream.category == "saga")),
        }
        // And the next one goes on from there.
        store.release(&usurper.lease).await.unwrap();
        let paying = shop.join_payments("one");
        assert_eq!(shop.verdict(order).await, Status::Confirmed);
        all_sagas_ended(&shop).await;
        laws_hold(&shop, &[order]).await;
        reconcile(&shop).await;
        first.stop().await;
        paying.stop().await;
    }
}

async fn authorised(store: &dyn EventStore) -> usize {
    let log = log(store).await;
    log.iter().filter(|it| &*it.kind == "PaymentAuthorised").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_worker_that_was_paused_calls_nobody_and_records_nothing() {
    for in_the_call in [true, false] {
        let mut shop = Shop::open(0).await;
        let store: Arc<dyn EventStore> = shop.store.clone();
        let row = key(payment::NAME, 0);
        let (calls, sends, gate) =
            (Watched::new(shop.sandbox.clone()), Counting::new(shop.services.clone()), Arc::new(Gate::default()));
        let feed = Gated { inner: payments(&store), kind: "AuthorisationRequested", gate: gate.clone() };
        let (its, called, sent) = (store.clone(), calls.clone(), sends.clone());
        let first = Process::start(move |cancel| Box::pin(worker("a", its, Box::new(feed), called, sent).run(cancel)));
        leased_to(&*store, &row, "a").await;
        let running = shop.join_sagas("one");
        let mut keeper = if in_the_call { calls.gate.close() } else { gate.close() };
        let order = shop.place(1, Capture::AtShipment, "sandbox:approve").await;
        keeper.paused().await;
        let (calls_before, sent_before) = (calls.calls(), sends.sent());

        let others = Watched::new(shop.sandbox.clone());
        let theirs = worker("b", store.clone(), payments(&store), others.clone(), shop.services.clone());
        let stop_theirs = CancellationToken::new();
        let theirs = tokio::spawn(theirs.run(stop_theirs.clone()));
        leased_to(&*store, &row, "b").await;
        assert_eq!(shop.verdict(order).await, Status::Confirmed);
        assert_eq!(others.calls(), 1);

        keeper.open();
        tokio::time::sleep(LEASE).await;
        assert!(first.lives() && !theirs.is_finished());
        assert_eq!(calls.calls(), calls_before, "it calls nobody");
        assert_eq!(sends.sent(), sent_before, "it records nothing");
        assert_eq!(authorised(&*store).await, 1);

        stop_theirs.cancel();
        theirs.await.unwrap().unwrap();
        let next = shop.place(2, Capture::AtShipment, "sandbox:approve").await;
        assert_eq!(shop.verdict(next).await, Status::Confirmed);
        assert!(calls.calls() > calls_before, "it is the active one again");
        all_sagas_ended(&shop).await;
        let orders: [OrderId; 2] = [order, next];
        laws_hold(&shop, &orders).await;
        reconcile(&shop).await;
        first.stop().await;
        running.stop().await;
    }
}

/// The new one has not done anything yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_paused_payment_worker_does_nothing_under_a_lease_that_is_over() {
    let mut shop = Shop::open(0).await;
    let store: Arc<dyn EventStore> = shop.store.clone();
    let row = key(payment::NAME, 0);
    let (calls, sends, gate) =
        (Watched::new(shop.sandbox.clone()), Counting::new(shop.services.clone()), Arc::new(Gate::default()));
    let feed = Gated { inner: payments(&store), kind: "AuthorisationRequested", gate: gate.clone() };
    let (its, called, sent) = (store.clone(), calls.clone(), sends.clone());
    let first = Process::start(move |cancel| Box::pin(worker("a", its, Box::new(feed), called, sent).run(cancel)));
    leased_to(&*store, &row, "a").await;
    let mut keeper = gate.close();
    let running = shop.join_sagas("one");
    let order = shop.place(1, Capture::AtShipment, "sandbox:approve").await;
    keeper.paused().await;
    let usurper = usurp(&*store, &row).await;
    keeper.open();
    tokio::time::sleep(LEASE).await;
    assert_eq!((calls.calls(), sends.sent()), (0, 0));
    store.release(&usurper.lease).await.unwrap();
    assert_eq!(shop.verdict(order).await, Status::Confirmed);
    assert_eq!(authorised(&*store).await, 1);
    assert!(first.lives());
    all_sagas_ended(&shop).await;
    reconcile(&shop).await;
    first.stop().await;
    running.stop().await;
}
