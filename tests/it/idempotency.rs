//! One key, one command, one answer: fifty at once, again after a restart, and for a refusal likewise.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Server, shop};

/// The same request fifty times at once; every answer but for the replay mark.
async fn fifty(client: &Client, path: &str, key: &str, headers: &[(&str, &str)], body: &Value) -> Vec<Answer> {
    let mut headers = headers.to_vec();
    headers.push(("idempotency-key", key));
    let sent = (0..50).map(|_| client.send(reqwest::Method::POST, path, &headers, Some(body)));
    futures_util::future::join_all(sent).await.into_iter().map(|answer| Answer { replayed: false, ..answer }).collect()
}

#[track_caller]
fn all_equal(answers: &[Answer], first: &Answer) {
    for answer in answers {
        assert_eq!(answer, first);
    }
}

async fn scenario(data: &Path) -> (Server, Vec<(String, Value, Answer)>) {
    let server = Server::start(data).await;
    let client = server.client();
    shop::receive(&client, "RED", 100).await;
    let order = shop::order(&[("RED", 2)], "sandbox:approve");
    let placed = fifty(&client, "/v1/orders", "one-order", &[], &order).await;
    assert_eq!(placed[0].status, 201, "{}", placed[0].body);
    assert!(placed[0].etag.is_some() && placed[0].location.is_some() && placed[0].position.is_some());
    all_equal(&placed, &placed[0]);

    let refused_body = json!({ "delta": -5, "reason": "count", "expected": 3 });
    let refused = fifty(&client, "/v1/stock/RED/adjustments", "one-refusal", &[], &refused_body).await;
    assert_eq!(refused[0].status, 409, "{}", refused[0].body);
    all_equal(&refused, &refused[0]);
    // What a problem says of its request is of the request, not of the answer.
    let kept = vec![
        ("/v1/orders".to_owned(), order, placed[0].clone()),
        ("/v1/stock/RED/adjustments".to_owned(), refused_body, refused[0].clone()),
    ];
    (server, kept)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_equal_requests_are_one_command_with_one_answer_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let (server, kept) = scenario(&data).await;
    let client = server.client();
    let order_id = kept[0].2.text("/order_id");
    shop::until(&client, &format!("/v1/orders/{order_id}"), "confirmed", |order| order["status"] == "confirmed").await;
    let listed = client.get("/v1/orders?count=exact").await.expect(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");

    server.kill();
    let server = Server::start(&data).await;
    let client = server.client();
    for ((path, body, first), key) in kept.iter().zip(["one-order", "one-refusal"]) {
        let again = fifty(&client, path, key, &[], body).await;
        all_equal(&again, first);
    }
    let other =
        client.post_once("/v1/orders", "one-order", &shop::order(&[("RED", 3)], "sandbox:approve")).await.expect(422);
    assert_eq!(other.text("/code"), "idempotency-key-reused");
    let status = client.get("/v1/commands/one-order").await.expect(200);
    assert!(status.body.contains("\"outcome\":\"done\""), "{}", status.body);
    client.get("/v1/commands/never-sent").await.expect(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_that_wait_for_the_verdict_are_told_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("store")).await;
    let client = server.client();
    shop::receive(&client, "RED", 1).await;
    let order = shop::order(&[("RED", 1)], "sandbox:approve");
    let won = fifty(&client, "/v1/orders", "the-last-unit", &[("prefer", "wait=30")], &order).await;
    assert_eq!(won[0].text("/status"), "confirmed");
    all_equal(&won, &won[0]);
    let lost = fifty(&client, "/v1/orders", "too-late", &[("prefer", "wait=30")], &order).await;
    assert_eq!(lost[0].text("/status"), "rejected");
    all_equal(&lost, &lost[0]);
}
