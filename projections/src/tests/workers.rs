//! The promises of workers: the same bytes whatever happens, and one consumer's fault affects no other.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::shop::{Shop, TENANT};
use crate::member::Cut;
use crate::models;
use crate::order_list::{self, Query};
use crate::sqlite::Sqlite;
use crate::store::{Making, Part, ReadStore, Slot};
use crate::{Error, Options, Projections, Snapshot, verify};

pub(super) const SOON: Duration = Duration::from_secs(90);

pub(super) async fn open(shop: &Shop, name: &str, batch: usize) -> Arc<Projections> {
    let options = Options { batch, ..Options::new(shop.folder.path().join(name)) };
    Projections::open(options, shop.log()).await.unwrap()
}

/// Every row of every model.
pub(super) type Dump = BTreeMap<&'static str, Vec<String>>;

pub(super) async fn dump(folder: &Path) -> Dump {
    dumped(&Snapshot::of_file(folder).await.unwrap()).await
}

pub(super) async fn dumped(snapshot: &Snapshot) -> Dump {
    let mut dumped = Dump::new();
    for model in models::all() {
        let mut lines = Vec::new();
        snapshot.dump(model.spec(), |line| lines.push(line.to_owned())).await.unwrap();
        dumped.insert(model.spec().name, lines);
    }
    dumped
}

pub(super) async fn fresh(shop: &Shop, name: &str) -> Dump {
    let projections = open(shop, name, 1_000).await;
    projections.catch_up(None).await.unwrap();
    projections.close().await.unwrap();
    dump(&shop.folder.path().join(name)).await
}

#[tokio::test]
async fn the_batch_size_does_not_show_in_the_rows() {
    let mut shop = Shop::open();
    shop.trade(60).await;
    let expected = fresh(&shop, "1000").await;
    assert!(expected.values().all(|lines| !lines.is_empty()), "every model has rows");
    for batch in [1, 7, 64] {
        let name = batch.to_string();
        let projections = open(&shop, &name, batch).await;
        projections.catch_up(None).await.unwrap();
        projections.close().await.unwrap();
        assert_eq!(dump(&shop.folder.path().join(&name)).await, expected, "batches of {batch}");
    }
}

/// An order is placed and confirmed within one page nearly always. A page that fails is applied record by record, with the same
/// rows in the end: only the number of batches shows it.
#[tokio::test]
async fn a_page_is_one_batch_also_where_streams_begin_and_go_on_in_it() {
    let mut shop = Shop::open();
    shop.trade(60).await;
    for batch in [50, 1_000] {
        let projections = open(&shop, &batch.to_string(), batch as usize).await;
        let batches = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&batches);
        let progress = move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        projections.catch_up(Some(Arc::new(progress))).await.unwrap();
        projections.close().await.unwrap();
        let batches = batches.load(Ordering::Relaxed);
        assert!(batches <= shop.head().div_ceil(batch), "{batches} batches of {batch} for {} events", shop.head());
    }
}

#[tokio::test]
async fn a_worker_that_is_cut_off_anywhere_goes_on_where_its_rows_are() {
    let mut shop = Shop::open();
    shop.trade(30).await;
    let expected = fresh(&shop, "whole").await;
    let folder = shop.folder.path().join("cut");
    let mut at = 0;
    while at < shop.head() {
        at += 1 + shop.pick(23);
        let until: BTreeMap<_, _> =
            Projections::names().into_iter().map(|name| (name, Cut::new([at.min(shop.head())]))).collect();
        let rows = Sqlite::open(&folder, 2).await.unwrap();
        let projections = Projections::with(rows, shop.log(), 5, models::all(), Some(&until)).await.unwrap();
        projections.catch_up(None).await.unwrap();
        // Dropped without a shutdown, as by a crash: only committed data is kept.
        drop(projections);
    }
    assert_eq!(dump(&folder).await, expected);
}

