//! Representative commands, from request to answer.

use super::*;

#[tokio::test]
async fn an_order_is_placed_and_shown() {
    let server = Server::new();
    let told = server.send(post("/v1/orders", order_of(Some("536365")))).await;
    assert_eq!(told.status, StatusCode::CREATED);
    let order = told.json();
    let id = order_id(&told);
    assert_eq!(told.header("location"), Some(&*format!("/v1/orders/{id}")));
    assert_eq!(told.header("etag"), Some("\"v1\""));
    assert_eq!(told.header("daybook-position"), Some("3"));
    assert_eq!(told.header("idempotent-replayed"), None);
    assert_eq!(order["status"], "pending");
    assert_eq!(order["stock_status"], "none");
    assert_eq!(order["fulfilment_status"], "unfulfilled");
    assert_eq!(order["totals"]["total"], json!({"amount": 1530, "currency": "GBP"}));
    assert_eq!(order["lines"][0]["sku"], "85123A");
    assert_eq!(order["lines"][0]["unassigned"], 6);
    assert_eq!(order["external_ref"], "536365");
}

#[tokio::test]
async fn a_total_that_is_not_the_lines_is_refused_with_both_breakdowns() {
    let server = Server::new();
    let mut body = order_of(None);
    body["expected_total"] = json!({"amount": 1531, "currency": "GBP"});
    let told = server.send(post("/v1/orders", body)).await;
    assert_eq!(told.code(), "totals-mismatch");
    assert_eq!(told.json()["expected"], 1531);
    assert_eq!(told.json()["computed"]["total"], 1530);
}

#[tokio::test]
async fn a_stale_version_is_told_with_what_happened_since() {
    let server = Server::new();
    let id = order_id(&server.send(post("/v1/orders", order_of(None))).await);
    let notes = format!("/v1/orders/{id}/notes");
    let told = server.send(post(&notes, json!({"text": "ring first"}))).await;
    assert_eq!(told.status, StatusCode::CREATED);
    assert_eq!(told.header("etag"), Some("\"v2\""));

    let path = format!("/v1/orders/{id}/shipping-address");
    let body = json!({"ship_to": {"name": "Ada", "lines": ["1 Mill Lane"], "city": "York", "country": "GB"}});
    let change = ask(Method::PATCH, &path).body(body);
    assert_eq!(server.send(change.clone()).await.code(), "if-match-required");
    let stale = server.send(change.clone().if_match("\"v1\"").key("s")).await;
    assert_eq!(stale.code(), "version-mismatch");
    let problem = stale.json();
    assert_eq!(problem["expected"], 1);
    assert_eq!(problem["actual"], 2);
    assert_eq!(problem["events_since"][0]["type"], "NoteAdded");
    assert_eq!(problem["events_since"][0]["version"], 2);
    assert_eq!(problem["events_since"][0]["actor"]["id"], "clerk");
    let again = server.send(change.clone().if_match("\"v1\"").key("s")).await;
    assert_eq!(again.essence(), stale.essence());

    let done = server.send(change.if_match("\"v2\"")).await;
    assert_eq!(done.status, StatusCode::OK);
    assert_eq!(done.json()["ship_to"]["city"], "York");
    assert_eq!(done.header("etag"), Some("\"v3\""));
}

#[tokio::test]
async fn what_does_not_exist_matches_no_version_and_is_not_made() {
    let server = Server::new();
    let receipts = "/v1/stock/A/receipts";
    let holds = format!("/v1/orders/{}/holds", uuid(1));
    let delivery = format!("/v1/shipments/{}/delivery", uuid(2));
    let mut order = order_of(None);
    order["order_id"] = uuid(3).to_string().into();
    for tag in ["\"v1\"", "\"v0\"", "*"] {
        for (path, body) in [
            (receipts, json!({"qty": 1})),
            ("/v1/orders", order.clone()),
            (&holds, json!({"reason": "fraud_check"})),
            (&delivery, json!({})),
        ] {
            let told = server.send(post(path, body).key(&format!("{path}{tag}")).if_match(tag)).await;
            assert_eq!(told.code(), "version-mismatch", "{path} {tag}");
            assert_eq!(told.json()["actual"], 0, "{path} {tag}");
        }
    }
    assert_eq!(server.send(post(receipts, json!({"qty": 1}))).await.header("etag"), Some("\"v2\""));
}

