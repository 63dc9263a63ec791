//! A record that cannot be read or applied: its stream is held in the models that need it, everything else continues,
//! and once it is set aside the rows are as if it had never existed, whatever happened meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::ids::OrderId;
use domain::stream;
use event_store::partition::of_stream;
use event_store::record::{Position, StreamId};

use super::databases::postgres;
use super::sharing::{start_on, until};
use super::shop::{Shop, TENANT, main, sku};
use super::workers::{SOON, dump, fresh, open};
use crate::order_list::{self, Query};
use crate::sqlite::Sqlite;
use crate::stock_levels::Which;
use crate::store::{ReadStore as _, Slot};
use crate::{Error, Projections, Snapshot, models, order_detail, payments, stock_ledger, stock_levels, verify};

/// What a shop has that cannot be read.
struct Poisoned {
    order: OrderId,
    positions: Vec<Position>,
}

fn of(name: stream::StreamName) -> StreamId {
    StreamId::new(TENANT, name.category, name.id)
}

fn mug() -> StreamId {
    of(stream::stock(&main(), &sku("MUG")))
}

/// One record of each unreadable kind in streams of each category, between other records.
async fn poisoned(shop: &mut Shop) -> Poisoned {
    let good = r#"{"actor":{"id":"clerk","via":"test"},"correlation":"00000000-0000-0000-0000-000000000007"}"#;
    shop.trade(12).await;
    let order = shop.place("c-held", &[("LAMP", 2)], 5).await;
    let payment = shop.authorise(order).await;
    let positions = vec![
        shop.write(of(stream::order(order)), ("OrderCompleted", 9), "{}", good).await,
        shop.write(mug(), ("NeverHeardOf", 1), "{}", good).await,
        shop.write(of(stream::payment(payment)), ("PaymentVoided", 1), "{\"voided\":", good).await,
        shop.write(StreamId::new(TENANT, stream::SAGA, "checkout-1"), ("SagaEnded", 1), "[]", "{}").await,
        shop.write(StreamId::new(TENANT, stream::REFERENCE, "web-7"), ("OrderCompleted", 1), "{}", good).await,
    ];
    shop.confirm(order).await;
    shop.trade(12).await;
    shop.receive("MUG", 17).await;
    Poisoned { order, positions }
}

/// The streams that the models of a folder hold, by model.
async fn held(projections: &Projections, name: &str) -> BTreeSet<String> {
    let held = projections.reads().held(name).await.unwrap();
    held.into_iter().map(|held| held.stream.category.to_string()).collect()
}

async fn orders(projections: &Projections) -> crate::Answer<order_list::Page> {
    order_list::page(&projections.reads(), &Query { tenant: TENANT.into(), limit: 100, ..Query::default() })
        .await
        .unwrap()
}

#[tokio::test]
async fn what_cannot_be_read_holds_its_own_stream_and_everything_else_is_shown() {
    let mut shop = Shop::open();
    let poisoned = poisoned(&mut shop).await;
    let projections = open(&shop, "read", 50).await;
    projections.catch_up(None).await.unwrap();
    let wanted: [(&str, &[&str]); 7] = [
        ("order_list", &["order"]),
        ("order_detail", &["order"]),
        ("open_quantity", &["order"]),
        ("payments", &["payment"]),
        ("stock_levels", &["stock"]),
        ("stock_ledger", &["stock"]),
        ("order_timeline", &["order", "payment", "ref", "saga", "stock"]),
    ];
    for (name, categories) in wanted {
        assert_eq!(held(&projections, name).await, categories.iter().map(ToString::to_string).collect(), "{name}");
    }
    for standing in projections.positions() {
        assert_eq!((standing.position, &standing.stopped), (shop.head(), &None), "{standing:?}");
        assert_eq!(standing.held, if standing.name == "order_timeline" { 5 } else { 1 }, "{standing:?}");
    }
    let reads = projections.reads();
    let one = order_detail::by_id(&reads, TENANT, poisoned.order).await;
    assert!(matches!(one, Err(Error::Held { held, .. }) if held.position == poisoned.positions[0]), "not absent: held");
    let list = orders(&projections).await;
    assert!(list.stale && list.held == 1);
    assert_eq!(list.value.orders.len(), shop.orders.len(), "all are listed, the held one as it was before");
    for order in shop.orders.keys().filter(|id| **id != poisoned.order) {
        assert!(order_detail::by_id(&reads, TENANT, *order).await.unwrap().value.is_some());
    }
    let levels = stock_levels::page(&reads, TENANT, Which::All, None, 10).await.unwrap();
    let of = |name: &str| levels.value.iter().find(|it| it.sku == sku(name)).unwrap().level.on_hand;
    assert_eq!(of("LAMP"), shop.stocks[&("LAMP".to_owned(), "main".to_owned())].on_hand);
    assert_ne!(of("MUG"), shop.stocks[&("MUG".to_owned(), "main".to_owned())].on_hand);
    let moves = stock_ledger::page(&reads, TENANT, &sku("MUG"), &main(), None, 1).await.unwrap();
    assert!(moves.stale && moves.value[0].position < poisoned.positions[1]);
    let payment = *shop.payments.keys().find(|id| payment_of(poisoned.order) == **id).unwrap();
    assert!(matches!(payments::by_id(&reads, TENANT, payment).await, Err(Error::Held { .. })));
    // A verification and a rebuild come before the set-aside.
    assert_eq!(projections.rebuild("order_list", None).await.unwrap(), shop.head());
    assert_eq!(held(&projections, "order_list").await.len(), 1, "a rebuild comes to its end and holds the same");
    projections.close().await.unwrap();
    let folder = shop.folder.path().join("read");
    let verdicts = verify(&folder, &shop.folder.path().join("a"), shop.log(), None).await.unwrap();
    assert!(verdicts.iter().all(|verdict| verdict.fault.is_none() && verdict.held > 0), "{verdicts:?}");
    assert_eq!(dump(&folder).await, fresh(&shop, "fresh").await);
}

