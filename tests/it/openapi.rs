//! The committed OpenAPI document is the one that the routes make, and the server serves it with a page to browse it.

use crate::harness::{Server, server};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/openapi.json");

#[test]
fn the_committed_document_is_made_from_the_routes() {
    let output = server::daybook().arg("openapi").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let committed: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(COMMITTED).unwrap()).unwrap();
    assert_eq!(made, committed, "run: cargo run -- openapi > schemas/openapi.json");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_serves_it_with_a_page_that_needs_no_network() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("store")).await;
    let client = server.client();
    client.get("/openapi.json").await.expect(200).json();
    let page = client.get("/docs/").await.expect(200);
    assert!(page.content_type.starts_with("text/html"));
    assert!(!page.body.contains("https://"), "the page fetches something: {}", page.body);
}
