//! Properties that depend on the order of the whole log although partitions are projected in parallel: an unpartitioned
//! model has one worker while others stand by, and a timeline over several streams never shows an entry before an
//! earlier one that is still missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use event_store::Filter;
use event_store::partition::STREAMS;
use serde_json::json;

use super::databases::{post, postgres, rows_of};
use super::sharing::{Running, some_ahead, start_with, until};
use super::shop::{Shop, TENANT};
use super::workers::{SOON, fresh};
use crate::store::ReadStore as _;
use crate::value::{Shape, Spec, Spread, Table, int, text};
use crate::{Fact, Level, Projection, Projections, Rows, Shown, models, order_timeline};

/// The last event of every category.
struct Newest;

static ROWS: Table =
    Table { name: "newest", shape: Shape::Rows, columns: &[text("category"), int("position")], key: 1, indexes: &[] };

static SPEC: Spec = Spec { name: "newest", version: 1, spread: Spread::Single, tables: &[&ROWS] };

impl Projection for Newest {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn wants(&self, _: &str) -> bool {
        true
    }

    fn folds(&self, _: &str) -> bool {
        false
    }

    fn record(&self, fact: &Fact, _: Option<&Shown<Level>>, rows: &mut Rows) {
        let row = vec![(&*fact.record.stream.category).into(), fact.record.position.into()];
        rows.put(&ROWS, row);
    }
}

fn runs(process: &Running) -> bool {
    let standings = process.projections.positions();
    let own = standings.iter().find(|standing| standing.name == SPEC.name);
    !own.unwrap().runs.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_posts_it_in_order_and_another_stands_by() {
    let mut shop = Shop::open();
    shop.trade(20).await;
    let rows = postgres().await;
    let mut processes = Vec::new();
    for _ in 0..2 {
        let mut models = models::all();
        models.push(Arc::new(Newest));
        let rows = Arc::clone(&rows) as _;
        processes.push(start_with(shop.log(), rows, None, models).await);
    }
    until("one of the two", || processes.iter().filter(|one| runs(one)).count() == 1).await;
    shop.trade(10).await;
    for process in &processes {
        process.projections.wait_for(shop.head(), SOON).await.unwrap();
    }
    let working = processes.iter().position(runs).unwrap();
    processes.swap_remove(working).abort();
    let standby = processes.pop().unwrap();
    assert!(!runs(&standby), "it has stood by");
    shop.trade(10).await;
    standby.projections.wait_for(shop.head(), SOON).await.unwrap();
    assert!(runs(&standby), "it has taken over");
    let log = shop.log().read_log(0, &Filter::default(), 1_000_000).await.unwrap();
    let mut expected = BTreeMap::new();
    for record in log.records {
        expected.insert(record.stream.category.to_string(), record.position);
    }
    assert_eq!(expected.values().max(), Some(&shop.head()));
    let mut found = Vec::new();
    let snapshot = rows.snapshot().await.unwrap();
    snapshot.dump(&SPEC, |line| found.push(line.to_owned())).await.unwrap();
    let expected: Vec<_> =
        expected.iter().map(|(category, position)| json!(["newest", [category, position]]).to_string()).collect();
    assert_eq!(found, expected);
    standby.stop().await;
    assert_eq!(rows_of(&rows).await, fresh(&shop, "fresh").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_shows_nothing_beyond_what_all_partitions_show() {
    let mut shop = Shop::open();
    shop.trade(10).await;
    let rows = postgres().await;
    drop(post(&shop, &rows, 50).await);
    let shown = shop.head();
    shop.trade(30).await;
    let ahead = some_ahead(&shop, &rows, STREAMS / 2).await;
    assert_eq!(ahead, STREAMS as usize / 2);
    let timelines = async || {
        let reading = Projections::reading(Arc::clone(&rows) as _, shop.log());
        let reads = reading.await.unwrap().reads();
        let mut timelines = Vec::new();
        for id in shop.orders.keys() {
            let page = order_timeline::page(&reads, TENANT, id.0, 0, 10_000).await;
            timelines.push(page.unwrap());
        }
        timelines
    };
    let early = timelines().await;
    let mut posted = 0;
    let snapshot = rows.snapshot().await.unwrap();
    let model = models::by_name("order_timeline").unwrap();
    snapshot.dump(model.spec(), |_| posted += 1).await.unwrap();
    drop(post(&shop, &rows, 50).await);
    let late = timelines().await;
    let (mut told, mut whole) = (0, 0);
    for (early, late) in early.iter().zip(&late) {
        assert!(early.position >= shown && early.position < shop.head());
        let upto = late.value.iter().take_while(|entry| entry.position <= early.position);
        assert_eq!(early.value, upto.cloned().collect::<Vec<_>>());
        told += early.value.len();
        whole += late.value.len();
    }
    assert!(told < posted && told < whole, "{told} of {posted} that were there, of {whole}");
}