#[tokio::test]
async fn a_version_that_was_never_written_is_said_to_be_so() {
    let server = Server::new();
    let id = order_id(&server.send(post("/v1/orders", order_of(None))).await);
    let notes = format!("/v1/orders/{id}/notes");
    let told = server.send(post(&notes, json!({"text": "n"})).if_match("\"v9\"")).await;
    assert_eq!(told.code(), "version-mismatch");
    let problem = told.json();
    assert_eq!(problem["detail"], "it is at version 1: version 9 was never written");
    assert_eq!(problem["events_since"], json!([]));
    // A malformed body is reported before a version mismatch.
    assert_eq!(server.send(post(&notes, json!({"txt": "n"})).if_match("\"v9\"")).await.code(), "malformed-body");
}

#[tokio::test]
async fn an_order_is_held_and_let_go() {
    let server = Server::new();
    let id = order_id(&server.send(post("/v1/orders", order_of(None))).await);
    server.confirm(id, 6).await;
    let holds = format!("/v1/orders/{id}/holds");
    let held = server.send(post(&holds, json!({"reason": "fraud_check"}))).await;
    assert_eq!(held.status, StatusCode::CREATED);
    let hold = held.json()["holds"][0]["hold_id"].as_str().unwrap().to_owned();
    let ship = format!("/v1/orders/{id}/shipments");
    let refused = server.send(ask(Method::POST, &ship)).await;
    assert_eq!(refused.code(), "on-hold");
    assert_eq!(refused.json()["holds"], json!([hold]));
    let path = format!("{holds}/{hold}?resolution=cleared");
    let told = server.send(ask(Method::DELETE, &path)).await;
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!(told.json()["holds"], json!([]));
    let shipped = server.send(ask(Method::POST, &ship)).await;
    assert_eq!(shipped.status, StatusCode::ACCEPTED);
    assert_eq!(shipped.json()["shipments"][0]["lines"][0]["qty"], 6);
}

#[tokio::test]
async fn a_shipment_is_found_by_its_own_id_and_so_is_a_return() {
    let server = Server::new();
    let id = order_id(&server.send(post("/v1/orders", order_of(None))).await);
    let other = order_id(&server.send(post("/v1/orders", order_of(None))).await);
    server.confirm(id, 6).await;
    server.confirm(other, 6).await;
    let shipment = ShipmentId(uuid(40));
    let path = format!("/v1/orders/{id}/shipments");
    server.send(post(&path, json!({"shipment_id": shipment.0}))).await;
    let taken = format!("/v1/orders/{other}/shipments");
    let told = server.send(post(&taken, json!({"shipment_id": shipment.0}))).await;
    assert_eq!(told.code(), "id-taken");
    server.dispatch(id, shipment).await;
    let told = server.send(ask(Method::POST, &format!("/v1/shipments/{shipment}/delivery"))).await;
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!(told.json()["fulfilment_status"], "delivered");

    let lines = json!([{"line_id": 1, "qty": 2, "reason": "too_small"}]);
    let told = server.send(post(&format!("/v1/orders/{id}/returns"), json!({"lines": lines}))).await;
    assert_eq!(told.status, StatusCode::CREATED);
    let back = told.json()["returns"][0]["return_id"].as_str().unwrap().to_owned();
    let lines = json!([{"line_id": 1, "qty": 2, "disposition": "restock"}]);
    let path = format!("/v1/returns/{back}/receipts");
    let told = server.send(post(&path, json!({"lines": lines}))).await;
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!(told.json()["return_status"], "part_returned");
    assert_eq!(told.json()["lines"][0]["returned"], 2);
    let told = server.send(post(&format!("/v1/returns/{}/decline", uuid(9)), json!({"reason": "r"}))).await;
    assert_eq!(told.code(), "not-found");
}

#[tokio::test]
async fn a_pending_order_is_called_off() {
    let server = Server::new();
    let id = order_id(&server.send(post("/v1/orders", order_of(None))).await);
    let path = format!("/v1/orders/{id}/cancellations");
    let told = server.send(post(&path, json!({"reason": "changed my mind"}))).await;
    assert_eq!(told.status, StatusCode::ACCEPTED);
    assert_eq!(told.json()["cancellations"][0]["whole"], true);
    let lines = json!({"reason": "r", "lines": [{"line_id": 1, "qty": 1}, {"line_id": 1, "qty": 1}]});
    let told = server.send(post(&path, lines)).await;
    assert_eq!((told.code(), told.pointer()), ("malformed-body".into(), "/lines/1/line_id".into()));
}

