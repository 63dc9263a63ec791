//! The answer never precedes the sync: while a commit stalls or fails, nobody is told that it is done.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::harness::{Answer, Client, shop};

/// How long a request may take to come to its sync.
const REACHED_WITHIN: Duration = Duration::from_secs(60);

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
    let running =
        daybook::roles::start_with(config, "test", move |options| options.before_commit = Some(hook)).await.unwrap();
    running.serve().await.unwrap();
    let client = Client::new(&running.url());
    (running, client)
}

/// Sends requests while the sync stalls: none of them may be answered before that is over. Their answers.
async fn stalled(
    gate: &Gate,
    requests: impl Iterator<Item = impl Future<Output = Answer> + Send + 'static>,
) -> Vec<Answer> {
    let before = gate.reached();
    gate.state.store(STALLED, Ordering::SeqCst);
    let requests: Vec<_> = requests.map(tokio::spawn).collect();
    let since = Instant::now();
    while gate.reached() == before && since.elapsed() < REACHED_WITHIN {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Time enough for an answer that does not wait.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let reached = gate.reached();
    let told = requests.iter().filter(|request| request.is_finished()).count();
    // Opened before anything is claimed, so that a test that fails ends.
    gate.state.store(OPEN, Ordering::SeqCst);
    assert!(reached > before, "the fault did not happen");
    assert_eq!(told, 0, "somebody was answered before the sync");
    let mut answers = Vec::new();
    for request in requests {
        answers.push(request.await.unwrap());
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_answered_while_the_sync_stalls() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let (running, client) = server(&folder.path().join("store"), &gate).await;
    shop::receive(&client, "RED", 10).await;

    // A refusal rests on what is durable as well. It goes first, while nothing else is written: what stalls is its own sync, and nobody
    // waits behind another's only.
    let refusal = {
        let client = client.clone();
        async move {
            client
                .post("/v1/stock/RED/adjustments", &serde_json::json!({ "delta": -1, "reason": "x", "expected": 99 }))
                .await
        }
    };
    for answer in stalled(&gate, std::iter::once(refusal)).await {
        answer.expect(409);
    }

    let order = shop::order(&[("RED", 1)], "sandbox:approve");
    let orders = (0..8).map(|number| {
        let (client, order) = (client.clone(), order.clone());
        async move { client.post_once("/v1/orders", &format!("stalled-{number}"), &order).await }
    });
    for answer in stalled(&gate, orders).await {
        answer.expect(201);
    }
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
        async move { client.post_once("/v1/orders", &format!("failing-{number}"), &order).await }
    });
    for answer in futures_util::future::join_all(tries).await {
        assert!(answer.status >= 500, "answered {} though nothing was synced: {}", answer.status, answer.body);
    }
    assert!(gate.reached() > 0, "the fault did not happen");
    // The files may not close cleanly after such a failure; what is in them is what the next start finds.
    let _ = running.stop().await;

    // What became of them is found out by asking again under the same key: one order each, whatever it was.
    let (running, client) = server(&data, &Gate::default()).await;
    for number in 0..8 {
        client.post_once("/v1/orders", &format!("failing-{number}"), &order).await.expect(201);
    }
    shop::head(&client).await;
    let listed = client.get("/v1/orders").await.expect(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 8, "{listed}");
    running.stop().await.unwrap();
}
