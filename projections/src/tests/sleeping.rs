//! A process that pauses for longer than its leases last, like one whose machine is paused, and then continues as if
//! nothing had happened.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use async_trait::async_trait;
use event_store::EventStore;
use event_store::postgres::{Options, Store};
use servers::Postgres as Server;
use tokio_util::sync::CancellationToken;

use super::databases::rows_of;
use super::sharing::{LEASE, sharing, start_on, until};
use super::shop::Shop;
use super::workers::{SOON, fresh};
use crate::postgres::Postgres;
use crate::store::{Part, ReadStore, Slot};
use crate::{Error, Projections};

/// The unfinished batch of a process when it stopped.
#[derive(Clone)]
struct InHand(Vec<Part>);

/// Pauses a process, and reports what happened to its unfinished batch.
struct Bed {
    armed: AtomicBool,
    asleep: Mutex<Option<InHand>>,
    waking: Mutex<mpsc::Receiver<()>>,
    outcome: Mutex<Option<Result<(), Error>>>,
}

/// The rows of a process that runs on one thread: it stops as a whole (the thread does) with a batch that only has to
/// be committed.
struct Sleeping(Arc<Postgres>, Arc<Bed>);

#[async_trait]
impl super::layer::Layer for Sleeping {
    fn below(&self) -> &dyn ReadStore {
        &*self.0
    }

    async fn commit(&self, slot: Slot, parts: Vec<Part>) -> Result<(), Error> {
        let (rows, bed) = (&self.0, &self.1);
        let full = parts.iter().any(|part| !part.changes.is_empty());
        if !full || !bed.armed.swap(false, Ordering::SeqCst) {
            return rows.commit(slot, parts).await;
        }
        *bed.asleep.lock().unwrap() = Some(InHand(parts.clone()));
        // Not an await: nothing else of the process continues either, no renewal of a lease and no read of a
        // checkpoint. If the test has failed and ended, it continues as well.
        let _ = bed.waking.lock().unwrap().recv();
        let outcome = rows.commit(slot, parts).await;
        *bed.outcome.lock().unwrap() = Some(outcome.clone());
        outcome
    }
}

/// A separate handle of the log, as each process has one: with a store shared in memory, a sleeping process would keep
/// what the others wait for, which no process can do to another.
async fn log(url: &str) -> Arc<dyn EventStore> {
    Store::open(Options::new(url)).await.unwrap()
}

/// Runs a process on one thread until it is stopped.
fn process(
    (log_url, rows_url): (String, String),
    bed: Arc<Bed>,
    token: CancellationToken,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let rows = Postgres::open(&rows_url, 8).await.unwrap();
            let (rows, log) = (Arc::new(Sleeping(rows, bed)), log(&log_url).await);
            let projections = Projections::open_on(rows, Arc::clone(&log), sharing(None));
            projections.await.unwrap().run(token).await;
            log.close().await.unwrap();
        });
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_slept_through_its_leases_writes_nothing_with_what_it_had_in_hand() {
    let (log_url, url) = (Server::shared().database(), Server::shared().database());
    let mut shop = Shop::on(log(&log_url).await, tempfile::tempdir().unwrap());
    shop.trade(20).await;
    let (wake, waking) = mpsc::channel();
    let bed = Arc::new(Bed {
        armed: AtomicBool::new(false),
        asleep: Mutex::default(),
        waking: Mutex::new(waking),
        outcome: Mutex::default(),
    });
    let token = CancellationToken::new();
    let urls = (log_url.clone(), url.clone());
    let sleeper = process(urls, Arc::clone(&bed), token.clone());
    let rows = Postgres::open(&url, 8).await.unwrap();
    let other = Projections::reading(Arc::clone(&rows) as _, shop.log());
    let other = other.await.unwrap();
    other.wait_for(shop.head(), SOON).await.unwrap();

    bed.armed.store(true, Ordering::SeqCst);
    shop.trade(10).await;
    until("the sleep", || bed.asleep.lock().unwrap().is_some()).await;
    let InHand(parts) = bed.asleep.lock().unwrap().clone().unwrap();
    tokio::time::sleep(LEASE).await;
    let second = start_on(log(&log_url).await, Arc::clone(&rows) as _, None).await;
    other.wait_for(shop.head(), SOON).await.unwrap();
    shop.trade(5).await;
    other.wait_for(shop.head(), SOON).await.unwrap();
    // The second process has all partitions, and is past the first one's unfinished batch.
    for part in &parts {
        let found = rows.checkpoints(Some(part.name), Slot::Live).await.unwrap();
        let taken = found.iter().find(|one| one.partition == part.partition);
        let taken = taken.unwrap();
        assert!(taken.epoch > part.epoch && taken.position >= part.to);
    }
    assert!(bed.outcome.lock().unwrap().is_none(), "it sleeps");

    let before = rows_of(&rows).await;
    assert_eq!(before, fresh(&shop, "before").await);
    wake.send(()).unwrap();
    until("the commit", || bed.outcome.lock().unwrap().is_some()).await;
    let outcome = bed.outcome.lock().unwrap().take();
    assert!(matches!(outcome, Some(Err(Error::Lost(_)))), "{outcome:?}");
    assert_eq!(rows_of(&rows).await, before, "it wrote nothing");
    // It takes its share again, and both continue.
    shop.trade(5).await;
    other.wait_for(shop.head(), SOON).await.unwrap();
    assert_eq!(rows_of(&rows).await, fresh(&shop, "fresh").await);
    token.cancel();
    tokio::task::spawn_blocking(move || sleeper.join().unwrap()).await.unwrap();
    second.stop().await;
}
