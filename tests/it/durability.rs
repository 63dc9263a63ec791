//! The answer never precedes the sync: while a commit stalls or fails, nobody is told that it is done.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::{Client, shop};

const OPEN: u8 = 0;
const STALLED: u8 = 1;
const FAILING: u8 = 2;

/// A sync that a test can stall or break.
#[derive(Clone, Default)]
struct Gate {
    state: Arc<AtomicU8>,
    reached: Arc<Mutex<usize>>,
}

impl Gate {
    fn hook(&self) -> event_store::sqlite::SyncHook {
        let gate = self.clone();
        Arc::new(move || {
            if gate.state.load(Ordering::SeqCst) != OPEN {
                *gate.reached.lock().unwrap() += 1;
            }
            while gate.state.load(Ordering::SeqCst) == STALLED {
                std::thread::sleep(Duration::from_millis(1));
            }
            if gate.state.load(Ordering::SeqCst) == FAILING {
                Err(io::Error::other("the disk says no"))
            } else {
                Ok(())
            }
        })
    }

    fn reached(&self) -> usize {
        *self.reached.lock().unwrap()
    }
}

async fn server(data: &std::path::Path, gate: &Gate) -> (daybook::roles::Running, Client) {
    let mut config = daybook::config::Config::default();
    config.store.data = data.to_owned();
    config.http.listen = "127.0.0.1:0".parse().unwrap();
    let hook = gate.hook();
    let running = daybook::roles::start_with(config, "test", move |options| {
        options.before_commit = Some(hook)
    })
    .await
    .unwrap();
    running.serve().await.unwrap();
    let client = Client::new(&running.url());
    (running, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_answered_while_the_sync_stalls() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let (running, client) = server(&folder.path().join("store"), &gate).await;
    shop::receive(&client, "RED", 10).await;

    gate.state.store(STALLED, Ordering::SeqCst);
    let order = shop::order(&[("RED", 1)], "sandbox:approve");
    let requests: Vec<_> = (0..8)
        .map(|number| {
            let (client, order) = (client.clone(), order.clone());
            tokio::spawn(async move {
                client
                    .post_once("/v1/orders", &format!("stalled-{number}"), &order)
                    .await
            })
        })
        .collect();
    // A refusal rests on what is durable as well: it waits likewise.
    let refusal = {
        let client = client.clone();
        tokio::spawn(async move {
            client
                .post(
                    "/v1/stock/RED/adjustments",
                    &serde_json::json!({ "delta": -1, "reason": "x", "expected": 99 }),
                )
                .await
        })
    };
    tokio::time::sleep(Duration::from_millis(600)).await;
    let reached = gate.reached();
    let told = requests
        .iter()
        .filter(|request| request.is_finished())
        .count();
    let refused = refusal.is_finished();
    // Opened before anything is claimed, so that a test that fails ends.
    gate.state.store(OPEN, Ordering::SeqCst);
    assert!(reached > 0, "the fault did not happen");
    assert_eq!(told, 0, "somebody was answered before the sync");
    assert!(!refused, "a refusal was answered before the sync");

    for request in requests {
        request.await.unwrap().expect(201);
    }
    refusal.await.unwrap().expect(409);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_is_never_answered_with_success() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let gate = Gate::default();
    let (running, client) = server(&data, &gate).await;
    shop::receive(&client, "RED", 10).await;

    gate.state.store(FAILING, Ordering::SeqCst);
    let order = shop::order(&[("RED", 1)], "sandbox:approve");
    let tries = (0..8).map(|number| {
        let (client, order) = (client.clone(), order.clone());
        async move {
            client
                .post_once("/v1/orders", &format!("failing-{number}"), &order)
                .await
        }
    });
    for answer in futures_util::future::join_all(tries).await {
        assert!(
            answer.status >= 500,
            "answered {} though nothing was synced: {}",
            answer.status,
            answer.body
        );
    }
    assert!(gate.reached() > 0, "the fault did not happen");
    // The files may not close cleanly after such a failure; what is in them is what the next start finds.
    let _ = running.stop().await;

    // What became of them is found out by asking again under the same key: one order each, whatever it was.
    let (running, client) = server(&data, &Gate::default()).await;
    for number in 0..8 {
        client
            .post_once("/v1/orders", &format!("failing-{number}"), &order)
            .await
            .expect(201);
    }
    let position = shop::head(&client).await;
    let listed = client
        .get(&format!("/v1/orders?min_position={position}"))
        .await
        .expect(200)
        .json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 8, "{listed}");
    running.stop().await.unwrap();
}
