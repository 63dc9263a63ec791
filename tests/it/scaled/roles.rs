//! Every role is killed in turn while buyers buy: its work goes to others or waits, and nothing is lost.

use std::time::{Duration, Instant};

use event_store::{EventStore, Filter};

use super::leases::{first_row, rows_of};
use super::system::System;
use crate::harness::shop;

/// Requests that have to be answered between two faults.
const BETWEEN: u64 = 40;
const WITHIN: Duration = Duration::from_secs(120);

/// An order whose payment is on its way: it is asked for, and the gateway, which has taken the money, does not say so.
async fn pay_without_answer(system: &System, log: &dyn EventStore) -> String {
    let instrument = "sandbox:timeout-after-charge";
    let commands = system.commands();
    shop::receive(&commands, "PAID", 1).await;
    let placed = commands.post("/v1/orders", &shop::order(&[("PAID", 1)], instrument)).await.expect(201);
    let asked = Filter { kinds: vec!["AuthorisationRequested".to_owned()], ..Filter::default() };
    let (mut at, since) = (placed.position.unwrap(), Instant::now());
    loop {
        let page = log.read_log(at, &asked, 1_000).await.unwrap();
        let mut asked = page.records.iter();
        if asked.any(|record| String::from_utf8_lossy(&record.data).contains(instrument)) {
            return placed.text("/order_id");
        }
        assert!(since.elapsed() < WITHIN, "no payment is asked for");
        at = page.next;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_is_killed_in_turn_and_comes_back() {
    let mut system = System::small().await;
    let (history, load) = system.load(6, 11).await;
    load.until_more(BETWEEN, WITHIN).await;
    let log = system.log().await;
    let mut unanswered = Vec::new();
    for role in ["relay", "projections", "sagas", "ordering", "inventory", "payments", "query-api", "command-api"] {
        let held = rows_of(role).is_some();
        let before = match held {
            true => Some(first_row(&*log, role).await),
            false => None,
        };
        if role == "payments" {
            unanswered.push(pay_without_answer(&system, &*log).await);
        }
        system.kill_and_start(role, Duration::from_millis(500)).await;
        load.until_more(BETWEEN, WITHIN).await;
        if let Some(before) = before {
            system.await_taken_over(&*log, role, &before).await;
        }
    }
    for order in unanswered {
        let path = format!("/v1/orders/{order}");
        shop::until(&system.queries(), &path, "confirmed", |order| order["status"] == "confirmed").await;
    }
    log.close().await.unwrap();
    system.prove(history, load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_from_one_that_is_killed_for_good() {
    let mut replicas: Vec<(&str, usize)> = vec![("nats-2", 0), ("nats-3", 0)];
    replicas.extend(["command-api", "query-api", "ordering"].map(|role| (role, 1)));
    let system = System::start(&replicas).await;
    let (history, load) = system.load(6, 12).await;
    load.until_more(BETWEEN, WITHIN).await;
    // The one of the two that is at work is gone, and never comes back.
    let log = system.log().await;
    let mut killed = Vec::new();
    for role in ["relay", "projections", "sagas", "inventory", "payments"] {
        let before = first_row(&*log, role).await;
        let name = system.holder(role, &before).expect("one at work");
        system.cluster.kill(&name).unwrap();
        assert_eq!(system.cluster.pid(&name), None);
        killed.push((role, before));
    }
    for (role, before) in killed {
        system.await_taken_over(&*log, role, &before).await;
    }
    load.until_more(BETWEEN, WITHIN).await;
    log.close().await.unwrap();
    system.prove(history, load).await;
}
