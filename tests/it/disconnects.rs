//! Clients that hang up at a random byte, a thousand of them: whatever became of the first try, the retried key gives one order.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::server::verify;
use crate::harness::{Client, Server, shop};

const CLIENTS: usize = 1_000;

/// Sends the first `bytes` of a request and resets the connection; with `linger`, it first reads that many bytes of the answer.
async fn hang_up(address: &str, request: &[u8], bytes: usize, read: usize) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(&request[..bytes]).await;
    if read > 0 {
        let mut some = vec![0; read];
        let _ = tokio::time::timeout(std::time::Duration::from_millis(200), stream.read(&mut some)).await;
    }
    let _ = stream.set_zero_linger();
}

fn request(address: &str, key: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /v1/orders HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nidempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn one(address: String, client: Client, number: usize, seed: u64) -> (bool, String) {
    let mut rng = StdRng::seed_from_u64(seed + number as u64);
    let key = format!("buyer-{number}");
    let order = shop::order(&[("RED", 1)], "sandbox:approve");
    let request = request(&address, &key, &order.to_string());
    let bytes = if rng.random_bool(0.5) { request.len() } else { rng.random_range(0..request.len()) };
    let read = if bytes == request.len() { rng.random_range(0..200) } else { 0 };
    hang_up(&address, &request, bytes, read).await;
    let answer = client.post_once("/v1/orders", &key, &order).await.expect(201);
    (answer.replayed, answer.text("/order_id"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_and_comes_back_has_one_order() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let server = Server::start(&data).await;
    let client = server.client();
    shop::receive(&client, "RED", 10_000).await;
    let seed = 7;
    let mut orders = std::collections::BTreeSet::new();
    let mut replayed = 0;
    for round in 0..CLIENTS / 50 {
        let tries =
            (0..50).map(|at| tokio::spawn(one(server.address().to_owned(), client.clone(), round * 50 + at, seed)));
        for done in futures_util::future::join_all(tries).await {
            let (again, order_id) = done.unwrap();
            replayed += usize::from(again);
            orders.insert(order_id);
        }
    }
    assert_eq!(orders.len(), CLIENTS);
    // Some first tries were carried out though nobody waited for the answer, and some were not: else nothing was tested.
    assert!(replayed > CLIENTS / 20 && replayed < CLIENTS, "{replayed} of {CLIENTS} had been carried out");
    shop::head(&client).await;
    let listed = client.get("/v1/orders?count=exact&limit=1").await.expect(200).json();
    assert_eq!(listed.pointer("/count/value").and_then(serde_json::Value::as_u64), Some(CLIENTS as u64), "{listed}");
    assert!(server.stop().success());
    verify(&data);
}