#[tokio::test]
async fn models_at_different_positions_come_together_and_show_the_same() {
    let mut shop = Shop::open();
    shop.trade(30).await;
    let expected = fresh(&shop, "whole").await;
    let folder = shop.folder.path().join("apart");
    let until: BTreeMap<_, _> =
        Projections::names().into_iter().zip((1..).map(|n| Cut::new([n * shop.head() / 9]))).collect();
    let rows = Sqlite::open(&folder, 2).await.unwrap();
    let projections = Projections::with(rows, shop.log(), 50, models::all(), Some(&until)).await.unwrap();
    projections.catch_up(None).await.unwrap();
    projections.close().await.unwrap();
    let projections = open(&shop, "apart", 50).await;
    let apart: std::collections::BTreeSet<_> =
        projections.positions().iter().map(|standing| standing.position).collect();
    assert_eq!(apart.len(), Projections::names().len());
    projections.catch_up(None).await.unwrap();
    projections.close().await.unwrap();
    assert_eq!(dump(&folder).await, expected);
}

#[tokio::test]
async fn of_two_workers_on_one_checkpoint_the_older_rolls_back_and_stops() {
    let mut shop = Shop::open();
    shop.trade(10).await;
    let first = open(&shop, "read", 1_000).await;
    let second = open(&shop, "read", 1_000).await;
    first.catch_up(None).await.unwrap_err();
    assert!(first.positions().iter().all(|standing| standing.stopped.is_some() && standing.position == 0));
    second.catch_up(None).await.unwrap();
    assert!(second.positions().iter().all(|standing| standing.lag == 0));
    second.close().await.unwrap();
    assert_eq!(dump(&shop.folder.path().join("read")).await, fresh(&shop, "fresh").await);
}

#[tokio::test]
async fn a_commit_with_a_lost_checkpoint_leaves_no_row_of_any_model() {
    let shop = Shop::open();
    let rows = Sqlite::open(&shop.folder.path().join("read"), 2).await.unwrap();
    let (owner, store) = (Uuid::now_v7(), Uuid::now_v7());
    let spec = models::by_name("stock_levels").unwrap().spec();
    let other = models::by_name("open_quantity").unwrap().spec();
    let making = |spec| Making { spec, slot: Slot::Live, partitions: 1, owner, incarnation: store, building_to: 0 };
    let held = rows.create(making(spec)).await.unwrap().remove(0);
    rows.create(making(other)).await.unwrap();
    let row = spec.tables[0].columns.iter().enumerate().map(|(at, _)| if at < 3 { "x".into() } else { 1_i64.into() });
    let good = Part {
        name: spec.name,
        partition: 0,
        from: 0,
        epoch: held.epoch,
        to: 5,
        hash: [1; 32],
        changes: vec![crate::store::Change::Put(spec.tables[0], row.collect())],
        held: vec![],
    };
    let stale = Part { name: other.name, epoch: held.epoch + 7, changes: vec![], ..good.clone() };
    let lost = rows.commit(Slot::Live, vec![good.clone(), stale]).await;
    assert!(matches!(lost, Err(Error::Lost(name)) if name == other.name));
    assert_eq!(rows.checkpoints(Some(spec.name), Slot::Live).await.unwrap()[0].position, 0);
    rows.commit(Slot::Live, vec![good]).await.unwrap();
    assert_eq!(rows.checkpoints(Some(spec.name), Slot::Live).await.unwrap()[0].position, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_takes_over_while_events_arrive_and_readers_never_see_half_of_it() {
    let mut shop = Shop::open();
    shop.trade(40).await;
    let projections = open(&shop, "read", 50).await;
    let token = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&projections).run(token.clone()));
    projections.wait_for(shop.head(), SOON).await.unwrap();
    let reads = projections.reads();
    let watching = tokio::spawn({
        let (reads, token) = (reads.clone(), token.clone());
        async move {
            let (mut most, mut seen) = (0, 0);
            while !token.is_cancelled() {
                let query = Query { tenant: TENANT.into(), limit: 200, count: true, ..Query::default() };
                let answer = order_list::page(&reads, &query).await.unwrap();
                let count = answer.value.count.unwrap().value;
                assert!(count >= 40 && count >= most, "{count} after {most}");
                assert!(answer.position >= seen, "never back");
                (most, seen) = (count, answer.position);
            }
        }
    });
    for round in 0..3 {
        let rebuilding = tokio::spawn({
            let projections = Arc::clone(&projections);
            async move {
                for name in Projections::names() {
                    projections.rebuild(name, None).await.unwrap();
                }
            }
        });
        for n in 0..30 {
            let id = shop.place("late", &[("MUG", 2)], 50_000_000 + round * 100 + n).await;
            shop.confirm(id).await;
        }
        rebuilding.await.unwrap();
    }
    let last = shop.place("last", &[("MUG", 2)], 1).await;
    projections.wait_for(shop.head(), SOON).await.unwrap();
    assert!(crate::order_detail::by_id(&reads, TENANT, last).await.unwrap().value.is_some());
    token.cancel();
    running.await.unwrap();
    watching.await.unwrap();
    assert!(projections.positions().iter().all(|standing| standing.stopped.is_none() && standing.rebuild.is_none()));
    projections.close().await.unwrap();
    assert_eq!(dump(&shop.folder.path().join("read")).await, fresh(&shop, "fresh").await);
}

