//! From embedded to scaled: the log is copied, the read models are posted anew and are the same, and old keys have their old answers.

use serde_json::{Value, json};

use super::system::{ROLES, System};
use crate::harness::server::daybook;
use crate::harness::{Server, shop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_store_moves_and_stays_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let server = Server::start(&store).await;
    let client = server.client();
    shop::receive(&client, "TEA", 500).await;
    let mut orders = Vec::new();
    for number in 0..40 {
        let body = shop::order(&[("TEA", 1 + number % 3)], "sandbox:approve");
        let key = format!("order-{number}");
        let answer = client.post_once("/v1/orders", &key, &body).await.expect(201);
        orders.push((key, body, answer));
    }
    for (_, _, answer) in &orders {
        let path = format!("/v1/orders/{}", answer.text("/order_id"));
        shop::until(&client, &path, "confirmed", |order| order["status"] == "confirmed").await;
    }
    for (_, _, answer) in orders.iter().step_by(4) {
        let path = format!("/v1/orders/{}/shipments", answer.text("/order_id"));
        client.post_and_wait(&path, &json!({})).await.expect(200);
        let path = format!("/v1/orders/{}", answer.text("/order_id"));
        shop::until(&client, &path, "completed", |order| order["status"] == "completed").await;
    }
    // Nothing is on its way any more, and the lists show the end of the log.
    server.ended().await;
    let position = shop::head(&client).await;
    let embedded: Vec<Value> = lists(&client).await;
    assert_eq!(shop::head(&client).await, position, "something moved while the lists were read");
    assert!(server.stop().success());

    // The database and its tables, and nobody at work.
    let mut system = System::small().await;
    for role in ROLES {
        system.cluster.end(role, "TERM").unwrap();
    }
    let from = format!("sqlite:{}", store.display());
    let owner = system.cluster.environment("migrate").unwrap();
    let to = owner["DAYBOOK_STORE__URL"].clone();
    let copied = daybook().args(["--output", "json", "copy", "--from", &from, "--to", &to]).output().unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    let copied: Value = serde_json::from_slice(&copied.stdout).unwrap();
    let head = copied["position"].as_u64().unwrap();
    assert!(head > 400, "{copied}");
    let again = daybook().args(["--output", "json", "copy", "--from", &from, "--to", &to]).output().unwrap();
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["copied"], 0, "a copy that is whole is left alone");
    assert_eq!(again["hash"], copied["hash"]);

    // The sandbox gateway moves along: what it authorised is in its own book.
    let book = system.cluster.volume("sandbox").join("sandbox.sqlite");
    std::fs::copy(store.join("sandbox.sqlite"), &book).unwrap();
    for beside in ["sandbox.sqlite-wal", "sandbox.sqlite-shm"] {
        std::fs::remove_file(book.with_file_name(beside)).ok();
    }
    for role in ROLES {
        system.cluster.start(role).unwrap();
    }
    for role in ROLES {
        system.await_ready(role).await;
    }
    let log = system.log().await;
    assert_eq!(log.head().borrow().position, head);
    system.quiet(&*log).await;
    let scaled = lists(&system.queries()).await;
    for (before, after) in embedded.iter().zip(&scaled) {
        let items = |body: &Value| body["items"].as_array().unwrap().clone();
        for (before, after) in items(before).iter().zip(&items(after)) {
            assert_eq!(before, after, "every list shows what it showed");
        }
        assert_eq!(before, after, "every list shows what it showed");
    }
    let compared = system.daybook(&["verify", "--against", store.to_str().unwrap()]);
    assert_eq!(compared["holds"], true, "{compared:#}");

    let commands = system.commands();
    for (key, body, answer) in &orders {
        let replayed = commands.post_once("/v1/orders", key, body).await;
        assert!(replayed.replayed, "{}", replayed.body);
        assert_eq!(
            (replayed.status, &replayed.etag, &replayed.location, replayed.position),
            (answer.status, &answer.etag, &answer.location, answer.position)
        );
        assert_eq!(replayed.json(), answer.json());
    }
    // What was under way goes on: the rest is shipped by the new system.
    let (_, _, open) = &orders[1];
    let path = format!("/v1/orders/{}/shipments", open.text("/order_id"));
    commands.post_and_wait(&path, &json!({})).await.expect(200);
    let path = format!("/v1/orders/{}", open.text("/order_id"));
    shop::until(&system.queries(), &path, "shipped", |order| {
        order["fulfilment_status"] == "shipped" || order["status"] == "completed"
    })
    .await;
    system.ended().await;
    system.quiet(&*log).await;
    log.close().await.unwrap();
    assert_eq!(system.daybook(&["verify"])["holds"], true);
}

/// What the lists show of everything.
async fn lists(client: &crate::harness::Client) -> Vec<Value> {
    let mut shown = Vec::new();
    for path in ["/v1/orders?limit=200&count=exact", "/v1/stock?limit=200", "/v1/stock/TEA/ledger?limit=200"] {
        let mut body = client.get(path).await.expect(200).json();
        // Where a model stands when it is asked is not what it shows.
        if let Some(body) = body.as_object_mut() {
            body.remove("position");
        }
        shown.push(body);
    }
    shown
}
