//! The clock of a test, over HTTP: what waits for a time happens when the clock is advanced to it, embedded and scaled; no other store has
//! such a clock.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use domain::time::Timestamp;
use serde_json::{Value, json};

use crate::harness::server::daybook;
use crate::harness::{Client, Server, shop};
use crate::scaled::system::System;

const ON: [&str; 2] = ["--set", "store.test_clock=true"];
const HOUR: u32 = 3_600;
/// What waits for a time happens so soon after the clock is advanced to it, on a machine that has much else to do.
const SOON: Duration = Duration::from_secs(20);

async fn now(client: &Client) -> Timestamp {
    client.get("/v1/test-clock").await.expect(200).text("/now").parse().unwrap()
}

async fn advance(client: &Client, seconds: u32) -> Timestamp {
    let answer = client.post("/v1/test-clock", &json!({ "advance_s": seconds })).await.expect(200);
    answer.text("/now").parse().unwrap()
}

/// A reservation of four units for half an hour, and a confirmed order with a hold for an hour: the paths of both, and the hold's end.
async fn waiting(client: &Client) -> (String, String, Timestamp) {
    shop::receive(client, "RED", 10).await;
    let wanted = json!({ "items": [{ "sku": "RED", "qty": 4 }], "hold_for_s": HOUR / 2 });
    let reservation = client.post("/v1/reservations", &wanted).await.expect(201).location.unwrap();
    let order = shop::place(client, &[("RED", 2)], "sandbox:approve").await.expect(201);
    let order = format!("/v1/orders/{}", order.text("/order_id"));
    let until = now(client).await.plus_seconds(HOUR);
    let hold = json!({ "reason": "fraud_check", "until": until });
    client.post(&format!("{order}/holds"), &hold).await.expect(201);
    (reservation, order, until)
}

async fn soon(client: &Client, path: &str, what: &str, wanted: impl Fn(&Value) -> bool) {
    let since = Instant::now();
    shop::until(client, path, what, wanted).await;
    assert!(since.elapsed() < SOON, "{what} after {:?}", since.elapsed());
}

/// Whoever advances the clock sees both end, each at its time and not before.
async fn both_end(commands: &Client, queries: &Client) {
    let (reservation, order, until) = waiting(commands).await;
    let answered = advance(commands, HOUR / 2 + 1).await;
    soon(queries, &reservation, "expired", |shown| shown["status"] == "expired").await;
    let held = queries.get(&order).await.expect(200).json();
    assert_eq!(held["holds"].as_array().map(Vec::len), Some(1), "{held}");
    assert!(answered < until);
    advance(commands, HOUR / 2).await;
    soon(queries, &order, "released", |shown| shown["holds"].as_array().is_none_or(Vec::is_empty)).await;
    let events = queries.get(&format!("{order}/events?limit=200")).await.expect(200).json();
    let released = events["items"].as_array().unwrap().iter().find(|event| event["type"] == "HoldReleased");
    let released = released.unwrap_or_else(|| panic!("{events:#}"));
    assert_eq!(released["data"]["resolution"], "until");
    let at: Timestamp = released["recorded_at"].as_str().unwrap().parse().unwrap();
    assert!(at >= until, "recorded by the clock that was advanced: {at}");
    let stock = queries.get("/v1/stock/RED").await.expect(200).json();
    assert_eq!(stock["locations"][0]["reserved"], 2, "{stock}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_time_happens_when_the_clock_is_advanced_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let server = Server::start_with(&data, &ON).await;
    let client = server.client();
    both_end(&client, &client).await;
    for body in [json!({}), json!({ "advance_s": 0 }), json!({ "advance_s": -1 }), json!({ "advance_s": 31_622_401 })] {
        client.post("/v1/test-clock", &body).await.expect(400);
    }
    // It goes on from where it was, in the next process as well.
    let before = now(&client).await;
    assert!(server.stop().success());
    let server = Server::start_with(&data, &ON).await;
    let after = now(&server.client()).await;
    assert!(after >= before && after < before.plus_seconds(600), "{before} and then {after}");
    assert_eq!(server.ended().await["holds"], true);
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_go_by_one_clock() {
    let mut replicas = vec![("nats-2", 0), ("nats-3", 0), ("command-api", 2)];
    let one = ["query-api", "relay", "projections", "sagas", "ordering", "inventory", "payments"];
    replicas.extend(one.map(|role| (role, 1)));
    let system = System::for_a_test(&replicas).await;
    let (commands, queries) = (system.commands(), system.queries());
    both_end(&commands, &queries).await;
    // What one process was told, another one sees.
    let advanced = advance(&commands, 24 * HOUR).await;
    let since = Instant::now();
    let other = Client::new(&system.endpoints().commands[1]);
    while now(&other).await < advanced {
        assert!(since.elapsed() < Duration::from_secs(2), "the other process is behind");
    }
    assert_eq!(system.ended().await["holds"], true);
}

/// `daybook serve` on a store that it does not open.
fn refused(data: &Path, arguments: &[&str]) -> Output {
    let mut serve = daybook();
    serve.args(["serve", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"]).args(arguments);
    serve.output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_for_a_test_or_for_a_shop_and_never_becomes_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let (shops, tests) = (folder.path().join("shop"), folder.path().join("test"));
    let server = Server::start(&shops).await;
    let client = server.client();
    for answer in [client.get("/v1/test-clock").await, client.post("/v1/test-clock", &json!({ "advance_s": 1 })).await]
    {
        assert_eq!(answer.expect(404).text("/code"), "not-found");
    }
    assert!(server.stop().success());
    assert!(Server::start_with(&tests, &ON).await.stop().success());
    for (data, arguments, said) in [(&shops, &ON[..], "never gets one"), (&tests, &[][..], "it has a test clock")] {
        let output = refused(data, arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(said) && told.contains("store.test_clock"), "{told}");
    }
    // Neither has suffered from it.
    assert!(Server::start(&shops).await.stop().success());
    assert!(Server::start_with(&tests, &ON).await.stop().success());
}
