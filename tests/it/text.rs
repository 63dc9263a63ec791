//! Text, names and tokens as they cross the edge: what is accepted can be read by everyone, and what is secret is shown to nobody.

use serde_json::{Value, json};

use crate::harness::server::verify;
use crate::harness::{Client, Server, shop};

/// The text as one segment of a path.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn pay_later(sku: &str) -> Value {
    json!({
        "currency": "GBP",
        "lines": [{ "sku": sku, "title": "t", "qty": 1, "unit_price": "1.00", "stocked": false }],
        "payment": { "capture": "pay_later" },
    })
}

fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[name] = value;
    body
}

/// Where the faults of a refused body are.
async fn refused_at(client: &Client, path: &str, body: &Value) -> Vec<String> {
    let answer = client.post(path, body).await.expect(400).json();
    answer["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap().to_owned()).collect()
}

/// SKUs that would grow in upper case, and names that take the most bytes: whatever is accepted is shown by every read model.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sku_that_grows_when_folded_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let server = Server::start(&data).await;
    let client = server.client();
    let skus =
        ["ß".repeat(33), format!("{}ß", "A".repeat(63)), "ΐ".repeat(64), "\u{10428}".repeat(64), "%/-".repeat(21)];
    for sku in &skus {
        let path = format!("/v1/stock/{}/receipts", encoded(sku));
        client.post(&path, &json!({ "qty": 5, "location": "/".repeat(64) })).await.expect(201);
        client.post("/v1/orders", &pay_later(sku)).await.expect(201);
    }
    assert_eq!(refused_at(&client, "/v1/orders", &pay_later(&"ß".repeat(65))).await, ["/lines/0/sku"]);
    client
        .post(&format!("/v1/stock/{}/receipts", encoded(&"\u{1D160}".repeat(64))), &json!({ "qty": 5 }))
        .await
        .expect(400);
    let last = shop::receive(&client, "MUG", 5).await;
    let position = last.position.unwrap();
    client.get(&format!("/v1/stock/MUG?min_position={position}")).await.expect(200);
    let listed = client.get(&format!("/v1/orders?limit=200&min_position={position}")).await.expect(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), skus.len());
    for sku in &skus {
        client.get(&format!("/v1/stock/{}", encoded(sku))).await.expect(200);
        client.get(&format!("/v1/orders?sku={}", encoded(sku))).await.expect(200);
    }
    let models = client.get("/v1/projections").await.expect(200).json();
    assert!(models["items"].as_array().unwrap().iter().all(|model| model["stopped_at"].is_null()), "{models}");
    assert!(server.stop().success());
    verify(&data);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn line_breaks_of_every_kind_are_taken_and_kept_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("store")).await;
    let client = server.client();
    let order_id = client.post("/v1/orders", &pay_later("NC")).await.expect(201).text("/order_id");
    let noted =
        client.post(&format!("/v1/orders/{order_id}/notes"), &json!({ "text": "one\r\ntwo\rthree" })).await.expect(201);
    assert_eq!(noted.text("/notes/0/text"), "one\ntwo\nthree");
    let hold = json!({ "reason": "fraud_check", "note": "one\r\ntwo" });
    let held = client.post(&format!("/v1/orders/{order_id}/holds"), &hold).await.expect(201);
    assert_eq!(held.text("/holds/0/note"), "one\ntwo");
    let hold = json!({ "reason": "one\r\ntwo" });
    assert_eq!(refused_at(&client, &format!("/v1/orders/{order_id}/holds"), &hold).await, ["/reason"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_currencies_that_mislead_are_refused_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("store")).await;
    let client = server.client();
    let address = |country: &str| json!({ "name": "A", "lines": [], "city": "B", "country": country });
    for (pointer, value) in [
        ("/currency", json!("XXX")),
        ("/currency", json!("XAU")),
        ("/lines/0/sku", json!("A\u{202E}B")),
        ("/lines/0/sku", json!("A\u{200B}B")),
        ("/lines/0/title", json!("A\u{202E}B")),
        ("/external_ref", json!("1\u{AD}2")),
        ("/customer_ref", json!("\u{E000}")),
        ("/channel", json!("we\u{2066}b")),
        ("/location", json!("\u{378}")),
    ] {
        let body = with(pay_later("A"), pointer, value);
        assert_eq!(refused_at(&client, "/v1/orders", &body).await, [pointer], "{body}");
    }
    let body = with(pay_later("A"), "/ship_to", address("G"));
    assert_eq!(refused_at(&client, "/v1/orders", &body).await, ["/ship_to/country"]);
    // Composed and decomposed are one, letter case of SKUs and locations tells nothing, and pasted marks are left out.
    let path = format!("/v1/stock/{}/receipts", encoded("\u{FEFF}cafe\u{301}"));
    client.post(&path, &json!({ "qty": 5, "location": "North" })).await.expect(201);
    let path = format!("/v1/stock/{}/receipts", encoded("CAF\u{C9}"));
    let stock = client.post(&path, &json!({ "qty": 2, "location": "nORTH" })).await.expect(201);
    assert_eq!((stock.text("/sku"), stock.number("/on_hand")), ("CAF\u{C9}".to_owned(), 7));
    let first =
        client.post("/v1/orders", &with(pay_later("A"), "/external_ref", json!("e\u{301}-1"))).await.expect(201);
    let again = client.post("/v1/orders", &with(pay_later("A"), "/external_ref", json!("\u{E9}-1"))).await.expect(409);
    assert_eq!(again.text("/code"), "duplicate-external-ref");
    client.post("/v1/orders", &with(pay_later("A"), "/external_ref", json!("\u{C9}-1"))).await.expect(201);
    assert_ne!(first.text("/order_id"), "");
}

