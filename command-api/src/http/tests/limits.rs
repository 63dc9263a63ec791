//! Invalid requests are answered with a code and a place, and nothing is written.

use super::*;

async fn code_of(server: &Server, ask: Ask<'_>) -> (String, String) {
    let told = server.send(ask).await;
    (told.code(), told.pointer())
}

fn faulty(change: impl FnOnce(&mut Value)) -> Ask<'static> {
    let mut body = order_of(None);
    change(&mut body);
    post("/v1/orders", body)
}

#[tokio::test]
async fn every_fault_of_a_body_is_told_with_its_place() {
    let server = Server::new();
    let cases: Vec<(Ask<'_>, &str)> = vec![
        (faulty(|b| b["status"] = "confirmed".into()), "/status"),
        (faulty(|b| b["lines"][0]["qty"] = (-1).into()), "/lines/0/qty"),
        (faulty(|b| b["lines"][0]["qty"] = 0.into()), "/lines/0/qty"),
        (faulty(|b| b["lines"][0]["qty"] = json!(1e30)), "/lines/0/qty"),
        (faulty(|b| b["lines"][0]["sku"] = "".into()), "/lines/0/sku"),
        (faulty(|b| b["lines"][0]["unit_price"] = json!(2.55)), "/lines/0/unit_price"),
        (faulty(|b| b["lines"][0]["title"] = "a\u{0}b".into()), "/lines/0/title"),
        (faulty(|b| b["lines"] = json!([])), "/lines"),
        (faulty(|b| b["currency"] = "XXZ".into()), "/currency"),
        (faulty(|b| b["discount"] = json!({"amount": 1, "currency": "EUR"})), "/discount/currency"),
        (faulty(|b| b["discount"] = json!({"amount": i64::MAX, "currency": "GBP"})), "/discount/amount"),
        (faulty(|b| b["occurred_at"] = "yesterday".into()), "/occurred_at"),
        (faulty(|b| b["order_id"] = "1".into()), "/order_id"),
    ];
    for (ask, pointer) in cases {
        let body = ask.body.clone();
        let (code, at) = code_of(&server, ask).await;
        assert_eq!(code, "malformed-body", "{body:?}");
        assert_eq!(at, pointer, "{body:?}");
    }
    let line = order_of(None)["lines"][0].clone();
    let many = faulty(|b| b["lines"] = Value::Array(vec![line; 2_001]));
    assert_eq!(code_of(&server, many).await.1, "/lines");
    assert_eq!(server.executor.store().head().borrow().position, 0);
}

#[tokio::test]
async fn two_thousand_lines_are_taken() {
    let server = Server::new();
    let mut line = order_of(None)["lines"][0].clone();
    line["title"] = "x".repeat(100).into();
    let ask = faulty(|b| b["lines"] = Value::Array(vec![line.clone(); 2_000]));
    let told = server.send(ask).await;
    assert_eq!(told.status, StatusCode::CREATED);
    assert_eq!(told.json()["totals"]["total"]["amount"], 2_000 * 1_530);
    line["title"] = "x".repeat(200).into();
    let ask = faulty(|b| b["lines"] = Value::Array(vec![line.clone(); 2_000]));
    assert_eq!(server.send(ask).await.status, StatusCode::CREATED);
    // What the body says still fits its limit, and what would be stored of it does not.
    line["title"] = "é".repeat(200).into();
    let ask = faulty(|b| b["lines"] = Value::Array(vec![line; 2_000]));
    assert_eq!(server.send(ask).await.code(), "command-too-large");
}

#[tokio::test]
async fn size_type_and_depth_are_bounded() {
    let server = Server::new();
    let raw = |content_type: &str, body: String| {
        Request::post("/v1/orders").header("content-type", content_type).body(Body::from(body)).unwrap()
    };
    let huge = raw("application/json", " ".repeat(LARGEST_ORDER + 1));
    assert_eq!(server.raw(huge).await.code(), "body-too-large");
    for content_type in ["text/plain", "application/xml", ""] {
        let told = server.raw(raw(content_type, "{}".into())).await;
        assert_eq!(told.code(), "unsupported-media-type", "{content_type}");
    }
    for broken in ["", "{", "[]", "null", "{} {}", "\u{feff}{}"] {
        let told = server.raw(raw("application/json", broken.into())).await;
        assert_eq!(told.code(), "malformed-body", "{broken}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let told = server.raw(raw("application/json; charset=utf-8", deep)).await;
    assert_eq!(told.code(), "malformed-body");
    let broken = Request::post("/v1/orders")
        .header("content-type", "application/json")
        .body(Body::from(b"{\"a\": \"\xff\"}".to_vec()))
        .unwrap();
    assert_eq!(server.raw(broken).await.code(), "malformed-body");
}

#[tokio::test]
async fn headers_paths_and_parameters_are_checked() {
    let server = Server::new();
    let place = || post("/v1/orders", order_of(None));
    let told = server.send(place().key("a b")).await;
    assert_eq!((told.code(), told.pointer()), ("malformed-header".into(), "idempotency-key".into()));
    let told = server.send(place().if_match("v7")).await;
    assert_eq!((told.code(), told.pointer()), ("malformed-header".into(), "if-match".into()));
    for path in ["/v1/orders?dryrun=true", "/v1/orders?dry_run=yes", "/v1/orders?dry_run=true&dry_run=false"] {
        assert_eq!(server.send(post(path, order_of(None))).await.code(), "malformed-query");
    }
    let told = server.send(post("/v1/orders/7/holds", json!({"reason": "r"}))).await;
    assert_eq!(told.code(), "malformed-path");
    let long = format!("/v1/stock/{}/receipts", "x".repeat(65));
    assert_eq!(server.send(post(&long, json!({"qty": 1}))).await.code(), "malformed-path");
    assert_eq!(server.send(ask(Method::PUT, "/v1/orders")).await.code(), "method-not-allowed");
    assert_eq!(server.send(ask(Method::GET, "/v2")).await.code(), "not-found");
    let unknown = format!("/v1/orders/{}/holds", uuid(1));
    assert_eq!(server.send(post(&unknown, json!({"reason": "r"}))).await.code(), "not-found");
    assert_eq!(server.executor.store().head().borrow().position, 1);
}
