//! The same on both databases: one shop, projected to SQLite and to PostgreSQL, whole and in partitions, gives the same
//! rows and the same answers.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::OrderId;
use event_store::partition::STREAMS;
use servers::Postgres as Server;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::shop::{Shop, TENANT, main, sku};
use super::workers::{Dump, SOON, dumped, fresh};
use crate::models;
use crate::order_list::{Filter, Query, Sort};
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::stock_levels::Which;
use crate::store::{Change, Making, Part, ReadStore, Slot, Statement, Takeover};
use crate::value::{Shape, Spec, Spread, Table, Value, index, int, text};
use crate::{Error, Projections, Reads, Sharing, Snapshot, verify_snapshot};
use crate::{open_quantity, order_detail, order_list, order_timeline, payments, stock_ledger, stock_levels};

pub(super) async fn postgres() -> Arc<Postgres> {
    Postgres::open(&Server::shared().database(), 8).await.unwrap()
}

pub(super) async fn rows_of(rows: &Postgres) -> Dump {
    dumped(&rows.snapshot().await.unwrap()).await
}

/// Projects everything in partitions, as one process.
pub(super) async fn post(shop: &Shop, rows: &Arc<Postgres>, batch: usize) -> Arc<Projections> {
    let sharing = Sharing { batch, ..Sharing::default() };
    let projections = Projections::open_on(Arc::clone(rows) as _, shop.log(), sharing).await.unwrap();
    let token = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&projections).run(token.clone()));
    projections.wait_for(shop.head(), SOON).await.unwrap();
    token.cancel();
    running.await.unwrap();
    projections
}