/// Whatever a body says is refused before what its `If-Match` says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_out_of_bounds_is_400_before_it_is_412() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("store")).await;
    let client = server.client();
    shop::receive(&client, "A", 5).await;
    let stale = [("if-match", "\"v9\"")];
    let send = async |body: Option<&Value>| {
        client.send(reqwest::Method::POST, "/v1/stock/A/adjustments", &stale, body).await.status
    };
    assert_eq!(send(Some(&json!({ "delta": 1, "reason": "r", "expected": 1_000_000_001 }))).await, 400);
    assert_eq!(send(Some(&json!({ "delta": 1, "reason": "r", "expected": 4_294_967_296_u64 }))).await, 400);
    assert!([400, 415].contains(&send(None).await));
    assert_eq!(send(Some(&json!({ "delta": 1, "reason": "r", "expected": 5 }))).await, 412);
}

/// The id of an order's own reservation is one that Daybook makes, so that nobody else's is named by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_under_the_id_of_an_orders_own_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("store")).await;
    let client = server.client();
    shop::receive(&client, "A", 50).await;
    let placed = shop::place(&client, &[("A", 3)], "sandbox:approve").await;
    let body = json!({ "reservation_id": placed.text("/reservation_id"), "items": [{ "sku": "A", "qty": 2 }] });
    let refused = client.post("/v1/reservations", &body).await.expect(400);
    assert_eq!(
        (refused.text("/code"), refused.text("/errors/0/pointer")),
        ("malformed-body".into(), "/reservation_id".into())
    );
    let cancel = format!("/v1/orders/{}/cancellations", placed.text("/order_id"));
    client.post_and_wait(&cancel, &json!({ "reason": "r" })).await.expect(200);
    let path = format!("/v1/stock/A?min_position={}", shop::head(&client).await);
    assert_eq!(client.get(&path).await.expect(200).number("/locations/0/reserved"), 0);
}