fn payment_of(order: OrderId) -> domain::ids::PaymentId {
    domain::ids::PaymentId(domain::ids::derived(order.0, "payment"))
}

#[tokio::test]
async fn what_was_set_aside_is_made_up_for_whatever_happened_meanwhile() {
    let mut shop = Shop::open();
    let poisoned = poisoned(&mut shop).await;
    let before = open(&shop, "read", 7).await;
    before.catch_up(None).await.unwrap();
    before.close().await.unwrap();
    // A restart, more of the same streams, and then the records are set aside one by one.
    let projections = open(&shop, "read", 7).await;
    shop.trade(5).await;
    projections.catch_up(None).await.unwrap();
    for position in &poisoned.positions {
        shop.set_aside(*position).await;
        projections.catch_up(None).await.unwrap();
    }
    shop.trade(5).await;
    projections.catch_up(None).await.unwrap();
    for standing in projections.positions() {
        assert_eq!((standing.held, standing.lag), (0, 0), "{standing:?}");
    }
    let reads = projections.reads();
    let detail = order_detail::by_id(&reads, TENANT, poisoned.order).await.unwrap().value.unwrap();
    assert_eq!(detail.order, shop.orders[&poisoned.order], "as the domain has it, which never saw the record");
    let list = orders(&projections).await;
    assert!(!list.stale && list.value.orders.len() == shop.orders.len());
    for level in stock_levels::page(&reads, TENANT, Which::All, None, 10).await.unwrap().value {
        let stock = &shop.stocks[&(level.sku.to_string(), "main".to_owned())];
        assert_eq!((level.level.on_hand, level.level.reserved), (stock.on_hand, stock.reserved), "{}", level.sku);
    }
    projections.close().await.unwrap();
    let folder = shop.folder.path().join("read");
    let expected = fresh(&shop, "1000").await;
    assert_eq!(dump(&folder).await, expected);
    for batch in [1, 64] {
        let name = batch.to_string();
        let again = open(&shop, &name, batch).await;
        again.catch_up(None).await.unwrap();
        again.close().await.unwrap();
        assert_eq!(dump(&shop.folder.path().join(&name)).await, expected, "batches of {batch}");
    }
    let verdicts = verify(&folder, &shop.folder.path().join("b"), shop.log(), None).await.unwrap();
    assert!(verdicts.iter().all(|verdict| verdict.fault.is_none() && verdict.held == 0), "{verdicts:?}");
}

#[tokio::test]
async fn of_several_unreadable_records_in_a_stream_each_holds_it() {
    let mut shop = Shop::open();
    shop.trade(3).await;
    let first = shop.write(mug(), ("NeverHeardOf", 1), "{}", "{}").await;
    shop.receive("MUG", 5).await;
    let second = shop.write(mug(), ("NeverHeardOf", 1), "{}", "{}").await;
    shop.receive("MUG", 7).await;
    let projections = open(&shop, "read", 100).await;
    projections.catch_up(None).await.unwrap();
    let at = async |projections: &Projections| projections.reads().held("stock_levels").await.unwrap();
    assert_eq!(at(&projections).await[0].position, first);
    shop.set_aside(second).await;
    projections.catch_up(None).await.unwrap();
    assert_eq!(at(&projections).await[0].position, first);
    shop.set_aside(first).await;
    projections.catch_up(None).await.unwrap();
    assert!(at(&projections).await.is_empty());
    projections.close().await.unwrap();
    assert_eq!(dump(&shop.folder.path().join("read")).await, fresh(&shop, "fresh").await);
}

