//! A thousand buyers, a hundred units: exactly a hundred are sold, everybody is told, nobody sees an error.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::harness::{Server, shop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_buyers_of_a_hundred_units() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("store")).await;
    let client = server.client();
    shop::receive(&client, "HOT", 100).await;
    let buyers = (0..1_000).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            let since = Instant::now();
            let answer = client.post_and_wait("/v1/orders", &shop::order(&[("HOT", 1)], "sandbox:approve")).await;
            (answer, since.elapsed())
        })
    });
    let mut verdicts: BTreeMap<String, usize> = BTreeMap::new();
    let mut times = Vec::new();
    for buyer in buyers.collect::<Vec<_>>() {
        let (answer, took) = buyer.await.unwrap();
        // Who was told only that it takes longer asks until it is decided.
        let path = format!("/v1/orders/{}", answer.expect(201).text("/order_id"));
        let body = shop::until(&client, &path, "decided", |order| order["status"] != "pending").await;
        let reason = body.pointer("/rejection/reason").and_then(|reason| reason.as_str()).unwrap_or("");
        *verdicts.entry(format!("{} {reason}", body["status"].as_str().unwrap()).trim().to_owned()).or_default() += 1;
        times.push(took);
    }
    times.sort();
    println!("p50 {:?}, p99 {:?}, last {:?}", times[500], times[990], times[999]);
    let wanted = BTreeMap::from([("confirmed".to_owned(), 100), ("rejected out_of_stock".to_owned(), 900)]);
    assert_eq!(verdicts, wanted);
    let body = client.get("/v1/stock/HOT").await.expect(200).body;
    assert!(
        body.contains("\"on_hand\":100") && body.contains("\"reserved\":100") && body.contains("\"available\":0"),
        "{body}"
    );
}