/// The token of a means of payment is in the log, since the provider is called with it, and in no answer, no log line and no listing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_never_shown() {
    const CANARY: &str = "canary-4711";
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let server = Server::start(&data).await;
    let client = server.client();
    shop::receive(&client, "A", 50).await;
    let order = shop::order(&[("A", 1)], &format!("sandbox:approve,{CANARY}"));
    let tried = client.post("/v1/orders?dry_run=true", &order).await.expect(200);
    let placed = client
        .send(reqwest::Method::POST, "/v1/orders", &[("prefer", "wait=30"), ("idempotency-key", "k-1")], Some(&order))
        .await
        .expect(201);
    let order_id = placed.text("/order_id");
    let stale = [("if-match", "\"v0\"")];
    let note = json!({ "text": "t" });
    let path = format!("/v1/orders/{order_id}/notes");
    let since = client.send(reqwest::Method::POST, &path, &stale, Some(&note)).await.expect(412);
    let payment_id = payment_of(&client).await;
    let held = json!({ "items": [{ "sku": "A", "qty": 1 }] });
    let reservation_id = client.post("/v1/reservations", &held).await.expect(201).text("/reservation_id");
    let kind = [("content-type", "application/x-ndjson")];
    let row = json!({ "external_ref": "7", "placed_at": "2026-01-01T00:00:00Z", "instrument": [CANARY], "lines": [] });
    let rows = format!("{row}\n");
    let run = client.try_send(reqwest::Method::POST, "/v1/imports", &kind, Some(rows.into_bytes())).await;
    let import_id = run.expect("an answer").expect(202).text("/import_id");
    let position = shop::head(&client).await;
    for path in ["/v1/orders/{id}", "/v1/orders/{id}/timeline", "/v1/stock/A", "/v1/stock"] {
        client.get(&format!("{}?min_position={position}", path.replace("{id}", &order_id))).await.expect(200);
    }
    let mut shown = vec![tried, placed, since];
    let document = client.get("/openapi.json").await.expect(200).json();
    for (path, methods) in document["paths"].as_object().unwrap() {
        // A shop's store has no test clock.
        if methods.get("get").is_none() || path == "/v1/test-clock" {
            continue;
        }
        let id = match path.split('/').nth(2) {
            Some("payments") => &payment_id,
            Some("reservations") => &reservation_id,
            Some("imports") => &import_id,
            _ => &order_id,
        };
        let mut path = path.replace("{id}", id).replace("{sku}", "A").replace("{idempotency_key}", "k-1");
        if path.ends_with("/diff") {
            path.push_str("?from=v1&to=v2");
        }
        if path.ends_with("/records") {
            path.push_str("?state=unreadable");
        }
        let answer = client.get(&path).await;
        // A route that answers nothing proves nothing.
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        shown.push(answer);
    }
    shown.push(client.get(&format!("/v1/events?limit=1000&min_position={position}")).await.expect(200));
    shown.push(
        client.get(&format!("/v1/orders/{order_id}/timeline?limit=200&min_position={position}")).await.expect(200),
    );
    let kinds = ["OrderPlaced", "SagaStarted", "AuthorisationRequested"];
    for kind in kinds {
        assert!(shown.iter().any(|answer| answer.body.contains(kind)), "{kind} is shown nowhere");
    }
    for answer in &shown {
        assert!(!answer.body.contains(CANARY), "{}", answer.body);
    }
    assert!(server.stop().success());
    let logged = std::fs::read_to_string(data.with_extension("server.log")).unwrap();
    assert!(!logged.contains(CANARY), "{logged}");
    let mut history = crate::harness::server::daybook();
    let history =
        history.args(["history", &order_id, "--data", data.to_str().unwrap(), "--output", "json"]).output().unwrap();
    let told = String::from_utf8_lossy(&history.stdout);
    assert!(told.contains("OrderPlaced") && told.contains("***") && !told.contains(CANARY), "{told}");
}

async fn payment_of(client: &Client) -> String {
    let events = client.get("/v1/events?types=AuthorisationRequested&limit=10").await.expect(200).json();
    events["events"][0]["data"]["payment_id"].as_str().unwrap().to_owned()
}

/// A cancellation while the money is being taken: what comes of it is right, and `verify` says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_cancelled_while_its_money_is_taken_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let server = Server::start(&data).await;
    let client = server.client();
    shop::receive(&client, "A", 50).await;
    let order = shop::order(&[("A", 2)], "sandbox:approve,capture-late");
    let order = with(order, "/payment/capture", json!("at_confirmation"));
    // On a busy machine the money may be taken before the cancellation comes.
    let mut caught = false;
    for _ in 0..10 {
        let placed = client.post_and_wait("/v1/orders", &order).await.expect(201);
        let path = format!("/v1/orders/{}", placed.text("/order_id"));
        let payment = format!("/v1/payments/{}", placed.text("/payment/payment_id"));
        shop::until(&client, &payment, "capturing", |payment| payment["status"] != "authorised").await;
        client.post(&format!("{path}/cancellations"), &json!({ "reason": "r" })).await;
        shop::until(&client, &path, "cancelled", |order| order["status"] == "cancelled").await;
        let events = client.get("/v1/events?streams=payment&types=VoidWanted&limit=1000").await.expect(200).json();
        caught = events["events"].as_array().is_some_and(|events| !events.is_empty());
        if caught {
            break;
        }
    }
    assert!(caught, "no cancellation came while the money was being taken");
    assert!(server.stop().success());
    verify(&data);
}
