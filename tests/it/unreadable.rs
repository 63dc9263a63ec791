//! One record that nobody can read: it stops the streams that it is in and no others, everybody who asks is told so, and an operator can
//! set it aside.

use std::path::Path;

use bytes::Bytes;
use event_store::append::{Batch, Expectation, NewEvent, Outcome, StreamWrite};
use event_store::record::StreamId;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, server, shop};

const METADATA: &str = r#"{"actor":{"id":"clerk","via":"test"},"correlation":"CORRELATION"}"#;

async fn serve(data: &Path) -> (daybook::roles::Running, Client) {
    let mut config = daybook::config::Config::default();
    config.store.data = data.to_owned();
    config.http.listen = "127.0.0.1:0".parse().unwrap();
    let running = daybook::roles::start(config, "test").await.unwrap();
    running.serve().await.unwrap();
    let client = Client::new(&running.url());
    (running, client)
}

/// Writes an event to a stream past every check, as a later version of the program or a bug would. Its position.
async fn written(
    running: &daybook::roles::Running,
    stream: (&str, &str),
    (kind, schema_version): (&str, u32),
    data: &str,
    metadata: &str,
) -> u64 {
    let event = NewEvent {
        event_id: Uuid::now_v7(),
        kind: kind.into(),
        schema_version,
        data: Bytes::from(data.to_owned()),
        metadata: Bytes::from(metadata.to_owned()),
    };
    let stream = StreamId::new(running.tenant.as_str(), stream.0, stream.1);
    let write = StreamWrite { stream, expected: Expectation::Any, events: vec![event] };
    let batch = Batch { command_id: Uuid::now_v7(), fingerprint: [0; 32], writes: vec![write] };
    match running.log.append(batch).await.unwrap() {
        Outcome::Appended(receipt) => receipt.last_position,
        other => panic!("{other:?}"),
    }
}

