//! Money and goods over HTTP: whoever moves them, the order knows; every state has its exits; and `verify` finds nothing after each.

use domain::ids::OrderId;
use domain::saga::checkout::payment_of;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::server::verify;
use crate::harness::{Answer, Client, Server, shop};

const UNIT: i64 = 255;

struct Shop {
    folder: tempfile::TempDir,
    server: Server,
    client: Client,
}

impl Shop {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(&folder.path().join("store")).await;
        let client = server.client();
        shop::receive(&client, "RED", 100).await;
        Self { folder, server, client }
    }

    /// A confirmed order of so many units at 2.55: its path.
    async fn order(&self, qty: u32, payment: Value) -> String {
        let mut order = shop::order(&[("RED", qty)], "");
        order["payment"] = payment;
        let placed = self.client.post_and_wait("/v1/orders", &order).await.expect(201);
        format!("/v1/orders/{}", placed.text("/order_id"))
    }

    async fn at_shipment(&self, qty: u32) -> String {
        self.order(qty, json!({ "instrument": "sandbox:approve" })).await
    }

    async fn ask(&self, path: &str, body: Value) -> Answer {
        self.client.post_and_wait(path, &body).await
    }

    async fn until(&self, path: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        shop::until(&self.client, path, what, wanted).await
    }

    /// Everything that was begun is over, and nothing is found.
    async fn close(self) {
        self.server.ended().await;
        let data = self.folder.path().join("store");
        assert!(self.server.stop().success());
        verify(&data);
    }
}

fn pounds(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "GBP" })
}

fn money(order: &Value, name: &str) -> i64 {
    order["payment"][name]["amount"].as_i64().unwrap()
}