/// The answers of every query of every model.
async fn answers(shop: &Shop, reads: &Reads) -> Vec<String> {
    let mut told = Vec::new();
    let filters = [
        None,
        Some(("status[in]", "pending,cancelled,completed")),
        Some(("return_status", "returned")),
        Some(("payment_status[in]", "refunded,part_refunded")),
        Some(("customer", "c-1")),
        Some(("sku", "mug")),
        Some(("sku[in]", "LAMP,CUP")),
        Some(("tag", "simulated")),
        Some(("total[gte]", "2000")),
        Some(("placed_at[lt]", "1970-01-01T00:00:10Z")),
        Some(("on_hold", "false")),
        Some(("external_ref", "none")),
    ];
    for sort in ["placed_at", "-placed_at", "total", "-total", "updated_at", "-updated_at"] {
        for filter in filters {
            let mut query = Query {
                tenant: TENANT.into(),
                filters: filter.map(|(field, value)| Filter::parse(field, value).unwrap()).into_iter().collect(),
                sort: Sort::parse(sort).unwrap(),
                limit: 7,
                cursor: None,
                count: true,
            };
            loop {
                let page = match order_list::page(reads, &query).await {
                    Err(order_list::PageError::Filter(refused)) => {
                        told.push(refused.to_string());
                        break;
                    }
                    page => page.unwrap(),
                };
                told.push(format!("{sort} {filter:?}: {page:?}"));
                query.cursor = page.value.next;
                if query.cursor.is_none() {
                    break;
                }
            }
        }
    }
    let mut orders: Vec<OrderId> = shop.orders.keys().copied().collect();
    orders.sort();
    for id in orders {
        let timeline = order_timeline::page(reads, TENANT, id.0, 3, 50);
        told.push(format!("{:?}", timeline.await.unwrap()));
        let detail = order_detail::by_id(reads, TENANT, id).await.unwrap();
        told.push(format!("{:?}", detail.value));
        let paid = payments::by_order(reads, TENANT, id).await.unwrap();
        told.push(format!("{paid:?}"));
    }
    let mut ids: Vec<_> = shop.payments.keys().copied().collect();
    ids.sort();
    for id in ids {
        let payment = payments::by_id(reads, TENANT, id).await.unwrap();
        told.push(format!("{:?}", payment.value));
    }
    let mut names: Vec<_> = shop.stocks.keys().map(|(name, _)| name.clone()).collect();
    names.sort();
    for name in names {
        let (name, main) = (sku(&name), main());
        let ledger = stock_ledger::page(reads, TENANT, &name, &main, Some(20), 10);
        told.push(format!("{:?}", ledger.await.unwrap().value));
        let level = stock_levels::by_sku(reads, TENANT, &name).await;
        told.push(format!("{:?}", level.unwrap()));
        let customer = "c-1".parse().unwrap();
        let open = open_quantity::newest_first(reads, TENANT, Some(&customer), &name, i64::MAX, 10);
        told.push(format!("{:?}", open.await.unwrap()));
        let page = stock_levels::page(reads, TENANT, Which::All, Some((&name, &main)), 2).await;
        told.push(format!("{:?}", page.unwrap()));
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn both_databases_hold_the_same_rows_and_answer_the_same() {
    let mut shop = Shop::open();
    shop.trade(60).await;
    let expected = fresh(&shop, "whole").await;
    let projections =
        Projections::open(crate::Options::new(shop.folder.path().join("whole")), shop.log()).await.unwrap();
    let embedded = answers(&shop, &projections.reads()).await;
    assert!(embedded.iter().any(|answer| answer.contains("next: Some")));
    for batch in [1, 7, 1_000] {
        let rows = postgres().await;
        let posted = post(&shop, &rows, batch).await;
        assert_eq!(rows_of(&rows).await, expected, "batches of {batch}");
        if batch == 7 {
            assert_eq!(answers(&shop, &posted.reads()).await, embedded);
            let other = Projections::reading(Arc::clone(&rows) as _, shop.log()).await.unwrap();
            assert_eq!(answers(&shop, &other.reads()).await, embedded);
            let folder = shop.folder.path().join("whole");
            let left = Snapshot::of_file(&folder);
            let right = rows.snapshot().await.unwrap();
            let compared = left.await.unwrap().compare_all(&right).await.unwrap();
            assert!(compared.iter().all(|one| one.fault.is_none()
                && one.position == shop.head()
                && one.comparison.as_ref().unwrap().rows > 0));
        }
    }
    // Whole, on PostgreSQL.
    let rows = postgres().await;
    let whole = Projections::with(Arc::clone(&rows) as _, shop.log(), 64, models::all(), None).await.unwrap();
    whole.catch_up(None).await.unwrap();
    assert_eq!(rows_of(&rows).await, expected);
}

static ODD: Table = Table {
    name: "odd",
    shape: Shape::Rows,
    columns: &[text("one"), text("two").or_null(), int("three").or_null()],
    key: 1,
    indexes: &[index("by_two", "two, one")],
};

static SUMS: Table =
    Table { name: "odd_sum", shape: Shape::Tally, columns: &[text("one"), int("sum")], key: 1, indexes: &[] };

static SPEC: Spec = Spec { name: "odd", version: 1, spread: Spread::ByStream, tables: &[&ODD, &SUMS] };

async fn both(folder: &std::path::Path) -> [Arc<dyn ReadStore>; 2] {
    let sqlite = Sqlite::open(folder, 2).await.unwrap();
    [sqlite as Arc<dyn ReadStore>, postgres().await]
}

fn making(slot: Slot, partitions: u32, owner: Uuid) -> Making {
    Making { spec: &SPEC, slot, partitions, owner, incarnation: Uuid::from_u128(7), building_to: 9 }
}

fn part(partition: u32, epoch: u64, from: u64, to: u64, changes: Vec<Change>) -> Part {
    Part { name: SPEC.name, partition, from, epoch, to, hash: [3; 32], changes, held: vec![] }
}

#[tokio::test]
async fn texts_of_every_kind_come_back_and_sort_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let texts = [
        "",
        "\0",
        "\0a",
        "\u{1}",
        "\u{1}\u{1}",
        "\u{1}\u{2}",
        "\u{2}",
        "a",
        "a\0",
        "a\0b",
        "a\u{1}",
        "B",
        "b",
        "é",
        "z",
        "\u{ffff}",
        "\u{10ffff}",
        "'\"\\{},",
    ];
    let mut seen = Vec::new();
    for rows in both(folder.path()).await {
        let held = rows.create(making(Slot::Live, 1, Uuid::nil())).await.unwrap();
        let put = |text: &str| {
            let odd = text.len().is_multiple_of(2).then_some(text);
            let row = vec![text.into(), odd.into(), Value::Null];
            Change::Put(&ODD, row)
        };
        let changes = texts.iter().map(|text| put(text)).collect();
        rows.commit(Slot::Live, vec![part(0, held[0].epoch, 0, 1, changes)]).await.unwrap();
        let mut answers = Vec::new();
        for bound in texts {
            let sql = "SELECT one, two, three FROM odd WHERE one >= $1 ORDER BY one LIMIT 100";
            answers.push(rows.read(vec![Statement::new(sql, vec![bound.into()])]).await.unwrap());
            let sql = "SELECT one FROM odd WHERE two = $1";
            answers.push(rows.read(vec![Statement::new(sql, vec![bound.into()])]).await.unwrap());
        }
        let all: Vec<_> = answers[0][0].iter().map(|row| row.text(0).unwrap()).collect();
        let mut sorted = texts.to_vec();
        sorted.sort_unstable();
        assert_eq!(all, sorted);
        seen.push(answers);
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn one_key_twice_in_a_batch_ends_as_its_last_row_and_tallies_add_up() {
    let folder = tempfile::tempdir().unwrap();
    for rows in both(folder.path()).await {
        let held = rows.create(making(Slot::Live, 1, Uuid::nil())).await.unwrap();
        let put = |text: &str, number: i64| Change::Put(&ODD, vec![text.into(), Value::Null, number.into()]);
        let add = |number: i64| Change::Put(&SUMS, vec!["x".into(), number.into()]);
        let changes = vec![put("a", 1), put("a", 2), put("b", 3), add(4), add(-1)];
        let epoch = held[0].epoch;
        rows.commit(Slot::Live, vec![part(0, epoch, 0, 1, changes)]).await.unwrap();
        let gone = |text: &str| Change::Remove(&ODD, vec![text.into()]);
        let changes = vec![gone("b"), gone("b"), gone("never"), put("c", 5), add(2)];
        rows.commit(Slot::Live, vec![part(0, epoch, 1, 2, changes)]).await.unwrap();
        let mut lines = Vec::new();
        let snapshot = rows.snapshot().await.unwrap();
        snapshot.dump(&SPEC, |line| lines.push(line.to_owned())).await.unwrap();
        assert_eq!(lines, [r#"["odd",["a",null,2]]"#, r#"["odd",["c",null,5]]"#, r#"["odd_sum",["x",5]]"#]);
    }
}

#[tokio::test]
async fn a_state_that_is_looked_at_slowly_stays() {
    let rows = postgres().await;
    let snapshot = rows.snapshot().await.unwrap();
    snapshot.checkpoints("order_list").await.unwrap();
    // Longer than the server leaves the transaction of a process alone that says nothing.
    tokio::time::sleep(Duration::from_secs(4)).await;
    snapshot.checkpoints("order_list").await.unwrap();
}

#[tokio::test]
async fn checkpoints_move_by_compare_and_set_and_change_hands_on_both() {
    let folder = tempfile::tempdir().unwrap();
    for rows in both(folder.path()).await {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let made = rows.create(making(Slot::Live, 3, one)).await.unwrap();
        assert_eq!(made.len(), 3);
        assert!(made.iter().all(|one| one.building()));
        let epoch = made[1].epoch;
        let row = |text: &str| Change::Put(&ODD, vec![text.into(), Value::Null, Value::Null]);
        let late = rows.acquire("odd", Slot::Live, 1, other).await.unwrap();
        assert_eq!((late.epoch, late.owner), (epoch + 1, other));
        let still = part(0, epoch, 0, 10, vec![row("a")]);
        rows.commit(Slot::Live, vec![still]).await.unwrap();
        let lost = part(1, epoch, 0, 10, vec![row("b")]);
        let refused = rows.commit(Slot::Live, vec![lost]).await;
        assert!(matches!(refused, Err(Error::Lost(name)) if name == "odd"));
        let stop = crate::Stop { position: 4, reason: "a\0reason".into() };
        assert!(rows.stop("odd", 1, epoch, &stop).await.is_err());
        rows.stop("odd", 1, late.epoch, &stop).await.unwrap();
        let now = rows.checkpoints(Some("odd"), Slot::Live).await.unwrap();
        assert_eq!(now.iter().map(|one| one.position).collect::<Vec<_>>(), [10, 0, 0]);
        assert_eq!(now[1].stopped.as_ref(), Some(&stop));
        rows.commit(Slot::Live, vec![part(1, late.epoch, 0, 5, vec![])]).await.unwrap();
        let now = rows.checkpoints(Some("odd"), Slot::Live).await.unwrap();
        assert!(now[1].stopped.is_none(), "it goes on");

        // Built beside, behind, then in front.
        let next = rows.create(making(Slot::Next, 1, other)).await.unwrap();
        let behind = part(0, next[0].epoch, 0, 7, vec![row("n")]);
        rows.commit(Slot::Next, vec![behind]).await.unwrap();
        let found = rows.take_over(&SPEC, other, 3).await.unwrap();
        assert_eq!(found, Takeover::Behind(10));
        rows.commit(Slot::Next, vec![part(0, next[0].epoch, 7, 12, vec![])]).await.unwrap();
        assert!(rows.take_over(&SPEC, one, 3).await.is_err(), "not its own");
        rows.discard(&SPEC, Some(one)).await.unwrap();
        let done = rows.take_over(&SPEC, other, 3).await.unwrap();
        assert!(matches!(done, Takeover::Done(live) if live.position == 12));
        let now = rows.checkpoints(Some("odd"), Slot::Live).await.unwrap();
        assert!(
            now.len() == 3 && now.iter().all(|one| one.position == 12 && one.epoch > late.epoch && !one.building())
        );
        let sql = "SELECT one FROM odd ORDER BY one";
        let shown = rows.read(vec![Statement::new(sql, vec![])]).await.unwrap();
        assert_eq!(shown[0].len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_finds_a_changed_row_of_partitions_at_different_positions() {
    let mut shop = Shop::open();
    shop.trade(20).await;
    let url = Server::shared().database();
    let rows = Postgres::open(&url, 8).await.unwrap();
    drop(post(&shop, &rows, 50).await);
    // Some partitions continue, as if their workers were faster than others.
    shop.trade(10).await;
    let ahead = super::sharing::some_ahead(&shop, &rows, 5).await;
    assert!(ahead > 0 && ahead < STREAMS as usize);
    let snapshot = rows.snapshot().await.unwrap();
    let scratch = shop.folder.path().join("a");
    let verdicts = verify_snapshot(&snapshot, &scratch, shop.log(), None).await.unwrap();
    assert!(verdicts.iter().all(|v| v.fault.is_none() && v.comparison.as_ref().unwrap().rows > 0), "{verdicts:?}");
    drop(snapshot);
    Server::shared().sql(&url, "UPDATE daybook_read.stock_level SET on_hand = on_hand + 1 WHERE sku = 'MUG'");
    let snapshot = Snapshot::of_schema(&url).await.unwrap().unwrap();
    let scratch = shop.folder.path().join("b");
    let verdicts = verify_snapshot(&snapshot, &scratch, shop.log(), None).await.unwrap();
    let wrong: Vec<_> = verdicts.iter().filter(|v| v.fault.is_some()).collect();
    assert_eq!(wrong.len(), 1);
    assert_eq!(wrong[0].name, "stock_levels");
    // A rebuild repairs it, once no transaction reads the rows.
    let other = Projections::reading(Arc::clone(&rows) as _, shop.log()).await.unwrap();
    let rebuilding = tokio::spawn(async move { other.rebuild("stock_levels", None).await });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!rebuilding.is_finished(), "it waits");
    drop(snapshot);
    rebuilding.await.unwrap().unwrap();
    assert_eq!(rows_of(&rows).await["stock_levels"], fresh(&shop, "fresh").await["stock_levels"]);
}
