//! The ends of authorisations over HTTP, by a clock that is advanced: what is still needed is held again before its end, or the order waits
//! on hold for somebody who sees to it; and `verify` finds nothing after each.

use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Client, Server, shop};
use crate::scaled::system::System;

const UNIT: i64 = 255;
const DAY: u32 = 86_400;
/// The sandbox holds money for a week.
const NEAR: u32 = 6 * DAY + 60;

struct Shop {
    folder: tempfile::TempDir,
    server: Server,
    client: Client,
}

fn arguments(policy: &str) -> [String; 4] {
    ["--set".into(), "store.test_clock=true".into(), "--set".into(), format!("payments.on_expiry={policy}")]
}

impl Shop {
    async fn open(policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = start(folder.path().join("store"), policy).await;
        let client = server.client();
        shop::receive(&client, "RED", 100).await;
        Self { folder, server, client }
    }

    async fn order(&self, payment: Value) -> String {
        order(&self.client, payment).await
    }

    async fn ask(&self, path: &str, body: Value) -> Answer {
        self.client.post_and_wait(path, &body).await
    }

    async fn until(&self, path: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        shop::until(&self.client, path, what, wanted).await
    }

    async fn release(&self, order: &str) {
        let shown = self.client.get(order).await.expect(200);
        let path = format!("{order}/holds/{}?resolution=paid", shown.text("/holds/0/hold_id"));
        self.client.send(Method::DELETE, &path, &[], None).await.expect(200);
    }

    async fn ship(&self, order: &str) -> Value {
        self.ask(&format!("{order}/shipments"), json!({})).await.expect(200);
        self.until(order, "completed", |order| order["status"] == "completed").await
    }

    /// The orders that the filter finds.
    async fn found(&self) -> Vec<String> {
        shop::head(&self.client).await;
        let list = self.client.get("/v1/orders?payment_ending=true").await.expect(200).json();
        let items = list["items"].as_array().unwrap();
        items.iter().map(|item| format!("/v1/orders/{}", item["order_id"].as_str().unwrap())).collect()
    }

    /// Everything that was begun is over, and nothing is found.
    async fn close(self) {
        let proof = self.server.ended().await;
        assert_eq!(proof["holds"], true, "{proof:#}");
        assert!(self.server.stop().success());
        drop(self.folder);
    }
}

async fn start(data: PathBuf, policy: &str) -> Server {
    let arguments = arguments(policy);
    Server::start_with(&data, &arguments.each_ref().map(String::as_str)).await
}

/// A confirmed order of two units at 2.55: its path.
async fn order(client: &Client, payment: Value) -> String {
    let mut order = shop::order(&[("RED", 2)], "");
    order["payment"] = payment;
    let placed = client.post_and_wait("/v1/orders", &order).await.expect(201);
    format!("/v1/orders/{}", placed.text("/order_id"))
}

async fn advance(client: &Client, seconds: u32) {
    client.post("/v1/test-clock", &json!({ "advance_s": seconds })).await.expect(200);
}

fn money(order: &Value, name: &str) -> i64 {
    order["payment"][name]["amount"].as_i64().unwrap()
}

fn of(order: &Value, payment: usize, name: &str) -> i64 {
    order["payments"][payment][name]["amount"].as_i64().unwrap_or(-1)
}

fn waits_for(reason: &'static str) -> impl Fn(&Value) -> bool {
    move |order| order["holds"].as_array().is_some_and(|holds| holds.iter().any(|hold| hold["reason"] == reason))
}

