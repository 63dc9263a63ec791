//! The service's basics: one writer to a store, readers beside it, health, metrics, a stop that drains.

use serde_json::Value;

use crate::harness::server::verify;
use crate::harness::{Server, server, shop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_writer_is_refused_by_name_and_readers_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let server = Server::start(&data).await;
    let client = server.client();
    shop::receive(&client, "RED", 10).await;
    let order = shop::place(&client, &[("RED", 1)], "sandbox:approve").await.text("/order_id");

    let second = server::daybook().args(["rebuild", "order_list", "--data", data.to_str().unwrap()]).output().unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(server.address()), "it does not say who holds the store: {said}");
    let through = server::daybook()
        .args(["rebuild", "order_list", "--url", &format!("http://{}", server.address())])
        .output()
        .unwrap();
    assert!(through.status.success(), "{}", String::from_utf8_lossy(&through.stderr));

    verify(&data);
    let history = server::daybook()
        .args(["history", &order, "--data", data.to_str().unwrap(), "--output", "json"])
        .output()
        .unwrap();
    assert!(history.status.success(), "{}", String::from_utf8_lossy(&history.stderr));
    let history: Value = serde_json::from_slice(&history.stdout).unwrap();
    assert!(history.to_string().contains("OrderConfirmed"), "{history}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_metrics_and_a_stop_that_drains() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let server = Server::start(&data).await;
    let client = server.client();
    shop::receive(&client, "RED", 10).await;
    shop::place(&client, &[("RED", 1)], "sandbox:approve").await;
    client.get("/livez").await.expect(200);
    let metrics = client.get("/metrics").await.expect(200).body;
    for name in ["daybook_http_requests", "daybook_store_group", "queue", "lag", "daybook_saga"] {
        assert!(metrics.contains(name), "{name} is missing in {metrics}");
    }
    assert!(server.stop().success());
    verify(&data);
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daybook.toml");
    std::fs::write(&file, "[http]\nlissten = \"127.0.0.1:0\"\n").unwrap();
    let output = server::daybook().args(["config", "--check", "--config", file.to_str().unwrap()]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("lissten"), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_demo_tells_what_happened() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo");
    let run = |arguments: &[&str]| {
        server::daybook()
            .args(["demo", "--no-serve", "--invoices", "60", "--data", data.to_str().unwrap()])
            .args(arguments)
            .output()
            .unwrap()
    };
    let output = run(&["--output", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        summary["orders"]
            .as_u64()
            .or(summary.pointer("/orders/placed").and_then(Value::as_u64))
            .is_some_and(|orders| orders > 30),
        "{summary}"
    );
    assert!(!run(&[]).status.success(), "a store that is not empty was taken");
    assert!(run(&["--resume"]).status.success());
    verify(&data);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_of_a_database_makes_nothing_there_and_needs_no_right_to_write() {
    let url = servers::Postgres::shared().database();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let asked = format!("store.url={url}");
    let psql = |statement: &str| {
        let mut psql = std::process::Command::new(servers::postgres::programs().join("psql"));
        let output = psql.args(["-X", "-q", "-tA", "-d", &url, "-c", statement]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let empty = server::daybook().args(["verify", "--set", &asked]).output().unwrap();
    assert!(!empty.status.success());
    assert!(String::from_utf8_lossy(&empty.stderr).contains("no store"), "{}", String::from_utf8_lossy(&empty.stderr));
    assert_eq!(psql("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'daybook%'"), "0");

    let server = Server::start_with(&data, &["--set", &asked]).await;
    let client = server.client();
    shop::receive(&client, "RED", 10).await;
    shop::place(&client, &[("RED", 1)], "sandbox:approve").await;
    server.stop();
    psql(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$",
    );
    let proof = server::proof(&data, &["--set".to_owned(), asked]);
    assert_eq!(proof["holds"], true, "{proof:#}");
}

#[test]
fn a_separate_count_of_the_retail_file_agrees() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/retail/online_retail_sample.csv.gz");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/count_retail.py");
    let separate = std::process::Command::new("python3").args([script, sample]).output().unwrap();
    assert!(separate.status.success(), "{}", String::from_utf8_lossy(&separate.stderr));
    let separate: Value = serde_json::from_slice(&separate.stdout).unwrap();
    let ours = server::daybook().args(["import", sample, "--dry-run", "--output", "json"]).output().unwrap();
    assert!(ours.status.success(), "{}", String::from_utf8_lossy(&ours.stderr));
    let ours: Value = serde_json::from_slice(&ours.stdout).unwrap();
    assert!(separate.as_object().is_some_and(|counts| counts.len() > 3), "{separate}");
    for (name, count) in separate.as_object().unwrap() {
        let told = ours.get(name).or(ours["counts"].get(name));
        assert_eq!(told, Some(count), "{name}: {ours}");
    }
}
