//! A thousand buyers, a hundred units, two inventory processes, and the active one is killed in the middle.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::Method;

use super::leases::first_row;
use super::system::{ROLES, System};
use crate::harness::{Client, shop};

const BUYERS: usize = 1_000;
/// How long a buyer comes again.
const WITHIN: Duration = Duration::from_secs(120);

/// Buys one unit and waits for the verdict; who is told to come again does so under the same key. The order's id.
async fn buy(client: &Client, number: usize) -> String {
    let body = shop::order(&[("HOT", 1)], "sandbox:approve");
    let key = format!("buyer-{number}");
    let headers = [("idempotency-key", key.as_str()), ("prefer", "wait=30")];
    let since = Instant::now();
    loop {
        let answer = client.send(Method::POST, "/v1/orders", &headers, Some(&body)).await;
        if answer.status != 503 || since.elapsed() > WITHIN {
            return answer.expect(201).text("/order_id");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_buyers_while_the_inventory_is_killed() {
    let mut replicas: Vec<(&str, usize)> = vec![("nats-2", 0), ("nats-3", 0)];
    replicas.extend(ROLES.into_iter().filter(|role| *role != "inventory").map(|role| (role, 1)));
    let system = System::start(&replicas).await;
    let client = system.commands();
    shop::receive(&client, "HOT", 100).await;
    let log = system.log().await;
    let before = first_row(&*log, "inventory").await;
    let buyers: Vec<_> = (0..BUYERS)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let since = Instant::now();
                (buy(&client, number).await, since.elapsed())
            })
        })
        .collect();
    // In the middle: some of the stock is promised, and not all of it.
    let reserved = || async {
        let filter = event_store::Filter { kinds: vec!["StockReserved".to_owned()], ..Default::default() };
        log.read_log(0, &filter, 1_000).await.unwrap().records.len()
    };
    let since = Instant::now();
    while reserved().await < 1 {
        assert!(since.elapsed() < WITHIN, "no stock is promised");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let name = system.holder("inventory", &before).expect("the active one");
    system.cluster.kill(&name).unwrap();
    let promised = reserved().await;
    println!("{name} was killed after {promised} units were promised");
    assert!(promised < 100, "the kill came too late to be in the middle");

    let mut times = Vec::new();
    let mut orders = Vec::new();
    for buyer in buyers {
        let (order, took) = buyer.await.unwrap();
        orders.push(order);
        times.push(took);
    }
    times.sort();
    system.await_taken_over(&*log, "inventory", &before).await;
    println!("p50 {:?}, p99 {:?}", times[BUYERS / 2], times[BUYERS * 99 / 100]);
    // Some who waited were told that it takes longer; in the end everybody is told.
    system.ended().await;
    system.quiet(&*log).await;
    let mut verdicts: BTreeMap<String, usize> = BTreeMap::new();
    let queries = system.queries();
    for order in orders {
        let path = format!("/v1/orders/{order}");
        let body = shop::until(&queries, &path, "decided", |order| order["status"] != "pending").await;
        let reason = body["rejection"]["reason"].as_str().unwrap_or("");
        let verdict = format!("{} {reason}", body["status"].as_str().unwrap());
        *verdicts.entry(verdict.trim().to_owned()).or_default() += 1;
    }
    let wanted = BTreeMap::from([("confirmed".to_owned(), 100), ("rejected out_of_stock".to_owned(), 900)]);
    assert_eq!(verdicts, wanted);
    assert_eq!(system.daybook(&["verify"])["holds"], true);
    log.close().await.unwrap();
}