#[tokio::test]
async fn rows_of_another_history_are_built_anew() {
    let mut shop = Shop::open();
    shop.trade(5).await;
    let folder = shop.folder.path().join("read");
    fresh(&shop, "read").await;
    // The same rows beside another store: shorter, and with another incarnation.
    let mut other = Shop::open();
    other.trade(2).await;
    std::fs::create_dir_all(other.folder.path().join("read")).unwrap();
    std::fs::copy(folder.join(crate::FILE), other.folder.path().join("read").join(crate::FILE)).unwrap();
    let projections = open(&other, "read", 1_000).await;
    assert!(projections.positions().iter().all(|standing| standing.position == 0 && standing.building));
    let early = order_list::page(&projections.reads(), &Query { tenant: TENANT.into(), ..Query::default() }).await;
    assert!(matches!(early, Err(order_list::PageError::Store(Error::Building(_)))));
    projections.catch_up(None).await.unwrap();
    projections.close().await.unwrap();
    assert_eq!(dump(&other.folder.path().join("read")).await, fresh(&other, "fresh").await);

    // The right store, and a hash that its log does not have: the rows saw a future that was lost.
    let connection = rusqlite::Connection::open(folder.join(crate::FILE)).unwrap();
    connection.execute("UPDATE checkpoint SET hash = zeroblob(32) WHERE name = 'payments'", []).unwrap();
    connection.execute("UPDATE checkpoint SET position = position + 1 WHERE name = 'order_list'", []).unwrap();
    drop(connection);
    let projections = open(&shop, "read", 1_000).await;
    for standing in projections.positions() {
        let wrong = ["payments", "order_list"].contains(&standing.name);
        assert_eq!(standing.position == 0, wrong, "{standing:?}");
    }
}

#[tokio::test]
async fn verify_tells_a_row_that_is_not_what_the_log_says() {
    let mut shop = Shop::open();
    shop.trade(20).await;
    fresh(&shop, "read").await;
    let folder = shop.folder.path().join("read");
    shop.trade(5).await;
    let verdicts = verify(&folder, &shop.folder.path().join("a"), shop.log(), None).await.unwrap();
    assert_eq!(verdicts.len(), Projections::names().len());
    assert!(verdicts.iter().all(|verdict| verdict.fault.is_none()), "{verdicts:?}");
    assert!(verdicts.iter().all(|verdict| verdict.comparison.as_ref().unwrap().rows > 0));
    let connection = rusqlite::Connection::open(folder.join(crate::FILE)).unwrap();
    connection.execute("UPDATE stock_level SET on_hand = on_hand + 1 WHERE sku = 'MUG'", []).unwrap();
    connection.execute("DELETE FROM order_list_label WHERE kind = 'tag'", []).unwrap();
    drop(connection);
    let verdicts = verify(&folder, &shop.folder.path().join("b"), shop.log(), None).await.unwrap();
    let wrong: Vec<_> = verdicts.iter().filter(|verdict| verdict.fault.is_some()).map(|verdict| verdict.name).collect();
    assert_eq!(wrong, ["order_list", "stock_levels"]);
}
