//! Clients that take their time, against the real server: those beside them are served, and so are questions about the process.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Client, Server, server, shop};

/// Long after everything that is waited for here: a machine with much else to do is slow.
const LATE: Duration = Duration::from_secs(60);

async fn ended(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let read = tokio::time::timeout(LATE, stream.read_to_end(&mut said)).await;
    drop(read.expect("the connection was not ended"));
    String::from_utf8_lossy(&said).into_owned()
}

async fn send(server: &Server, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// How the process is, as everybody asks it who watches over it.
async fn assert_well(server: &Server) {
    let client = server.client();
    for path in ["/livez", "/readyz", "/metrics"] {
        client.get(path).await.expect(200);
    }
}

/// The product with no more than so many open files.
fn with_files(files: u32) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")]).arg(server::daybook().get_program());
    shell
}

/// An address that was free a moment ago.
fn free_address() -> String {
    format!("127.0.0.1:{}", servers::free_port())
}

/// How many files this process may still open, for sockets of its own.
fn sockets(wanted: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
    let files = files.and_then(|files| files.parse::<usize>().ok()).unwrap_or(usize::MAX);
    wanted.min(files.saturating_sub(200))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_silent_sockets_and_few_file_handles_leave_the_server_answerable() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let server = Server::start_as(with_files(64), &data, free_address(), &[]).await;
    let client = server.client();
    shop::receive(&client, "RED", 10).await;
    let mut silent = Vec::new();
    for number in 0..sockets(2_048) {
        let sent = ["", "P", "GET / HT"][number % 3];
        silent.push(send(&server, sent).await);
    }
    assert_well(&server).await;
    let order = shop::place(&client, &[("RED", 1)], "sandbox:approve").await;
    client
        .get(&format!("/v1/orders/{}?min_position={}", order.text("/order_id"), order.position.unwrap()))
        .await
        .expect(200);
    drop(silent);
    assert_well(&server).await;
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_waits_takes_no_place_from_others() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let settings = ["--set", "http.requests=4", "--set", "projections.longest_wait_ms=600000"];
    let server = Server::start_with(&data, &settings).await;
    let client = server.client();
    shop::receive(&client, "RED", 1_000).await;
    let far = shop::head(&client).await + 900;
    let mut waiting = tokio::task::JoinSet::new();
    // Positions first: a verdict is waited for for a minute at most.
    for number in 0..40 {
        let client = client.clone();
        waiting.spawn(async move {
            if number < 30 {
                return client.get(&format!("/v1/orders?min_position={far}")).await;
            }
            let order = shop::order(&[("RED", 1)], "sandbox:never");
            client.send(Method::POST, "/v1/orders", &[("prefer", "wait=60")], Some(&order)).await
        });
        // One after the other: before they wait, they take a place.
        until_waiting(&server.client(), number + 1).await;
    }
    for _ in 0..4 {
        assert_well(&server).await;
        client.get("/v1/orders?limit=1").await.expect(200);
        shop::place(&client, &[("RED", 1)], "sandbox:approve").await;
    }
    let ready = server::daybook().args(["ready", "--url", &format!("http://{}", server.address())]).status().unwrap();
    assert!(ready.success());
    waiting.abort_all();
}

