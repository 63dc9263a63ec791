//! Workers whose database cannot be written: they report that they wait, continue by themselves, and are given up where
//! waiting does not help.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use event_store::supervision::{Health, Limits, Supervisor};
use tokio_util::sync::CancellationToken;

use super::databases::postgres;
use super::sharing::{sharing, until};
use super::shop::Shop;
use super::workers::{SOON, fresh};
use crate::sqlite::Sqlite;
use crate::store::{Part, ReadStore, Slot};
use crate::{Error, Projections, models};

/// Rows to which nothing can be committed for as long as there is a reason.
struct Refusing(Arc<dyn ReadStore>, Mutex<Option<Error>>);

impl Refusing {
    fn refuse(&self, why: Option<Error>) {
        *self.1.lock().unwrap() = why;
    }
}

#[async_trait]
impl super::layer::Layer for Refusing {
    fn below(&self) -> &dyn ReadStore {
        &*self.0
    }

    async fn commit(&self, slot: Slot, parts: Vec<Part>) -> Result<(), Error> {
        let why = self.1.lock().unwrap().clone();
        match why {
            Some(why) => Err(why),
            None => self.0.commit(slot, parts).await,
        }
    }
}

fn full() -> Option<Error> {
    Some(Error::Write("the disk is full".into()))
}

/// How many workers say that they wait for the disk.
fn waiting(supervisor: &Supervisor) -> usize {
    let waits = |health: &Health| matches!(health, Health::Waiting(why) if why.contains("the disk is full"));
    supervisor.standings().iter().filter(|standing| waits(&standing.health)).count()
}

fn all_run(supervisor: &Supervisor) -> bool {
    supervisor.standings().iter().all(|standing| standing.health == Health::Running)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_says_that_it_waits_for_its_database_and_goes_on_by_itself() {
    let mut shop = Shop::open();
    let rows = Sqlite::open(&shop.folder.path().join("read"), 2).await.unwrap();
    let rows = Arc::new(Refusing(rows, Mutex::new(full())));
    let models = models::all();
    let projections = Projections::with(Arc::clone(&rows) as _, shop.log(), 100, models, None).await.unwrap();
    let (supervisor, token) = (Supervisor::default(), CancellationToken::new());
    let task = tokio::spawn(Arc::clone(&projections).run_kept_by(supervisor.clone(), token.clone()));
    shop.trade(5).await;
    until("the wait", || waiting(&supervisor) == 1).await;
    rows.refuse(None);
    projections.wait_for(shop.head(), SOON).await.unwrap();
    until("its end", || all_run(&supervisor)).await;
    assert_eq!(supervisor.standings()[0].restarts, 0, "that is no failure");
    token.cancel();
    task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shares_of_a_process_say_that_they_wait_for_their_database_and_go_on_by_themselves() {
    let mut shop = Shop::open();
    let rows = Arc::new(Refusing(postgres().await, Mutex::new(None)));
    let projections = Projections::open_on(Arc::clone(&rows) as _, shop.log(), sharing(None)).await.unwrap();
    let (supervisor, token) = (Supervisor::default(), CancellationToken::new());
    let task = tokio::spawn(Arc::clone(&projections).run_kept_by(supervisor.clone(), token.clone()));
    projections.wait_for(shop.head(), SOON).await.unwrap();
    rows.refuse(full());
    shop.trade(5).await;
    until("the wait", || waiting(&supervisor) > 0).await;
    rows.refuse(None);
    projections.wait_for(shop.head(), SOON).await.unwrap();
    until("its end", || all_run(&supervisor)).await;
    token.cancel();
    task.await.unwrap();
    let dumped = super::workers::dumped(&rows.snapshot().await.unwrap()).await;
    assert_eq!(dumped, fresh(&shop, "fresh").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_fails_again_and_again_is_given_up() {
    let mut shop = Shop::open();
    let rows = Arc::new(Refusing(postgres().await, Mutex::new(None)));
    let projections = Projections::open_on(Arc::clone(&rows) as _, shop.log(), sharing(None)).await.unwrap();
    let limits = Limits { first: Duration::from_millis(1), cap: Duration::from_millis(10), ..Limits::default() };
    let (supervisor, token) = (Supervisor::new(limits), CancellationToken::new());
    let mut given_up = supervisor.given_up();
    let task = tokio::spawn(Arc::clone(&projections).run_kept_by(supervisor.clone(), token.clone()));
    projections.wait_for(shop.head(), SOON).await.unwrap();
    rows.refuse(Some(Error::Damaged("its pages do not fit together".into())));
    shop.trade(5).await;
    let told = tokio::time::timeout(SOON, given_up.wait_for(Option::is_some)).await;
    let why = told.expect("it is given up").unwrap().clone().unwrap_or_default();
    assert!(why.starts_with("projections/") && why.contains("do not fit together"), "{why}");
    token.cancel();
    task.await.unwrap();
}