#[tokio::test]
async fn a_record_that_the_rows_show_and_that_is_set_aside_is_taken_out_of_them() {
    let mut shop = Shop::open();
    shop.trade(6).await;
    let received = shop.receive("MUG", 1_000).await;
    let order = shop.place("c-x", &[("MUG", 3)], 9).await;
    let noted = shop.confirm(order).await;
    shop.trade(6).await;
    let projections = open(&shop, "read", 30).await;
    projections.catch_up(None).await.unwrap();
    // Another version of the program could not read them, and they were set aside there.
    shop.set_aside(received).await;
    shop.set_aside(noted).await;
    projections.catch_up(None).await.unwrap();
    let reads = projections.reads();
    let levels = stock_levels::page(&reads, TENANT, Which::All, None, 10).await.unwrap().value;
    let mug = levels.iter().find(|it| it.sku == sku("MUG")).unwrap();
    assert_eq!(mug.level.on_hand + 1_000, shop.stocks[&("MUG".to_owned(), "main".to_owned())].on_hand);
    let list = orders(&projections).await.value.orders;
    assert_eq!(
        list.iter().find(|it| it.order_id == order).unwrap().status,
        "pending",
        "its confirmation counts for nothing"
    );
    projections.close().await.unwrap();
    let expected = fresh(&shop, "1000").await;
    assert_eq!(dump(&shop.folder.path().join("read")).await, expected);
    let again = open(&shop, "1", 1).await;
    again.catch_up(None).await.unwrap();
    again.close().await.unwrap();
    assert_eq!(dump(&shop.folder.path().join("1")).await, expected);
}

/// A read model with a mistake in it, until that is mended.
struct Fragile;

static FRAGILE: crate::value::Spec =
    crate::value::Spec { name: "fragile", version: 1, spread: crate::value::Spread::ByStream, tables: &[] };
static MENDED: AtomicBool = AtomicBool::new(false);

impl crate::Projection for Fragile {
    fn spec(&self) -> &'static crate::value::Spec {
        &FRAGILE
    }

    fn wants(&self, category: &str) -> bool {
        category == "stock"
    }

    fn record(&self, fact: &crate::Fact, _: Option<&crate::Shown<crate::Level>>, _: &mut crate::Rows) {
        let fine = MENDED.load(Ordering::Relaxed) || fact.record.position < 50 || *fact.record.stream.id != *mug().id;
        assert!(fine, "a mistake");
    }
}

#[tokio::test]
async fn a_model_that_panics_holds_the_stream_alone_until_it_is_mended() {
    let mut shop = Shop::open();
    shop.trade(20).await;
    shop.receive("MUG", 3).await;
    let with = async || {
        let rows = Sqlite::open(&shop.folder.path().join("read"), 2).await.unwrap();
        let mut models = models::all();
        models.push(Arc::new(Fragile));
        Projections::with(rows, shop.log(), 1_000, models, None).await.unwrap()
    };
    let projections = with().await;
    projections.catch_up(None).await.unwrap();
    for standing in projections.positions() {
        assert_eq!((&standing.stopped, standing.lag), (&None, 0), "{}", standing.name);
        assert_eq!(standing.held, u64::from(standing.name == "fragile"), "{}", standing.name);
    }
    let held = projections.reads().held("fragile").await.unwrap();
    assert!(held[0].reason.contains("a mistake") && held[0].position >= 50, "{held:?}");
    projections.close().await.unwrap();
    assert_eq!(dump(&shop.folder.path().join("read")).await, fresh(&shop, "fresh").await);
    MENDED.store(true, Ordering::Relaxed);
    let projections = with().await;
    projections.catch_up(None).await.unwrap();
    assert!(projections.positions().iter().all(|standing| standing.held == 0), "the next start reads on");
    projections.close().await.unwrap();
}

/// A read model that fails at one record as long as a flag is set.
struct FailsAt(Position, Arc<AtomicBool>);

static FAILS: crate::value::Spec =
    crate::value::Spec { name: "fails", version: 1, spread: crate::value::Spread::ByStream, tables: &[] };

