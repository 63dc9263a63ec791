//! What sagas ask for is carried out before the decision that asks for it is durable, and is in the log only after it. The saga is that
//! of a checkout, up to the provider's answer, which nobody gives here.

use std::collections::HashSet;

use domain::command::Service;
use domain::ids::OrderId;
use domain::order::Order;
use domain::order::command::Place;
use domain::{Event, order};
use event_store::record::Record;
use serde_json::json;

use super::*;

impl House {
    /// An executor that carries out what sagas ask of any service.
    fn ahead(&self) -> Executor {
        let executor = self.executor();
        for service in [Service::Ordering, Service::Inventory, Service::Payments] {
            executor.carries_out(service, true);
        }
        executor
    }

    async fn records(&self) -> Vec<Record> {
        self.store.read_log(0, &Filter::default(), 100_000).await.unwrap().records
    }
}

/// No follow-up is under way.
async fn still(executor: &Executor) {
    until("all follow-ups have ended", || executor.0.follow_ups.is_idle()).await;
}

/// An order for two units of the shelf A.
fn placing(n: u128) -> (StreamName, Plan) {
    let order_id = Uuid::from_u128(1_000 + n);
    let line = json!({ "line_id": 1, "sku": "A", "title": "A shelf's", "qty": 2, "unit_price": "2.50", "discount": 0,
        "tax_bp": 0, "tax_included": false, "backorder_ok": true, "stocked": true });
    let place: Place = serde_json::from_value(json!({ "order_id": order_id, "external_ref": null, "channel": "web",
        "customer": null, "currency": "EUR", "rounding": "half_even", "lines": [line], "discount": 0, "shipping": [],
        "ship_to": null, "payment": { "capture": "at_shipment", "instrument": "tok_approve" }, "location": "north",
        "reserve_for_s": 900, "occurred_at": null, "tags": [], "expected_total": null, "replaces": null }))
    .unwrap();
    let name = stream::order(OrderId(order_id));
    let plan = Plan::new().and::<Order>(name.clone(), order::Command::Place(Box::new(place)));
    (name, plan)
}

fn kinds(records: &[Record]) -> Vec<Vec<&str>> {
    let batches = records.chunk_by(|one, other| one.command_id == other.command_id);
    batches.map(|batch| batch.iter().map(|record| &*record.kind).collect()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkout_goes_on_before_its_placing_is_durable() {
    let house = House::new();
    let executor = house.ahead();
    stocked(&executor, "A", 5).await;
    let before = house.records().await.len();
    house.gate.shut();
    let (name, plan) = placing(1);
    let call = begin(&executor, keyed("order"), plan);
    // The order was told of its units by the second command of the second decision.
    folded_to(&executor, &name, 2).await;
    assert_eq!(house.records().await.len(), before, "nothing is durable");
    house.gate.open(None);
    call.await.unwrap().unwrap();
    still(&executor).await;
    let records = house.records().await;
    let mut batches = kinds(&records[before..]);
    batches[2..].sort();
    let expected: [&[&str]; 4] = [
        &["OrderPlaced", "SagaStarted"],
        &["StockReserved", "SagaDecided"],
        &["AuthorisationRequested"],
        &["LinesReserved", "SagaDecided"],
    ];
    assert_eq!(batches, expected);
    // The placing's group was on its way to the disk; all that came meanwhile is in the next.
    let groups: HashSet<_> = records[before..].iter().map(|record| record.recorded_at).collect();
    assert!(groups.len() <= 2, "{groups:?}");
    let metadata = |at: usize| Metadata::decode(&records[before + at].metadata).unwrap();
    assert!(metadata(1).carried_out, "the runner need not send what it asks for");
    assert!(metadata(2).saga.is_some_and(|saga| saga.starts_with("checkout-")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rests_on_a_placing_that_failed_is_never_written() {
    let house = House::new();
    let executor = house.ahead();
    stocked(&executor, "A", 5).await;
    let before = house.records().await.len();
    house.gate.shut();
    let (name, plan) = placing(1);
    let call = begin(&executor, keyed("order"), plan);
    folded_to(&executor, &name, 2).await;
    house.gate.open(Some(io::ErrorKind::StorageFull));
    let failed = call.await.unwrap();
    assert!(matches!(failed, Err(Error::NotWritten(_))), "{failed:?}");
    still(&executor).await;
    assert_eq!(kinds(&house.records().await[before..]), Vec::<Vec<&str>>::new());
    let (shelf, _) = executor.load::<Stock>(&tenant(), &shelf("A")).await.unwrap();
    assert_eq!(shelf.available(), 5, "no unit is held");
    // The same key again is a new attempt.
    let (_, plan) = placing(1);
    executor.execute(keyed("order"), plan).await.unwrap();
    still(&executor).await;
    assert_eq!(house.records().await.len(), before + 7);
}

/// A service that is elsewhere, and more than an executor may carry out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_for_this_process_is_left_to_the_runner() {
    let house = House::new();
    let without_inventory = house.executor();
    without_inventory.carries_out(Service::Ordering, true);
    stocked(&without_inventory, "A", 5).await;
    let none = house.executor_with(Options { follow_ups: 0, ..Options::default() });
    none.carries_out(Service::Inventory, true);
    for (n, executor) in [without_inventory, none].iter().enumerate() {
        executor.execute(fresh(), placing(n as u128).1).await.unwrap();
        still(executor).await;
    }
    let records = house.records().await;
    assert_eq!(kinds(&records)[1..], [["OrderPlaced", "SagaStarted"]; 2]);
    assert!(records.iter().all(|record| !Metadata::decode(&record.metadata).unwrap().carried_out));
}

/// What a batch may rest on is before it in the log: for a command of a saga that is the decision that asked for it.
fn nothing_hangs(records: &[Record]) -> usize {
    let mut asked = HashSet::new();
    let mut followed = 0;
    for batch in records.chunk_by(|one, other| one.command_id == other.command_id) {
        for record in batch {
            let saga = Metadata::decode(&record.metadata).unwrap().saga;
            if saga.is_some() {
                assert!(asked.contains(&record.command_id), "nobody asked for {} at {}", record.kind, record.position);
                followed += 1;
            }
        }
        for record in batch {
            if let Event::Saga(decision) = streams::event(record).unwrap() {
                asked.extend(decision.asked());
            }
        }
    }
    followed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkouts_in_a_storm_of_failing_groups_rest_on_what_is_in_the_log() {
    let (mut failed, mut followed) = (0, 0);
    for seed in 0..8 {
        let house = House::new();
        let sides = [house.ahead(), house.ahead()];
        stocked(&sides[0], "A", 1_000).await;
        house.gate.flaky(0.4, seed);
        let mut calls = Vec::new();
        for n in 0..60 {
            let executor = &sides[usize::from(n % 5 == 0)];
            calls.push(begin(executor, keyed(&format!("order {n}")), placing(n).1));
            if n % 3 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        for call in calls {
            failed += usize::from(call.await.unwrap().is_err());
        }
        for executor in &sides {
            still(executor).await;
        }
        house.gate.flaky(0.0, seed);
        followed += nothing_hangs(&house.records().await);
    }
    assert!(failed > 0 && followed > 0, "{failed} failed, {followed} followed");
}
