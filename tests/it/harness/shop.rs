//! A shop with something to sell: bodies of requests, and orders brought to a stage.

use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Answer, Client};

/// Puts units of a SKU on the shelf.
pub(crate) async fn receive(client: &Client, sku: &str, qty: u32) -> Answer {
    client.post(&format!("/v1/stock/{sku}/receipts"), &json!({ "qty": qty })).await.expect(201)
}

/// An order of units at 2.55 each.
pub(crate) fn order(lines: &[(&str, u32)], instrument: &str) -> Value {
    let lines: Vec<Value> = lines
        .iter()
        .enumerate()
        .map(|(at, (sku, qty))| json!({ "line_id": at + 1, "sku": sku, "title": format!("A {sku}"), "qty": qty, "unit_price": "2.55" }))
        .collect();
    json!({ "currency": "GBP", "lines": lines, "payment": { "instrument": instrument } })
}

/// Places an order and waits for the saga's verdict.
pub(crate) async fn place(client: &Client, lines: &[(&str, u32)], instrument: &str) -> Answer {
    client.post_and_wait("/v1/orders", &order(lines, instrument)).await.expect(201)
}

/// How long anything may take to come about: a debug build on a machine that has much else to do.
const WITHIN: Duration = Duration::from_secs(120);

/// Asks again until what is shown is as wanted; `wanted` says all that the test goes on to claim of it. Panics with the last answer if it
/// does not come to that.
pub(crate) async fn until(client: &Client, path: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let since = Instant::now();
    loop {
        let answer = client.get(path).await;
        if answer.status == 200 {
            let shown = answer.json();
            if wanted(&shown) {
                return shown;
            }
        }
        assert!(since.elapsed() < WITHIN, "{path} does not come to be {what}: {} {}", answer.status, answer.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The log's last position; what this client reads afterwards is at least as new.
pub(crate) async fn head(client: &Client) -> u64 {
    let head = client.get("/v1/events?limit=1").await.expect(200).json()["head"].as_u64().unwrap();
    client.saw(head);
    head
}

/// Ids that a server knows, for requests that should get further than "there is no such".
pub(crate) struct KnownIds {
    pub(crate) skus: Vec<String>,
    orders: Vec<String>,
    others: Vec<(&'static str, String)>,
}

impl KnownIds {
    /// Any id there is, or a fresh one.
    pub(crate) fn any_uuid(&self, rng: &mut StdRng) -> String {
        let known: Vec<&String> = self.orders.iter().chain(self.others.iter().map(|(_, id)| id)).collect();
        if rng.random_bool(0.5) {
            known.choose(rng).map(|id| (*id).clone()).unwrap_or_default()
        } else {
            Uuid::now_v7().to_string()
        }
    }

    /// What stands in a path: an id of the resource that the path names.
    pub(crate) fn for_path(&self, rng: &mut StdRng, path: &str, otherwise: &str) -> String {
        let resource = path.split('/').nth(2).unwrap_or_default();
        let of_resource: Vec<&String> =
            self.others.iter().filter(|(name, _)| *name == resource).map(|(_, id)| id).collect();
        match resource {
            "orders" if rng.random_bool(0.9) => self.orders.choose(rng).cloned().unwrap_or_default(),
            "stock" => self.skus.choose(rng).cloned().unwrap_or_default(),
            "projections" => "order_list".to_owned(),
            _ if rng.random_bool(0.9) && !of_resource.is_empty() => {
                of_resource.choose(rng).map(|id| (*id).clone()).unwrap_or_default()
            }
            _ => otherwise.to_owned(),
        }
    }
}

/// Fills a shop: orders at several stages, a reservation, a payment, a shipment, a return.
pub(crate) async fn known_ids(client: &Client) -> KnownIds {
    let skus: Vec<String> = (1..=6).map(|number| format!("SKU-{number}")).collect();
    for sku in &skus {
        receive(client, sku, 100_000).await;
    }
    let mut orders = Vec::new();
    let mut others = Vec::new();
    for number in 0..12 {
        let placed = place(client, &[(&skus[number % 6], 5), (&skus[(number + 1) % 6], 3)], "sandbox:approve").await;
        let order_id = placed.text("/order_id");
        others.push(("payments", placed.text("/payment/payment_id")));
        if number % 3 == 0 {
            let shipped =
                client.post_and_wait(&format!("/v1/orders/{order_id}/shipments"), &json!({})).await.expect(200);
            others.push(("shipments", shipped.text("/shipments/0/shipment_id")));
            let lines = json!({ "lines": [{ "line_id": 1, "qty": 1, "reason": "too big" }] });
            let returned = client.post(&format!("/v1/orders/{order_id}/returns"), &lines).await.expect(201);
            others.push(("returns", returned.text("/returns/0/return_id")));
        }
        orders.push(order_id);
    }
    let held = client.post("/v1/reservations", &json!({ "items": [{ "sku": skus[0], "qty": 2 }] })).await.expect(201);
    others.push(("reservations", held.text("/reservation_id")));
    KnownIds { skus, orders, others }
}
