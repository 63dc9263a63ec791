//! The same request always gets the same answer.

use futures_util::future::join_all;

use super::*;

async fn fifty(server: &Server, ask: &Ask<'_>) -> Vec<Told> {
    join_all((0..50).map(|_| server.send(ask.clone()))).await
}

fn all_equal(told: &[Told]) -> (StatusCode, String, [Option<String>; 4]) {
    let first = told[0].essence();
    for other in told {
        assert_eq!(other.essence(), first);
    }
    first
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_equal_posts_make_one_order_and_get_one_answer_also_after_a_restart() {
    let server = Server::new();
    let ask = post("/v1/orders", order_of(Some("536365"))).key("k-1");
    let told = fifty(&server, &ask).await;
    let first = all_equal(&told);
    assert_eq!(first.0, StatusCode::CREATED);
    let replayed = |told: &Told| told.header("idempotent-replayed") == Some("true");
    assert_eq!(told.iter().filter(|t| !replayed(t)).count(), 1);

    // The order moves on; the answer does not.
    server.confirm(order_id(&told[0]), 6).await;
    assert_eq!(server.send(ask.clone()).await.essence(), first);
    let server = server.restarted().await;
    assert_eq!(all_equal(&fifty(&server, &ask).await), first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_equal_posts_that_are_refused_get_one_answer_also_after_a_restart() {
    let server = Server::new();
    let placed = server.send(post("/v1/orders", order_of(Some("1")))).await;
    let ask = post("/v1/orders", order_of(Some("1"))).key("k-2");
    let told = fifty(&server, &ask).await;
    let first = all_equal(&told);
    assert_eq!(told[0].code(), "duplicate-external-ref");
    assert_eq!(told[0].json()["order_id"], placed.json()["order_id"]);
    assert!(first.2[2].is_some(), "a refusal has a position");
    let server = server.restarted().await;
    assert_eq!(all_equal(&fifty(&server, &ask).await), first);
}

#[tokio::test]
async fn a_key_stands_for_one_request() {
    let server = Server::new();
    server.send(post("/v1/orders", order_of(None)).key("k")).await;
    let other = server.send(post("/v1/orders", order_of(Some("9"))).key("k")).await;
    assert_eq!(other.code(), "idempotency-key-reused");
    let nothing = server.send(ask(Method::GET, "/v1/commands/other")).await;
    assert_eq!(nothing.code(), "not-found");
}

#[tokio::test]
async fn that_there_is_no_such_shipment_stays_the_answer_of_its_key() {
    let server = Server::new();
    let id = uuid(77);
    let path = format!("/v1/shipments/{id}");
    let tracking = ask(Method::PATCH, &path).body(json!({"tracking": "T1"})).key("early");
    let first = server.send(tracking.clone()).await;
    assert_eq!(first.code(), "not-found");

    let placed = order_id(&server.send(post("/v1/orders", order_of(None))).await);
    server.confirm(placed, 6).await;
    let ship = format!("/v1/orders/{placed}/shipments");
    let told = server.send(post(&ship, json!({"shipment_id": id}))).await;
    assert_eq!(told.status, StatusCode::ACCEPTED);

    assert_eq!(server.send(tracking.clone()).await.essence(), first.essence());
    let told = server.send(tracking.key("late")).await;
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!(told.json()["shipments"][0]["tracking"], "T1");
}

#[tokio::test]
async fn a_dry_run_tells_the_events_of_the_real_run_and_writes_none() {
    let server = Server::new();
    let store = Arc::clone(server.executor.store());
    let dry = post("/v1/orders?dry_run=true", order_of(Some("5"))).key("k");
    let told = server.send(dry.clone()).await;
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!(store.head().borrow().position, 0);

    let placed = server.send(post("/v1/orders", order_of(Some("5"))).key("k")).await;
    assert_eq!(placed.status, StatusCode::CREATED);
    let page = store.read_log(0, &event_store::Filter::default(), 10).await.unwrap();
    // What the order's process decides with it is not the command's own.
    let own = page.records.iter().filter(|record| &*record.stream.category != domain::stream::SAGA);
    let written: Vec<_> = own
        .map(|r| {
            json!({
                "stream": r.stream.to_string(), "version": r.version, "type": &*r.kind,
                "schema_version": r.schema_version,
                "data": serde_json::from_slice::<Value>(&r.data).unwrap(),
            })
        })
        .collect();
    assert_eq!(told.json()["events"], Value::Array(written));

    let refused = server.send(dry.key("other")).await;
    assert_eq!(refused.code(), "duplicate-external-ref");
    assert_eq!(store.head().borrow().position, 3);
}

#[tokio::test]
async fn a_key_tells_what_became_of_its_command() {
    let server = Server::new();
    let placed = server.send(post("/v1/orders", order_of(Some("5"))).key("done")).await;
    server.send(post("/v1/orders", order_of(Some("5"))).key("no")).await;
    let done = server.send(ask(Method::GET, "/v1/commands/done")).await.json();
    assert_eq!(done["outcome"], "done");
    let stream = format!("order-{}", order_id(&placed));
    assert_eq!(done["streams"][0], json!({"stream": stream, "version": 1}));
    let no = server.send(ask(Method::GET, "/v1/commands/no")).await.json();
    assert_eq!(no["outcome"], "refused");
    assert_eq!(no["refusal"]["code"], "duplicate-external-ref");
}