/// What `verify` says beside the server, and whether it is content.
fn verified(data: &Path) -> (Value, bool) {
    let output =
        server::daybook().args(["verify", "--output", "json", "--data", data.to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let proof = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    (proof, output.status.success())
}

/// A record of each unreadable sort, in streams of each kind. Their positions, the order's first.
async fn poisoned(running: &daybook::roles::Running, order: &str, payment: &str) -> Vec<u64> {
    let good = &METADATA.replace("CORRELATION", order);
    vec![
        written(running, ("order", order), ("OrderDreamt", 1), "{}", good).await,
        written(running, ("payment", payment), ("PaymentVoided", 9), "{}", good).await,
        written(running, ("stock", "main/BLUE"), ("StockReceived", 1), "{\"qty\":", good).await,
        written(running, ("saga", &format!("refund-{order}")), ("SagaDecided", 1), "{}", "no metadata").await,
        written(running, ("ref", "web-17"), ("OrderCompleted", 1), "{}", good).await,
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_record_that_cannot_be_read_stops_its_own_streams_until_it_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let (running, client) = serve(&data).await;
    shop::receive(&client, "RED", 100).await;
    shop::receive(&client, "BLUE", 100).await;
    let placed = shop::place(&client, &[("RED", 1)], "sandbox:approve").await;
    let (order, payment) = (placed.text("/order_id"), placed.text("/payment/payment_id"));
    let other = shop::place(&client, &[("RED", 2)], "sandbox:approve").await.text("/order_id");
    let positions = poisoned(&running, &order, &payment).await;
    let last = positions[positions.len() - 1];

    let waiting = held(&client, &order, &other, &positions).await;
    // Nothing of this is lost by a restart.
    running.stop().await.unwrap();
    let (running, client) = serve(&data).await;
    let later = held(&client, &order, &other, &positions).await;
    told_by_verify(&data, &positions);

    refused_and_set_aside(&client, &positions).await;
    let head = shop::head(&client).await;
    for path in
        [format!("/v1/orders/{order}"), format!("/v1/payments/{payment}"), format!("/v1/orders/{order}/timeline")]
    {
        let shown = client.get(&format!("{path}?min_position={head}")).await.expect(200);
        assert!(shown.position.is_some_and(|position| position >= head), "{path}");
    }
    let list = client.get(&format!("/v1/orders?min_position={head}")).await.expect(200).json();
    assert_eq!(list["stale"], false);
    let blue = client.get(&format!("/v1/stock/BLUE?min_position={head}")).await.expect(200);
    assert_eq!(blue.number("/locations/0/on_hand"), 100);
    let ready = client.get("/readyz").await.expect(200).json();
    assert_eq!(ready["degraded"], json!([]));
    // The order moves on: it is shipped and paid as if nothing had been.
    let shipped = client.post_and_wait(&format!("/v1/orders/{order}/shipments"), &json!({})).await.expect(200);
    assert_eq!(shipped.text("/shipments/0/status"), "dispatched");
    for order in [waiting, later] {
        shop::until(&client, &format!("/v1/orders/{order}"), "confirmed", |order| order["status"] == "confirmed").await;
    }
    let sold = shop::place(&client, &[("BLUE", 3)], "sandbox:approve").await;
    assert_eq!(sold.text("/status"), "confirmed");
    let (proof, holds) = verified(&data);
    assert!(holds, "{proof:#}");
    assert_eq!(proof["set_aside_count"], 5);
    assert!(proof["set_aside"].as_array().unwrap().iter().any(|aside| aside["position"] == last));
    running.stop().await.unwrap();
}

/// What everybody is told while the records are there, and that everything else goes on.
async fn held(client: &Client, order: &str, other: &str, positions: &[u64]) -> String {
    let head = shop::head(client).await;
    let first = positions[0];
    for path in [format!("/v1/orders/{order}"), format!("/v1/orders/{order}?as_of_position={head}")] {
        let path = if path.contains('?') { path } else { format!("{path}?min_position={head}") };
        let answer = client.get(&path).await.expect(503);
        assert!(["stream-held", "unreadable-record"].contains(&&*answer.text("/code")), "{}", answer.body);
        assert_eq!(answer.number("/position"), i64::try_from(first).unwrap());
    }
    client.get(&format!("/v1/orders/{other}?min_position={head}")).await.expect(200);
    client.get(&format!("/v1/orders/{}", Uuid::now_v7())).await.expect(404);
    let list = client.get(&format!("/v1/orders?min_position={head}")).await.expect(200).json();
    assert_eq!((&list["stale"], &list["held"]), (&json!(true), &json!(1)));
    let refused = client.post(&format!("/v1/orders/{order}/notes"), &json!({ "text": "hello" })).await.expect(503);
    assert_eq!(refused.text("/code"), "unreadable-record");
    // It is taken, and waits for its stock.
    let both = client.post("/v1/orders", &shop::order(&[("RED", 1), ("BLUE", 1)], "sandbox:approve")).await.expect(201);
    let sold = shop::place(client, &[("RED", 1)], "sandbox:approve").await;
    assert_eq!(sold.text("/status"), "confirmed", "others are sold to");
    client.get("/v1/events?limit=1000").await.expect(200);

    let ready = client.get("/readyz").await.expect(200).json();
    assert_eq!(ready["ready"], true);
    let degraded = ready["degraded"].to_string();
    let models =
        ["order_detail", "stock_levels", "payments", "order_timeline"].map(|name| format!("projection/{name}"));
    for part in models.iter().map(String::as_str).chain(["sagas", "gateway"]) {
        assert!(degraded.contains(part), "{part} is not among {degraded}");
    }
    let metrics = client.get("/metrics").await.expect(200).body;
    assert!(metrics.contains("daybook_projection_held_streams"), "{metrics}");
    let records = client.get("/v1/records?state=unreadable").await.expect(200).json();
    let found: Vec<u64> =
        records["items"].as_array().unwrap().iter().map(|it| it["position"].as_u64().unwrap()).collect();
    assert_eq!(found, positions);
    both.text("/order_id")
}

/// `verify` tells all that it proved, and the position of each record that it could not read.
fn told_by_verify(data: &Path, positions: &[u64]) {
    let (proof, holds) = verified(data);
    assert!(!holds);
    let checks = proof["checks"].as_array().unwrap();
    let check = |name: &str| checks.iter().find(|check| check["name"].as_str().unwrap().contains(name)).unwrap();
    assert_eq!(check("hash chain")["violated"], 0, "what was proved is told");
    assert_eq!(check("every event")["violated"], positions.len());
    for position in positions {
        let told = check("every event")["violations"].to_string();
        assert!(told.contains(&format!("position {position} ")), "{position} is not in {told}");
    }
    assert_eq!(check("read model order_list")["violated"], 0, "{proof:#}");
    assert!(proof["hash"].as_str().is_some_and(|hash| hash.len() == 64));
    let output =
        server::daybook().args(["records", "list", "--output", "json", "--data", data.to_str().unwrap()]).output();
    let listed: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    assert_eq!(listed["unreadable"], positions.len());
}

async fn refused_and_set_aside(client: &Client, positions: &[u64]) {
    let reason = json!({ "reason": "written by a build that was never released" });
    let path = |position: u64| format!("/v1/records/{position}/set-aside");
    assert_eq!(client.post(&path(1), &reason).await.expect(409).text("/code"), "record-readable");
    client.post(&path(u64::MAX), &reason).await.expect(404);
    client.post(&path(positions[0]), &json!({})).await.expect(400);
    client.post(&path(positions[0]), &json!({ "reason": "" })).await.expect(400);
    let dry = client.post(&format!("{}?dry_run=true", path(positions[0])), &reason).await.expect(200);
    assert_eq!(dry.text("/events/0/type"), "RecordSetAside");
    assert_eq!(client.post_once(&path(1), "no", &reason).await.expect(409).text("/code"), "record-readable");
    assert!(client.post_once(&path(1), "no", &reason).await.expect(409).replayed);
    for (at, position) in positions.iter().enumerate() {
        let key = format!("aside-{at}");
        let first = client.post_once(&path(*position), &key, &reason).await.expect(200);
        assert_eq!(first.text("/set_aside/reason"), reason["reason"].as_str().unwrap());
        let again = client.post_once(&path(*position), &key, &reason).await.expect(200);
        assert!(again.replayed);
        assert_eq!(again.body, first.body);
        let once_more = client.post(&path(*position), &json!({ "reason": "another" })).await.expect(200);
        assert_eq!(once_more.body, first.body, "it is so already");
    }
    let head = shop::head(client).await;
    let aside = client.get(&format!("/v1/records?state=set-aside&min_position={head}")).await.expect(200).json();
    assert_eq!(aside["items"].as_array().unwrap().len(), positions.len());
    let left = client.get("/v1/records?state=unreadable").await.expect(200).json();
    assert_eq!(left["items"], json!([]));
}
