//! An order's life over HTTP: placed, reserved, authorised, confirmed, shipped, captured, returned, refunded; and each way of not getting there.

use serde_json::json;

use crate::harness::{Client, Server, shop};

async fn shop_with(stock: &[(&str, u32)]) -> (tempfile::TempDir, Server, Client) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("store")).await;
    let client = server.client();
    for (sku, qty) in stock {
        shop::receive(&client, sku, *qty).await;
    }
    (folder, server, client)
}

async fn stock(client: &Client, sku: &str) -> (i64, i64, i64) {
    shop::head(client).await;
    let body = client.get(&format!("/v1/stock/{sku}")).await.expect(200).json();
    let number = |name: &str| body["locations"][0][name].as_i64().unwrap();
    (number("on_hand"), number("reserved"), number("available"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_placed_shipped_paid_returned_and_refunded() {
    let (_folder, server, client) = shop_with(&[("RED", 10), ("BLUE", 10)]).await;
    let placed = shop::place(&client, &[("RED", 3), ("BLUE", 2)], "sandbox:approve").await;
    let order_id = placed.text("/order_id");
    assert_eq!(placed.text("/status"), "confirmed");
    assert_eq!(placed.text("/stock_status"), "reserved");
    assert_eq!(placed.text("/payment_status"), "authorised");
    assert_eq!(placed.number("/totals/total/amount"), 5 * 255);
    assert_eq!(stock(&client, "RED").await, (10, 3, 7));

    let shipped = client
        .post_and_wait(&format!("/v1/orders/{order_id}/shipments"), &json!({ "lines": [{ "line_id": 1, "qty": 3 }] }))
        .await
        .expect(200);
    assert_eq!(shipped.text("/shipments/0/status"), "dispatched");
    let path = format!("/v1/orders/{order_id}");
    shop::until(&client, &path, "shipped in part and captured for that", |order| {
        order["payment_status"] == "part_captured"
            && order["payment"]["captured"]["amount"] == 3 * 255
            && order["fulfilment_status"] == "part_shipped"
    })
    .await;
    client.post_and_wait(&format!("/v1/orders/{order_id}/shipments"), &json!({})).await.expect(200);
    let order = shop::until(&client, &path, "completed and captured", |order| {
        order["status"] == "completed"
            && order["payment_status"] == "captured"
            && order["payment"]["captured"]["amount"] == 5 * 255
    })
    .await;

    let shipment = order["shipments"][0]["shipment_id"].as_str().unwrap();
    client.post(&format!("/v1/shipments/{shipment}/delivery"), &json!({})).await.expect(200);
    let lines = json!({ "lines": [{ "line_id": 1, "qty": 2, "reason": "too red" }] });
    let announced = client.post(&format!("/v1/orders/{order_id}/returns"), &lines).await.expect(201);
    let return_id = announced.text("/returns/0/return_id");
    let received = json!({ "lines": [{ "line_id": 1, "qty": 1, "disposition": "restock" }, { "line_id": 1, "qty": 1, "disposition": "damaged" }] });
    client.post(&format!("/v1/returns/{return_id}/receipts"), &received).await.expect(200);
    shop::until(&client, &path, "returned and refunded in part", |order| {
        order["payment"]["refunded"]["amount"] == 2 * 255
            && order["payment_status"] == "part_refunded"
            && order["return_status"] == "part_returned"
    })
    .await;
    shop::until(&client, "/v1/stock/RED", "settled", |body| body.to_string().contains("\"on_hand\":8")).await;

    // The history tells who, what, why; an order as of its second version is the order as it was.
    let kinds = [
        "OrderPlaced",
        "StockReserved",
        "PaymentAuthorised",
        "OrderConfirmed",
        "ShipmentDispatched",
        "PaymentCaptured",
        "ReturnReceived",
        "RefundSettled",
    ];
    shop::until(&client, &format!("{path}/timeline?limit=200"), "whole", |timeline| {
        let told = timeline.to_string();
        kinds.iter().all(|kind| told.contains(kind))
    })
    .await;
    let before = client.get(&format!("/v1/orders/{order_id}?as_of_version=1")).await.expect(200);
    assert_eq!(before.text("/status"), "pending");
    let changes = client.get(&format!("/v1/orders/{order_id}/diff?from=v1&to=v2")).await.expect(200).body;
    assert!(changes.contains("/status") || changes.contains("reserved"), "{changes}");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_undone() {
    let (_folder, _server, client) = shop_with(&[("RED", 10)]).await;
    let short = shop::place(&client, &[("RED", 3), ("NONE", 1)], "sandbox:approve").await;
    assert_eq!(short.text("/status"), "rejected");
    assert_eq!(short.text("/rejection/reason"), "out_of_stock");
    assert_eq!(short.number("/rejection/shortfalls/0/wanted"), 1);
    let declined = shop::place(&client, &[("RED", 3)], "sandbox:decline").await;
    assert_eq!(declined.text("/status"), "rejected");
    assert_eq!(declined.text("/rejection/reason"), "payment_declined");
    shop::until(&client, "/v1/stock/RED", "free again", |body| body.to_string().contains("\"available\":10")).await;

    let mut refused = shop::order(&[("RED", 30)], "sandbox:approve");
    refused["on_refusal"] = json!("problem");
    let problem = client.post_and_wait("/v1/orders", &refused).await.expect(409);
    assert_eq!(problem.text("/code"), "out-of-stock");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charge_that_answered_nothing_is_found_and_charged_once() {
    let (_folder, _server, client) = shop_with(&[("RED", 10)]).await;
    let placed =
        client.post("/v1/orders", &shop::order(&[("RED", 1)], "sandbox:timeout-after-charge")).await.expect(201);
    let path = format!("/v1/orders/{}", placed.text("/order_id"));
    let order = shop::until(&client, &path, "confirmed and authorised", |order| {
        order["status"] == "confirmed" && order["payment"]["authorised"]["amount"] == 255
    })
    .await;
    let payment =
        client.get(&format!("/v1/payments/{}", order["payment"]["payment_id"].as_str().unwrap())).await.expect(200);
    assert_eq!(payment.number("/authorised/amount"), 255);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmed_order_is_cancelled_and_everything_is_given_back() {
    let (_folder, _server, client) = shop_with(&[("RED", 10)]).await;
    let order_id = shop::place(&client, &[("RED", 4)], "sandbox:approve").await.text("/order_id");
    let path = format!("/v1/orders/{order_id}");
    let part = json!({ "lines": [{ "line_id": 1, "qty": 1 }], "reason": "one too many" });
    client.post_and_wait(&format!("{path}/cancellations"), &part).await;
    shop::until(&client, "/v1/stock/RED", "partly free", |body| body.to_string().contains("\"reserved\":3")).await;
    client.post_and_wait(&format!("{path}/cancellations"), &json!({ "reason": "changed my mind" })).await;
    shop::until(&client, &path, "cancelled and given back", |order| {
        order["status"] == "cancelled" && order["payment_status"] == "voided"
    })
    .await;
    shop::until(&client, "/v1/stock/RED", "free", |body| body.to_string().contains("\"reserved\":0")).await;
    let again = client.post(&format!("{path}/shipments"), &json!({})).await;
    assert_eq!(again.status, 409, "{}", again.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_version_is_told_what_happened_since() {
    let (_folder, _server, client) = shop_with(&[("RED", 10)]).await;
    let placed = shop::place(&client, &[("RED", 1)], "sandbox:approve").await;
    let path = format!("/v1/orders/{}/shipping-address", placed.text("/order_id"));
    let address =
        json!({ "ship_to": { "name": "A. Buyer", "lines": ["1 High Street"], "city": "York", "country": "GB" } });
    let patch = |etag: &'static str| {
        let (client, path, address) = (client.clone(), path.clone(), address.clone());
        async move { client.send(reqwest::Method::PATCH, &path, &[("if-match", etag)], Some(&address)).await }
    };
    let stale = patch("\"v1\"").await.expect(412);
    assert_eq!(stale.text("/code"), "version-mismatch");
    assert!(stale.body.contains("OrderConfirmed"), "{}", stale.body);
    let missing = client.send(reqwest::Method::PATCH, &path, &[], Some(&address)).await;
    assert_eq!(missing.status, 428, "{}", missing.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_writes_nothing_and_tells_what_it_would() {
    let (_folder, _server, client) = shop_with(&[("RED", 10)]).await;
    let before = shop::head(&client).await;
    let dry = client.post("/v1/orders?dry_run=true", &shop::order(&[("RED", 1)], "sandbox:approve")).await.expect(200);
    let kinds: Vec<String> = dry.json()["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect();
    assert!(kinds.contains(&"OrderPlaced".to_owned()), "{kinds:?}");
    assert_eq!(shop::head(&client).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_ends_by_itself_or_by_hand() {
    let (_folder, _server, client) = shop_with(&[("RED", 10), ("BLUE", 5)]).await;
    let items = json!([{ "sku": "RED", "qty": 4 }, { "sku": "BLUE", "qty": 5 }]);
    let short = client.post("/v1/reservations", &json!({ "items": items, "hold_for_s": 10 })).await.expect(201);
    let refused = client
        .post("/v1/reservations", &json!({ "items": [{ "sku": "RED", "qty": 1 }, { "sku": "BLUE", "qty": 1 }] }))
        .await
        .expect(409);
    assert_eq!(refused.text("/code"), "out-of-stock");
    let path = format!("/v1/reservations/{}", short.text("/reservation_id"));
    shop::until(&client, &path, "expired", |body| body["status"] == "expired").await;
    shop::until(&client, "/v1/stock/BLUE", "free", |body| body.to_string().contains("\"available\":5")).await;
    let held = client.post("/v1/reservations", &json!({ "items": items })).await.expect(201);
    let path = format!("/v1/reservations/{}", held.text("/reservation_id"));
    let released = client.send(reqwest::Method::DELETE, &path, &[], None).await.expect(200);
    assert_eq!(released.text("/status"), "released");
    let gone = client.send(reqwest::Method::DELETE, &path, &[("idempotency-key", "another")], None).await;
    assert!([200, 409].contains(&gone.status), "{}", gone.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_page_through_every_order_once() {
    let (_folder, _server, client) = shop_with(&[("RED", 1_000)]).await;
    for _ in 0..25 {
        shop::place(&client, &[("RED", 1)], "sandbox:approve").await;
    }
    shop::head(&client).await;
    let mut seen = std::collections::BTreeSet::new();
    let mut path = "/v1/orders?limit=7&status[eq]=confirmed&count=exact".to_owned();
    loop {
        let page = client.get(&path).await.expect(200).json();
        let items = page["items"].as_array().unwrap();
        for item in items {
            assert!(seen.insert(item["order_id"].as_str().unwrap().to_owned()), "seen twice: {item}");
        }
        let Some(cursor) = page["next"].as_str() else {
            break;
        };
        path = format!("/v1/orders?limit=7&status[eq]=confirmed&cursor={cursor}");
    }
    assert_eq!(seen.len(), 25);
}