#[tokio::test]
async fn money_of_another_currency_is_refused() {
    let server = Server::new();
    let id = order_id(&server.send(post("/v1/orders", order_of(None))).await);
    let path = format!("/v1/orders/{id}/refunds");
    let refund = |currency: &str| json!({"reason": "goodwill", "amount": {"amount": 5, "currency": currency}});
    let told = server.send(post(&path, refund("EUR"))).await;
    assert_eq!((told.code(), told.pointer()), ("malformed-body".into(), "/amount/currency".into()));
    let told = server.send(post(&path, refund("GBP"))).await;
    assert_eq!(told.status, StatusCode::CONFLICT);
    let absent = format!("/v1/orders/{}/refunds", uuid(3));
    assert_eq!(server.send(post(&absent, refund("EUR"))).await.code(), "not-found");
    let payment = format!("/v1/payments/{}/captures", uuid(3));
    let capture = json!({"amount": {"amount": 5, "currency": "EUR"}});
    assert_eq!(server.send(post(&payment, capture)).await.code(), "not-found");
}

#[tokio::test]
async fn stock_is_received_counted_and_adjusted() {
    let server = Server::new();
    let told = server.send(post("/v1/stock/85123a/receipts", json!({"qty": 10}))).await;
    assert_eq!(told.status, StatusCode::CREATED);
    assert_eq!(told.json()["on_hand"], 10);
    assert_eq!(told.json()["sku"], "85123A");
    let adjust = |expected: u32| json!({"delta": -2, "reason": "broken", "expected": expected});
    let told = server.send(post("/v1/stock/85123A/adjustments", adjust(9))).await;
    assert_eq!(told.code(), "stock-changed");
    assert_eq!(told.json()["on_hand"], 10);
    let told = server.send(post("/v1/stock/85123A/adjustments", adjust(10))).await;
    assert_eq!(told.json()["available"], 8);
    let terms = json!({"safety_stock": 3, "location": "main"});
    let told = server.send(ask(Method::PUT, "/v1/stock/85123A").body(terms)).await;
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!(told.json()["available"], 5);
    let told = server.send(post("/v1/stock/85123A/counts", json!({"counted": 7}))).await;
    assert_eq!(told.json()["book"]["counted"], -1);
    let told = server.send(post("/v1/stock/NONE/counts", json!({"counted": 7}))).await;
    assert_eq!(told.code(), "not-found");
    let slash = server.send(post("/v1/stock/A%2FB/receipts", json!({"qty": 1}))).await;
    assert_eq!(slash.json()["sku"], "A/B");
}

#[tokio::test]
async fn a_reservation_holds_all_or_nothing_and_lets_go() {
    let server = Server::new();
    for sku in ["A", "B"] {
        server.send(post(&format!("/v1/stock/{sku}/receipts"), json!({"qty": 5}))).await;
    }
    let items = |b: u32| json!({"items": [{"sku": "a", "qty": 2}, {"sku": "B", "qty": b}, {"sku": "A", "qty": 2}]});
    let short = server.send(post("/v1/reservations", items(6))).await;
    assert_eq!(short.code(), "out-of-stock");
    assert_eq!(short.json()["shortfalls"][0]["sku"], "B");
    assert_eq!(short.json()["shortfalls"][0]["available"], 5);
    let told = server.send(post("/v1/reservations", items(1)).key("r")).await;
    assert_eq!(told.status, StatusCode::CREATED);
    let again = server.send(post("/v1/reservations", items(1)).key("r")).await;
    assert_eq!(again.essence(), told.essence());
    let reservation = told.json();
    assert_eq!(reservation["items"][0], json!({"sku": "A", "location": "main", "qty": 4}));
    let path = told.header("location").unwrap().to_owned();

    let earlier = ask(Method::PATCH, &path).body(json!({"expires_at": "1999-01-01T00:00:00Z"}));
    assert_eq!(server.send(earlier).await.code(), "not-later");
    let later = ask(Method::PATCH, &path).body(json!({"expires_at": in_seconds(86_400)}));
    let prolonged = server.send(later.clone()).await;
    assert_eq!(prolonged.json()["expires_at"], later.body.as_ref().unwrap()["expires_at"]);
    let told = server.send(ask(Method::DELETE, &path)).await;
    assert_eq!((told.status, &told.json()["status"]), (StatusCode::OK, &json!("released")));
    assert_eq!(server.send(ask(Method::DELETE, &path)).await.status, StatusCode::OK);
    assert_eq!(server.send(later).await.code(), "reservation-ended");
    let stock = server.send(post("/v1/stock/A/receipts", json!({"qty": 1}))).await;
    assert_eq!(stock.json()["available"], 6);
    let unknown = format!("/v1/reservations/{}", uuid(1));
    assert_eq!(server.send(ask(Method::DELETE, &unknown)).await.code(), "not-found");
}