/// Held with another authorisation, and the first one is released at the provider.
fn is_renewed(order: &Value) -> bool {
    of(order, 0, "voided") == 2 * UNIT && of(order, 1, "authorised") == 2 * UNIT && order["payment_ending"] == false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_still_needed_is_held_again_a_day_before_its_end() {
    let shop = Shop::open("reauthorise").await;
    let order = shop.order(json!({ "instrument": "sandbox:approve" })).await;
    let sent = shop.order(json!({ "instrument": "sandbox:approve" })).await;
    shop.ship(&sent).await;
    let before = shop.client.get(&order).await.expect(200).json();
    assert_eq!(
        (before["payments"][0]["ending"].as_bool(), before["payment_ending"].as_bool()),
        (Some(false), Some(false))
    );
    advance(&shop.client, NEAR).await;
    let shown = shop.until(&order, "held again", is_renewed).await;
    assert_eq!(shown["payments"][1]["replaces"], shown["payments"][0]["payment_id"]);
    assert_eq!((money(&shown, "held"), shown["holds"].as_array().unwrap().len()), (2 * UNIT, 0));
    assert!(shown["payments"][1]["capture_before"].as_str() > before["payments"][0]["capture_before"].as_str());
    // What was taken has no end.
    let events = shop.client.get(&format!("{sent}/events?limit=200")).await.expect(200).body;
    assert!(!events.contains("AuthorisationEnding"), "{events}");
    // The process may end in between: what is near is found by the next one.
    let Shop { folder, server, client } = shop;
    advance(&client, 6 * DAY).await;
    assert!(server.stop().success());
    let server = start(folder.path().join("store"), "reauthorise").await;
    let shop = Shop { folder, client: server.client(), server };
    shop.until(&order, "held for a third time", |order| {
        of(order, 1, "voided") == 2 * UNIT && of(order, 2, "authorised") == 2 * UNIT
    })
    .await;
    let shown = shop.ship(&order).await;
    assert_eq!((of(&shown, 0, "captured"), of(&shown, 1, "captured"), of(&shown, 2, "captured")), (0, 0, 2 * UNIT));
    assert_eq!(money(&shown, "balance"), 0);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_is_held_again_the_order_waits_for_somebody() {
    let shop = Shop::open("hold").await;
    let near = shop.order(json!({ "instrument": "sandbox:approve" })).await;
    advance(&shop.client, DAY).await;
    let other = shop.order(json!({ "instrument": "sandbox:approve" })).await;
    assert_eq!(shop.found().await, Vec::<String>::new());
    advance(&shop.client, NEAR - DAY).await;
    let shown = shop.until(&near, "on hold", waits_for("authorisation_ending")).await;
    assert_eq!((shown["payments"][0]["ending"].as_bool(), shown["payment_ending"].as_bool()), (Some(true), Some(true)));
    assert_eq!(shop.found().await, std::slice::from_ref(&near));
    let refused = shop.ask(&format!("{near}/shipments"), json!({})).await.expect(409);
    assert_eq!(refused.text("/code"), "on-hold");
    let paid =
        shop.ask(&format!("{near}/payments"), json!({ "instrument": "sandbox:approve" })).await.expect(200).json();
    assert_eq!(
        (of(&paid, 1, "authorised"), &paid["payments"][1]["replaces"]),
        (2 * UNIT, &paid["payments"][0]["payment_id"])
    );
    assert_eq!(shop.found().await, Vec::<String>::new());
    shop.release(&near).await;
    let shown = shop.ship(&near).await;
    assert_eq!((of(&shown, 0, "captured"), of(&shown, 1, "captured")), (0, 2 * UNIT));

    // Nobody sees to the other one in time.
    advance(&shop.client, DAY).await;
    shop.until(&other, "on hold", waits_for("authorisation_ending")).await;
    shop.release(&other).await;
    advance(&shop.client, DAY).await;
    let shown = shop.until(&other, "on hold again", waits_for("authorisation_expired")).await;
    assert_eq!((of(&shown, 0, "voided"), shown["payments"][0]["expired"].as_bool()), (2 * UNIT, Some(true)));
    assert_eq!(shop.found().await, std::slice::from_ref(&other));
    let cash = json!({ "method": "external", "reference": "till 3" });
    let paid = shop.ask(&format!("{other}/payments"), cash).await.expect(200).json();
    assert_eq!((money(&paid, "captured"), money(&paid, "balance")), (2 * UNIT, 0));
    shop.release(&other).await;
    shop.ship(&other).await;
    assert_eq!(shop.found().await, Vec::<String>::new());
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_held_again_is_seen_to_by_hand() {
    let shop = Shop::open("reauthorise").await;
    let declined = shop.order(json!({ "instrument": "sandbox:once" })).await;
    let unable = shop.order(json!({ "instrument": "sandbox:plain" })).await;
    advance(&shop.client, NEAR).await;
    let shown = shop.until(&declined, "on hold", waits_for("authorisation_ending")).await;
    assert_eq!((shown["payments"][1]["status"].as_str(), money(&shown, "held")), (Some("declined"), 2 * UNIT));
    let shown = shop.until(&unable, "on hold", waits_for("authorisation_ending")).await;
    assert_eq!(shown["payments"].as_array().unwrap().len(), 1);
    let mut found = shop.found().await;
    found.sort();
    let mut both = vec![declined.clone(), unable.clone()];
    both.sort();
    assert_eq!(found, both);
    // One leaves in time, the other is paid with another card.
    shop.release(&unable).await;
    let shown = shop.ship(&unable).await;
    assert_eq!(of(&shown, 0, "captured"), 2 * UNIT);
    shop.ask(&format!("{declined}/payments"), json!({ "instrument": "sandbox:approve" })).await.expect(200);
    shop.release(&declined).await;
    let shown = shop.ship(&declined).await;
    assert_eq!((of(&shown, 0, "captured"), of(&shown, 2, "captured")), (0, 2 * UNIT));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_passes_while_nobody_runs_is_seen_to_afterwards() {
    let shop = Shop::open("reauthorise").await;
    let order = shop.order(json!({ "instrument": "sandbox:approve" })).await;
    let held = shop.order(json!({ "instrument": "sandbox:once" })).await;
    advance(&shop.client, 10 * DAY).await;
    // Both facts of an end that is long over come at once.
    let shown = shop.until(&order, "held again", |order| of(order, 1, "authorised") == 2 * UNIT).await;
    assert_eq!((shown["holds"].as_array().unwrap().len(), money(&shown, "held")), (0, 2 * UNIT));
    shop.until(&held, "on hold", |order| {
        waits_for("authorisation_expired")(order) || waits_for("authorisation_ending")(order)
    })
    .await;
    shop.until(&held, "expired", |order| order["payments"][0]["expired"] == true).await;
    shop.ship(&order).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_processes_one_watches_over_the_ends() {
    let mut replicas = vec![("nats-2", 0), ("nats-3", 0), ("payments", 2)];
    let one = ["command-api", "query-api", "relay", "projections", "sagas", "ordering", "inventory"];
    replicas.extend(one.map(|role| (role, 1)));
    let system = System::for_a_test(&replicas).await;
    let (commands, queries) = (system.commands(), system.queries());
    shop::receive(&commands, "RED", 10).await;
    let order = order(&commands, json!({ "instrument": "sandbox:approve" })).await;
    advance(&commands, NEAR).await;
    let shown = shop::until(&queries, &order, "held again", is_renewed).await;
    assert_eq!(shown["payments"].as_array().unwrap().len(), 2);
    assert_eq!(system.ended().await["holds"], true);
}