impl crate::Projection for FailsAt {
    fn spec(&self) -> &'static crate::value::Spec {
        &FAILS
    }

    fn wants(&self, category: &str) -> bool {
        category == "stock"
    }

    fn record(&self, fact: &crate::Fact, _: Option<&crate::Shown<crate::Level>>, _: &mut crate::Rows) {
        assert!(fact.record.position != self.0 || !self.1.load(Ordering::Relaxed), "a mistake");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_show_and_that_hold_what_is_set_aside_come_past_it_together() {
    let mut shop = Shop::open();
    shop.trade(6).await;
    let received = shop.receive("MUG", 1_000).await;
    for amount in 1..6 {
        shop.receive("MUG", amount).await;
    }
    let rows = Sqlite::open(&shop.folder.path().join("read"), 2).await.unwrap();
    let mut models = models::all();
    let fails = Arc::new(AtomicBool::new(true));
    models.push(Arc::new(FailsAt(received, Arc::clone(&fails))));
    let projections = Projections::with(rows, shop.log(), 2, models, None).await.unwrap();
    projections.catch_up(None).await.unwrap();
    let held = async || projections.reads().held("fails").await.unwrap().len();
    assert_eq!((held().await, projections.reads().held("stock_levels").await.unwrap().len()), (1, 0));
    fails.store(false, Ordering::Relaxed);
    shop.set_aside(received).await;
    shop.receive("MUG", 7).await;
    // A separate task: a worker in an endless loop may never yield.
    let catching_up = Arc::clone(&projections);
    let catching_up = tokio::spawn(async move { catching_up.catch_up(None).await });
    let caught_up = tokio::time::timeout(Duration::from_secs(20), catching_up).await;
    caught_up.expect("all of them come past it").unwrap().unwrap();
    for standing in projections.positions() {
        assert_eq!((standing.held, standing.lag), (0, 0), "{standing:?}");
    }
    projections.close().await.unwrap();
    assert_eq!(dump(&shop.folder.path().join("read")).await, fresh(&shop, "fresh").await);
}

#[tokio::test]
async fn a_model_that_fails_at_what_it_is_to_take_back_asks_for_a_rebuild() {
    let mut shop = Shop::open();
    let received = shop.receive("MUG", 1_000).await;
    shop.receive("MUG", 1).await;
    let rows = Sqlite::open(&shop.folder.path().join("read"), 2).await.unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let models: Vec<Arc<dyn crate::Projection>> = vec![Arc::new(FailsAt(received, Arc::clone(&fails)))];
    let projections = Projections::with(rows, shop.log(), 2, models, None).await.unwrap();
    projections.catch_up(None).await.unwrap();
    fails.store(true, Ordering::Relaxed);
    shop.set_aside(received).await;
    projections.catch_up(None).await.unwrap();
    let held = projections.reads().held("fails").await.unwrap();
    assert!(held.len() == 1 && held[0].reason.contains("rebuild the read model"), "{held:?}");
    projections.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_partitions_only_the_stream_is_held_and_every_process_sees_it() {
    let mut shop = Shop::open();
    let poisoned = poisoned(&mut shop).await;
    let rows = postgres().await;
    let running = start_on(shop.log(), Arc::clone(&rows) as _, None).await;
    let other = Projections::reading(Arc::clone(&rows) as _, shop.log()).await.unwrap();
    for name in Projections::names() {
        other.reads().wait_for(name, shop.head(), SOON).await.unwrap();
    }
    for standing in other.standings().await.unwrap() {
        assert_eq!(standing.held, if standing.name == "order_timeline" { 5 } else { 1 }, "{standing:?}");
    }
    let one = order_detail::by_id(&other.reads(), TENANT, poisoned.order).await;
    assert!(matches!(one, Err(Error::Held { .. })));
    running.stop().await;
    let running = start_on(shop.log(), Arc::clone(&rows) as _, None).await;
    for position in &poisoned.positions {
        shop.set_aside(*position).await;
    }
    for name in Projections::names() {
        other.reads().wait_for(name, shop.head(), SOON).await.unwrap();
    }
    assert!(other.standings().await.unwrap().iter().all(|standing| standing.held == 0));
    let detail = order_detail::by_id(&other.reads(), TENANT, poisoned.order).await.unwrap().value.unwrap();
    assert_eq!(detail.order, shop.orders[&poisoned.order]);
    let dumped = super::workers::dumped(&rows.snapshot().await.unwrap()).await;
    assert_eq!(dumped, fresh(&shop, "fresh").await);
    until("the process holds nothing", || running.projections.positions().iter().all(|it| it.held == 0)).await;
    running.stop().await;
    let parts = rows.checkpoints(Some("stock_levels"), Slot::Live).await.unwrap();
    assert!(parts.iter().any(|part| part.partition == of_stream(&mug())));
    drop(Snapshot::of_file(&shop.folder.path().join("fresh")).await.unwrap());
}