#[tokio::test]
async fn what_is_so_already_is_answered_and_recorded() {
    let server = Server::new();
    let id = order_id(&server.send(post("/v1/orders", order_of(None))).await);
    let path = format!("/v1/orders/{id}/tags");
    let set = || ask(Method::PUT, &path).body(json!({"tags": ["gift"]}));
    assert_eq!(server.send(set()).await.header("etag"), Some("\"v2\""));
    let again = server.send(set().key("k")).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.header("etag"), Some("\"v2\""));
    let told = server.send(ask(Method::GET, "/v1/commands/k")).await.json();
    assert_eq!(told["outcome"], "nothing_to_do");
    server.send(ask(Method::PUT, &path).body(json!({"tags": []}))).await;
    assert_eq!(server.send(set().key("k")).await.essence(), again.essence());
}

#[tokio::test]
async fn an_unknown_payment_cannot_be_voided() {
    let server = Server::new();
    let path = format!("/v1/payments/{}/voids", uuid(1));
    let told = server.send(ask(Method::POST, &path).key("k")).await;
    assert_eq!(told.code(), "not-found");
    let again = server.send(ask(Method::POST, &path).key("k")).await;
    assert_eq!(again.essence(), told.essence());
}

#[tokio::test]
async fn a_record_is_set_aside_only_at_the_version_that_the_caller_names() {
    let server = Server::new();
    let told = server.send(post("/v1/stock/A/receipts", json!({"qty": 1}))).await;
    assert_eq!((told.status, told.header("etag")), (StatusCode::CREATED, Some("\"v2\"")));
    let aside = || post("/v1/records/1/set-aside", json!({"reason": "a test"}));
    let told = server.send(aside().if_match("\"v1\"").key("one")).await;
    assert_eq!((told.code(), told.json()["actual"].as_u64()), ("version-mismatch".into(), Some(2)));
    assert_eq!(server.send(aside().if_match("\"v1\"").key("one")).await.code(), "version-mismatch");
    assert_eq!(server.send(aside().if_match("\"v2\"")).await.code(), "record-readable");
    assert_eq!(server.send(aside().if_match("*")).await.code(), "record-readable");
}

#[tokio::test]
async fn ids_that_daybook_makes_itself_are_not_named_by_callers() {
    let server = Server::new();
    let placed = server.send(post("/v1/orders", order_of(None))).await;
    let order = placed.json()["order_id"].as_str().unwrap().to_owned();
    let derived = derived(uuid(1), "reservation").to_string();
    let money = json!({"amount": 1, "currency": "GBP"});
    let cases = [
        ("/v1/reservations", "reservation_id", json!({"items": [{"sku": "A", "qty": 1}]})),
        ("/v1/orders/{id}/cancellations", "cancellation_id", json!({"reason": "r"})),
        ("/v1/orders/{id}/refunds", "refund_id", json!({"reason": "r", "amount": money})),
        ("/v1/orders/{id}/notes", "note_id", json!({"text": "t"})),
        ("/v1/payments/{id}/captures", "capture_id", json!({"amount": money})),
        ("/v1/stock/A/adjustments", "adjustment_id", json!({"delta": 1, "expected": 0, "reason": "r"})),
    ];
    let before = server.executor.store().head().borrow().position;
    for (path, name, mut body) in cases {
        let path = path.replace("{id}", &order);
        body[name] = derived.as_str().into();
        let told = server.send(post(&path, body)).await;
        assert_eq!((told.code(), told.pointer()), ("malformed-body".into(), format!("/{name}")), "{path}");
        assert!(told.json()["errors"][0]["detail"].as_str().unwrap().contains("version 4, 5 or 7"));
    }
    assert_eq!(server.executor.store().head().borrow().position, before);
    // Integrations derive theirs as version 5, and so does Daybook where a request names nothing.
    let named = json!({"text": "t", "note_id": uuid::Uuid::new_v5(&uuid(1), b"note")});
    assert_eq!(server.send(post(&format!("/v1/orders/{order}/notes"), named)).await.status, 201);
}

#[tokio::test]
async fn what_a_command_makes_is_not_what_a_process_makes_of_an_order_of_its_id() {
    let server = Server::new();
    server.send(post("/v1/stock/A/receipts", json!({"qty": 9}))).await;
    let told = server.send(post("/v1/reservations", json!({"items": [{"sku": "A", "qty": 1}]})).key("k")).await;
    assert_eq!(told.status, StatusCode::CREATED);
    let order = OrderId(execute::command_id(&tenant(), "k"));
    let of_the_order = domain::saga::checkout::reservation_of(order);
    assert_ne!(told.json()["reservation_id"], of_the_order.to_string());
}
