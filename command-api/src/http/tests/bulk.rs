//! Imports over HTTP: the content is its own key.

use crate::import::run::Importer;
use crate::import::service::Service;

use super::*;

/// A service without read models: there are no earlier orders.
pub(super) fn service(executor: &Executor, tracker: &TaskTracker) -> Service {
    let importer = Importer {
        executor: executor.clone(),
        actor: "import".into(),
        earlier: Arc::new(|_| Box::pin(async { Ok(vec![]) })),
        observer: Arc::new(|_| {}),
        in_flight: 4,
        patience: Duration::from_secs(30),
        stop: CancellationToken::new(),
    };
    let Defaults { location, channel, .. } = settings().defaults;
    Service::new(importer, tracker.clone(), channel, location)
}

fn content(path: &str, content_type: &str, content: &str) -> Request<Body> {
    Request::post(path).header("content-type", content_type).body(Body::from(content.to_owned())).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_is_taken_in_and_its_bad_rows_are_told() {
    let server = Server::new();
    let rows = "{\"no\": \"order\"}\nnot json\n";
    let send = || content("/v1/imports?source=x.ndjson", "application/x-ndjson", rows);
    let told = server.raw(send()).await;
    assert_eq!(told.status, StatusCode::ACCEPTED);
    let run = told.json();
    assert_eq!(run["source"], "x.ndjson");
    let path = told.header("location").unwrap().to_owned();
    assert_eq!(path, format!("/v1/imports/{}", run["import_id"].as_str().unwrap()));

    let finished = finished(&server, &path).await;
    assert_eq!(finished["refused"], 2);
    let errors = format!("{path}/errors");
    let errors = server.send(ask(Method::GET, &errors)).await.json();
    assert_eq!(errors["rows"][0]["line"], 1);
    assert_eq!(errors["rows"][1]["line"], 2);
    let position = server.executor.store().head().borrow().position;
    assert_eq!(server.raw(send()).await.essence(), told.essence());
    server.tracker.close();
    server.tracker.wait().await;
    let again = server.send(ask(Method::GET, &path)).await.json();
    assert_eq!(again, finished);
    assert!(server.executor.store().head().borrow().position >= position);
}

/// An import, once it is finished.
async fn finished(server: &Server, path: &str) -> serde_json::Value {
    let mut head = server.executor.store().head();
    loop {
        let shown = server.send(ask(Method::GET, path)).await.json();
        if shown["status"] == "finished" {
            return shown;
        }
        head.changed().await.unwrap();
    }
}

/// Runs an import of NDJSON to its end: the refused rows, each with its code.
async fn refused(server: &Server, rows: &str) -> Vec<(u64, String)> {
    let told = server.raw(content("/v1/imports", "application/x-ndjson", rows)).await;
    assert_eq!(told.status, StatusCode::ACCEPTED);
    let path = told.header("location").unwrap().to_owned();
    finished(server, &path).await;
    let errors = server.send(ask(Method::GET, &format!("{path}/errors"))).await.json();
    let rows = errors["rows"].as_array().unwrap().iter();
    rows.map(|row| (row["line"].as_u64().unwrap(), row["code"].as_str().unwrap().to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_that_differs_from_what_is_stored_is_told_and_not_counted_as_received() {
    let server = Server::new();
    let receipt = |name: &str, sku: &str, qty: u32| {
        format!("{{\"type\":\"receipt\",\"source_ref\":\"{name}\",\"sku\":\"{sku}\",\"qty\":{qty}}}\n")
    };
    assert_eq!(refused(&server, &receipt("D/1", "A", 5)).await, []);
    let differs = |line: u64| (line, "differs-from-stored".to_owned());
    assert_eq!(refused(&server, &receipt("D/1", "A", 6)).await, [differs(1)]);
    // The key is the same text, and the delivery another: the row is refused, and not taken for the first one.
    assert_eq!(refused(&server, &receipt("D", "1/A", 5)).await, [differs(1)]);
    let again = format!("{}{}", receipt("D/1", "A", 5), receipt("E", "A", 5));
    assert_eq!(refused(&server, &again).await, []);
    let name = stream::stock(&settings().defaults.location, &Sku::try_new("A").unwrap());
    let (stock, _) = server.executor.load::<domain::stock::Stock>(&tenant(), &name).await.unwrap();
    assert_eq!(stock.on_hand, 10);
}

/// What lies back is what imports are for; what lies ahead is a wrong date.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_takes_any_past_instant_and_none_that_lies_far_ahead() {
    let server = Server::new();
    let receipt = |name: &str, at: Value| {
        json!({"type": "receipt", "source_ref": name, "sku": "A", "qty": 5, "at": at}).to_string()
    };
    let order = |name: &str, at: Value| {
        let line = json!({"sku": "A", "qty": 1, "unit_price": "1.00"});
        json!({"type": "order", "external_ref": name, "placed_at": at, "lines": [line]}).to_string()
    };
    let day = 86_400;
    let rows = [
        receipt("old", "1970-01-02T00:00:00Z".into()),
        receipt("soon", in_seconds(day - 3_600)),
        receipt("late", in_seconds(day + 3_600)),
        order("late", "9999-12-31T23:59:59Z".into()),
    ]
    .join("\n");
    let ahead = |line: u64| (line, "in-the-future".to_owned());
    assert_eq!(refused(&server, &rows).await, [ahead(3), ahead(4)]);
    assert_eq!(refused(&server, &rows).await, [ahead(3), ahead(4)], "sent again, it comes to the same");
    let name = stream::stock(&settings().defaults.location, &Sku::try_new("A").unwrap());
    let (stock, _) = server.executor.load::<domain::stock::Stock>(&tenant(), &name).await.unwrap();
    assert_eq!(stock.on_hand, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_names_one_import_and_a_dry_run_does_nothing() {
    let server = Server::new();
    let receipt =
        |qty: u32| format!("{{\"type\":\"receipt\",\"source_ref\":\"D\",\"sku\":\"A\",\"qty\":{qty}}}\nnot json\n");
    let keyed = |path: &str, rows: &str| {
        let mut request = content(path, "application/x-ndjson", rows);
        request.headers_mut().insert("idempotency-key", "monday".parse().unwrap());
        request
    };
    let dry = server.raw(keyed("/v1/imports?dry_run=true", &receipt(5))).await;
    assert_eq!(dry.status, StatusCode::OK);
    let dry = dry.json();
    assert_eq!((&dry["counts"]["stock_receipt.units"], &dry["refused"][0]["line"]), (&json!(5), &json!(2)));
    assert_eq!(server.executor.store().head().borrow().position, 0, "nothing was done");

    let told = server.raw(keyed("/v1/imports", &receipt(5))).await;
    assert_eq!(told.status, StatusCode::ACCEPTED);
    assert_eq!(told.json()["import_id"], dry["import_id"]);
    let again = server.raw(keyed("/v1/imports", &receipt(5))).await;
    assert_eq!(again.essence(), told.essence());
    let command = server.send(ask(Method::GET, "/v1/commands/monday")).await;
    assert_eq!(command.status, StatusCode::OK);

    assert_eq!(server.raw(keyed("/v1/imports", &receipt(6))).await.code(), "idempotency-key-reused");
    assert_eq!(server.raw(keyed("/v1/imports?policy=all", &receipt(5))).await.code(), "idempotency-key-reused");
    // Another key for the same content names the same run.
    let other = server.raw(content("/v1/imports", "application/x-ndjson", &receipt(5))).await;
    assert_eq!(other.json()["import_id"], dry["import_id"]);
    finished(&server, told.header("location").unwrap()).await;
    let name = stream::stock(&settings().defaults.location, &Sku::try_new("A").unwrap());
    let (stock, _) = server.executor.load::<domain::stock::Stock>(&tenant(), &name).await.unwrap();
    assert_eq!(stock.on_hand, 5);
}

#[tokio::test]
async fn content_that_cannot_be_an_import_is_refused() {
    let server = Server::new();
    let code =
        async |path: &str, content_type: &str, text: &str| server.raw(content(path, content_type, text)).await.code();
    let path = "/v1/imports";
    assert_eq!(code(path, "application/json", "{}").await, "unsupported-media-type");
    assert_eq!(code(path, "text/csv", "a,b\n1,2\n").await, "unknown-layout");
    let named = "/v1/imports?layout=orders-csv";
    assert_eq!(code(named, "text/csv", "a,b\n1,2\n").await, "unreadable-content");
    assert_eq!(code("/v1/imports?layout=odd", "text/csv", "").await, "malformed-query");
    assert_eq!(code("/v1/imports?dry_run=maybe", "text/csv", "").await, "malformed-query");
    let unknown = format!("/v1/imports/{}/errors", uuid(1));
    assert_eq!(server.send(ask(Method::GET, &unknown)).await.code(), "not-found");
    assert_eq!(server.executor.store().head().borrow().position, 0);
}