async fn until_waiting(client: &Client, wanted: usize) {
    let begun = Instant::now();
    while gauge(client, "daybook_http_requests_waiting").await < wanted {
        assert!(begun.elapsed() < LATE, "fewer than {wanted} wait");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn gauge(client: &Client, name: &str) -> usize {
    let metrics = client.get("/metrics").await.expect(200).body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    line.map_or(0, |value| value as usize)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_bodies_are_ended_in_time_and_hold_nobody_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let settings = ["--set", "http.requests=4", "--set", "http.body_timeout_ms=15000"];
    let server = Server::start_with(&data, &settings).await;
    let client = server.client();
    shop::receive(&client, "RED", 10).await;
    let mut held = Vec::new();
    for number in 0..12 {
        let (path, kind) = [("/v1/orders", "application/json"), ("/v1/imports", "text/csv")][number % 2];
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: 100\r\n\r\n");
        held.push(send(&server, &format!("{head}{{")).await);
        until_waiting(&client, number + 1).await;
    }
    assert_well(&server).await;
    shop::place(&client, &[("RED", 1)], "sandbox:approve").await;
    let rows = "{\"no\": \"order\"}\n".repeat(2_000).into_bytes();
    let kind = [("content-type", "application/x-ndjson")];
    let import = client.try_send(Method::POST, "/v1/imports", &kind, Some(rows)).await.expect("an answer");
    import.expect(202);
    for mut stream in held {
        let said = ended(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 408") && said.contains("body-too-slow"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_can_make_up_a_series_of_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let server = Server::start(&data).await;
    let client = server.client();
    let made_up = async |number: usize| {
        let method = Method::from_bytes(format!("METHOD{number}").as_bytes()).unwrap();
        let (id, host) = (format!("id-{number}"), format!("host-{number}"));
        let headers = [("x-request-id", id.as_str()), ("host", host.as_str()), ("x-tenant", id.as_str())];
        for path in [
            "/v1/orders".to_owned(),
            format!("/v1/stock/SKU-{number}"),
            format!("/v1/projections/model-{number}/rebuild"),
            format!("/nowhere/{number}"),
        ] {
            for method in [method.clone(), Method::GET, Method::POST] {
                client.try_send(method, &path, &headers, None).await.expect("an answer");
            }
        }
    };
    let series = async || {
        let metrics = client.get("/metrics").await.expect(200).body;
        let names = metrics.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        names.map(|(name, _)| name.to_owned()).filter(|name| name.contains("http")).collect::<BTreeSet<_>>()
    };
    made_up(0).await;
    series().await;
    let before = series().await;
    for number in 1..50 {
        made_up(number).await;
    }
    let more: Vec<_> = series().await.difference(&before).cloned().collect();
    // Another status now and then is no client's making; hundreds were tried.
    assert!(more.len() < 10, "{more:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_listener_tells_how_the_process_is_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let admin = free_address();
    let server = Server::start_with(&data, &["--set", &format!("http.admin={admin}")]).await;
    assert_well(&server).await;
    let client = Client::new(&format!("http://{admin}"));
    for path in ["/livez", "/readyz", "/metrics"] {
        client.get(path).await.expect(200);
    }
    for path in ["/v1/orders", "/docs", "/"] {
        assert_eq!(client.get(path).await.expect(404).json()["code"], "not-found");
    }
    assert!(server.stop().success());
    assert!(client.try_get("/livez").await.is_none(), "it still listens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_compulsory_where_that_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let server = Server::start_with(&data, &["--set", "http.key_required=true"]).await;
    let client = server.client();
    let id = "00000000-0000-4000-8000-000000000001";
    for (method, path, body) in [
        (Method::POST, "/v1/orders".to_owned(), shop::order(&[("RED", 1)], "sandbox:approve")),
        (Method::POST, "/v1/stock/RED/receipts".to_owned(), json!({"qty": 1})),
        (Method::PATCH, format!("/v1/reservations/{id}"), json!({})),
        (Method::DELETE, format!("/v1/reservations/{id}"), Value::Null),
        (Method::POST, "/v1/imports".to_owned(), Value::Null),
        (Method::POST, "/v1/projections/order_list/rebuild".to_owned(), Value::Null),
    ] {
        let told = client.send(method.clone(), &path, &[], Some(&body)).await.expect(400);
        assert_eq!(told.json()["code"], "idempotency-key-required", "{method} {path}");
    }
    assert_eq!(shop::head(&client).await, 0);
    client.post_once("/v1/stock/RED/receipts", "k", &json!({"qty": 1})).await.expect(201);
    client.get("/v1/orders").await.expect(200);
    let url = format!("http://{}", server.address());
    let rebuilt = server::daybook().args(["rebuild", "order_list", "--url", &url]).status().unwrap();
    assert!(rebuilt.success(), "the program's own requests have no key");
}

#[test]
fn what_cannot_work_is_refused_with_its_name_and_code_2() {
    for (key, value) in [
        ("sagas.in_flight", "0"),
        ("payments.in_flight", "0"),
        ("http.requests", "0"),
        ("http.connections", "0"),
        ("nats.max_age_h", "0"),
        ("telemetry.log", "sagas=loud"),
    ] {
        let output =
            server::daybook().args(["config", "--check", "--set", &format!("{key}={value}")]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{key}: {said}");
        assert!(said.contains(key), "{said}");
    }
    let others = [("DAYBOOK_SERVICE_HOST", "10.0.0.7"), ("DAYBOOK_PORT", "tcp://10.0.0.7:8080")];
    let output = server::daybook().args(["config", "--check"]).envs(others).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