fn payment(order: &Value) -> String {
    format!("/v1/payments/{}", order["payment"]["payment_id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_and_let_go_by_hand_reaches_the_order() {
    let shop = Shop::open().await;
    let order = shop.at_shipment(3).await;
    let shown = shop.client.get(&order).await.expect(200).json();
    let taken = shop.ask(&format!("{}/captures", payment(&shown)), json!({ "amount": pounds(3 * UNIT) })).await;
    taken.expect(202);
    shop.until(&order, "told of the capture", |order| {
        money(order, "captured") == 3 * UNIT && money(order, "balance") == 0
    })
    .await;
    shop.ask(&format!("{order}/shipments"), json!({})).await.expect(200);
    let refund = json!({ "amount": pounds(500), "reason": "scratch" });
    let refunded = shop.ask(&format!("{order}/refunds"), refund).await.expect(200).json();
    assert_eq!((refunded["refunds"][0]["status"].as_str(), money(&refunded, "balance")), (Some("done"), 0));

    let order = shop.at_shipment(1).await;
    let shown = shop.client.get(&order).await.expect(200).json();
    shop.ask(&format!("{}/voids", payment(&shown)), json!({})).await.expect(202);
    shop.until(&order, "told of the void", |order| order["payment_status"] == "voided").await;
    let refused = shop.ask(&format!("{order}/shipments"), json!({})).await.expect(409);
    assert_eq!(refused.text("/code"), "not-paid");
    // It is paid another way, and ships.
    let paid =
        shop.ask(&format!("{order}/payments"), json!({ "instrument": "sandbox:approve" })).await.expect(200).json();
    assert_eq!((paid["payments"].as_array().unwrap().len(), money(&paid, "held")), (2, UNIT));
    shop.ask(&format!("{order}/shipments"), json!({})).await.expect(200);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_never_confirms_on_a_payment_that_is_being_let_go() {
    let shop = Shop::open().await;
    let placed = shop.client.post("/v1/orders", &shop::order(&[("RED", 1)], "sandbox:late")).await.expect(201);
    let order = format!("/v1/orders/{}", placed.text("/order_id"));
    let id = payment_of(OrderId(placed.text("/order_id").parse().unwrap()));
    shop.until(&format!("/v1/payments/{id}"), "asked for", |payment| payment["status"] == "authorising").await;
    shop.client.post(&format!("/v1/payments/{id}/voids"), &json!({})).await.expect(202);
    let rejected = shop.until(&order, "rejected", |order| order["status"] == "rejected").await;
    assert_eq!(rejected["rejection"]["reason"], "payment_declined");
    shop.until("/v1/stock/RED", "free again", |body| body.to_string().contains("\"available\":100")).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_stops_captures_on_every_path() {
    let shop = Shop::open().await;
    let order = shop.at_shipment(1).await;
    let hold = shop.ask(&format!("{order}/holds"), json!({ "reason": "fraud_check" })).await.expect(201).json();
    let capture = json!({ "amount": pounds(UNIT) });
    let refused = shop.ask(&format!("{}/captures", payment(&hold)), capture).await.expect(409);
    assert_eq!(refused.text("/code"), "on-hold");
    assert_eq!(shop.ask(&format!("{order}/shipments"), json!({})).await.expect(409).text("/code"), "on-hold");

    let late = json!({ "instrument": "sandbox:late", "capture": "at_confirmation" });
    let mut body = shop::order(&[("RED", 1)], "");
    body["payment"] = late;
    let placed = shop.client.post("/v1/orders", &body).await.expect(201);
    let order = format!("/v1/orders/{}", placed.text("/order_id"));
    let held = shop.client.post(&format!("{order}/holds"), &json!({ "reason": "fraud_check" })).await.expect(201);
    let hold_id = held.text("/holds/0/hold_id");
    let shown = shop.until(&order, "confirmed", |order| order["status"] == "confirmed").await;
    assert_eq!(money(&shown, "captured"), 0);
    let release = format!("{order}/holds/{hold_id}?resolution=fine");
    shop.client.send(Method::DELETE, &release, &[], None).await.expect(200);
    shop.until(&order, "captured", |order| money(order, "captured") == UNIT).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_and_not_needed_is_let_go() {
    let shop = Shop::open().await;
    let order = shop.at_shipment(3).await;
    shop.ask(&format!("{order}/shipments"), json!({ "lines": [{ "line_id": 1, "qty": 1 }] })).await.expect(200);
    shop.ask(&format!("{order}/cancellations"), json!({ "reason": "x" })).await.expect(200);
    let shown = shop.until(&order, "let go", |order| money(order, "voided") == 2 * UNIT).await;
    assert_eq!((shown["status"].as_str(), money(&shown, "held")), (Some("completed"), 0));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_carry_their_money() {
    let shop = Shop::open().await;
    let order = shop.at_shipment(1).await;
    let edit = |qty: u32| json!({ "reason": "r", "changes": [{ "set_qty": { "line_id": 1, "qty": qty } }] });
    let headers = [("prefer", "wait=30"), ("if-match", "*")];
    let change = async |order: &str, qty: u32| {
        shop.client.send(Method::PATCH, &format!("{order}/lines"), &headers, Some(&edit(qty))).await
    };
    let up = change(&order, 3).await.expect(200).json();
    assert_eq!((up["payments"].as_array().unwrap().len(), money(&up, "held")), (2, 3 * UNIT));
    let short = change(&order, 500).await.expect(409);
    assert_eq!(short.text("/code"), "out-of-stock");
    shop.ask(&format!("{order}/shipments"), json!({ "lines": [{ "line_id": 1, "qty": 2 }] })).await.expect(200);
    change(&order, 2).await.expect(200);
    let down = shop.until(&order, "let go", |order| money(order, "held") == 0 && money(order, "voided") == UNIT).await;
    assert_eq!((down["status"].as_str(), money(&down, "captured")), (Some("completed"), 2 * UNIT));

    let paid = shop.order(3, json!({ "instrument": "sandbox:approve", "capture": "at_confirmation" })).await;
    shop.until(&paid, "captured", |order| money(order, "captured") == 3 * UNIT).await;
    let down = change(&paid, 2).await.expect(200).json();
    assert_eq!((money(&down, "refunded"), money(&down, "balance")), (UNIT, 0));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_the_provider_declines_can_be_granted_again() {
    let shop = Shop::open().await;
    let order = shop.order(1, json!({ "instrument": "sandbox:refund-declines" })).await;
    shop.ask(&format!("{order}/shipments"), json!({})).await.expect(200);
    let refund = json!({ "amount": pounds(UNIT), "reason": "first" });
    shop.client.post(&format!("{order}/refunds"), &refund).await.expect(202);
    let shown = shop.until(&order, "failed", |order| order["refunds"][0]["status"] == "failed").await;
    assert_eq!((money(&shown, "failed"), money(&shown, "granted"), money(&shown, "balance")), (UNIT, 0, 0));
    let id = shown["refunds"][0]["refund_id"].as_str().unwrap();
    let again = shop.client.post(&format!("{order}/refunds/{id}/retry"), &json!({})).await.expect(202).json();
    assert_eq!(money(&again, "granted"), UNIT);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_gives_what_is_left_after_goodwill() {
    let shop = Shop::open().await;
    let order = shop.at_shipment(2).await;
    shop.ask(&format!("{order}/shipments"), json!({})).await.expect(200);
    let goodwill = json!({ "amount": pounds(100), "reason": "late" });
    let shown = shop.ask(&format!("{order}/refunds"), goodwill).await.expect(200).json();
    assert_eq!((money(&shown, "balance"), money(&shown, "owed")), (0, 2 * UNIT - 100));
    let lines = json!({ "lines": [{ "line_id": 1, "qty": 2, "reason": "x" }] });
    let announced = shop.ask(&format!("{order}/returns"), lines).await.expect(201);
    let receipt = json!({ "lines": [{ "line_id": 1, "qty": 2, "disposition": "restock" }] });
    shop.ask(&format!("/v1/returns/{}/receipts", announced.text("/returns/0/return_id")), receipt).await.expect(200);
    let shown = shop.until(&order, "given back", |order| money(order, "refunded") == 2 * UNIT).await;
    assert_eq!((money(&shown, "balance"), shown["refunds"].as_array().unwrap().len()), (0, 2));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_goods_are_refunded_or_sent_again_and_may_turn_up() {
    let shop = Shop::open().await;
    let order = shop.at_shipment(3).await;
    let shipped = shop.ask(&format!("{order}/shipments"), json!({})).await.expect(200);
    let shipment = format!("/v1/shipments/{}", shipped.text("/shipments/0/shipment_id"));
    let one = |then: &str| json!({ "lines": [{ "line_id": 1, "qty": 1 }], "then": then });
    let open = shop.ask(&format!("{shipment}/loss"), one("later")).await.expect(200);
    assert_eq!(open.number("/shipments/0/lines/0/undecided"), 1);
    let decided = shop.ask(&format!("{shipment}/loss-decisions"), json!({ "then": "refund" })).await.expect(200).json();
    assert_eq!(money(&decided, "granted"), UNIT);
    let back = json!({ "lines": [{ "line_id": 1, "qty": 3, "reason": "x" }] });
    assert_eq!(shop.ask(&format!("{order}/returns"), back).await.expect(422).text("/code"), "quantity-exceeds-shipped");
    let resent = shop.ask(&format!("{shipment}/loss"), one("resend")).await.expect(200);
    let again = format!("/v1/orders/{}", resent.text("/shipments/0/resent/0"));
    let again = shop.until(&again, "confirmed", |order| order["status"] == "confirmed").await;
    assert_eq!(again["replaces"].as_str().map(|id| format!("/v1/orders/{id}")), Some(order.clone()));
    shop.until(&order, "refunded", |order| money(order, "refunded") == UNIT && money(order, "balance") == 0).await;
    let found = shop.ask(&format!("{shipment}/found"), json!({})).await.expect(200);
    assert_eq!((found.number("/lines/0/lost"), found.number("/lines/0/delivered")), (0, 2));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_of_nothing_sends_nothing_again() {
    let shop = Shop::open().await;
    let order = shop.at_shipment(1).await;
    let shipped = shop.ask(&format!("{order}/shipments"), json!({})).await.expect(200);
    let shipment = format!("/v1/shipments/{}", shipped.text("/shipments/0/shipment_id"));
    let open = shop.ask(&format!("{shipment}/loss"), json!({ "then": "later" })).await.expect(200);
    assert_eq!(open.number("/shipments/0/lines/0/undecided"), 1);
    // Nothing is left to get lost: what was left open before is not decided by the way.
    let again = shop.ask(&format!("{shipment}/loss"), json!({ "then": "resend" })).await.expect(200);
    assert_eq!(again.number("/shipments/0/lines/0/undecided"), 1);
    assert_eq!(again.json()["shipments"][0].get("resent"), open.json()["shipments"][0].get("resent"));
    let decided = shop.ask(&format!("{shipment}/loss-decisions"), json!({ "then": "resend" })).await.expect(200);
    let resent = format!("/v1/orders/{}", decided.text("/shipments/0/resent/0"));
    shop.until(&resent, "confirmed", |order| order["status"] == "confirmed").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_order_is_paid_another_way() {
    let shop = Shop::open().await;
    let pending = shop.order(2, json!({ "instrument": "sandbox:decline", "retry_for_s": 600 })).await;
    let shown = shop.until(&pending, "declined", |order| order["payment_status"] == "declined").await;
    assert_eq!((shown["status"].as_str(), shown["stock_status"].as_str()), (Some("pending"), Some("reserved")));
    let cash = json!({ "method": "external", "amount": pounds(100), "reference": "till 3" });
    shop.ask(&format!("{pending}/payments"), cash).await.expect(200);
    shop.ask(&format!("{pending}/payments"), json!({ "instrument": "sandbox:approve" })).await.expect(200);
    let shown = shop.until(&pending, "confirmed", |order| order["status"] == "confirmed").await;
    assert_eq!((money(&shown, "held"), money(&shown, "captured")), (2 * UNIT - 100, 100));
    shop.ask(&format!("{pending}/shipments"), json!({})).await.expect(200);
    shop.until(&pending, "paid", |order| order["status"] == "completed" && money(order, "balance") == 0).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_came_another_way_goes_back_by_hand() {
    let shop = Shop::open().await;
    let order = shop.order(2, json!({ "capture": "pay_later" })).await;
    shop.ask(&format!("{order}/shipments"), json!({})).await.expect(200);
    let transfer = json!({ "method": "external", "amount": pounds(2 * UNIT), "reference": "transfer 7" });
    let paid = shop.ask(&format!("{order}/payments"), transfer).await.expect(200).json();
    assert_eq!(money(&paid, "balance"), 0);
    let refund = json!({ "lines": [{ "line_id": 1, "qty": 1, "amount": pounds(UNIT) }], "reason": "scratched" });
    let granted = shop.ask(&format!("{order}/refunds"), refund).await.expect(200).json();
    assert_eq!(granted["refunds"][0]["status"], "owed_by_hand");
    let id = granted["refunds"][0]["refund_id"].as_str().unwrap();
    let told = json!({ "reference": "transfer 8" });
    let done = shop.ask(&format!("{order}/refunds/{id}/paid"), told).await.expect(200).json();
    assert_eq!((done["refunds"][0]["status"].as_str(), money(&done, "refunded")), (Some("done"), UNIT));
    shop.close().await;
}
