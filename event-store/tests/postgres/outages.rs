//! The server goes away under load and comes back.

use std::sync::Arc;
use std::time::Duration;

use event_store::append::{Batch, Expectation, Outcome};
use event_store::postgres::Store;
use event_store::{Error, EventStore};
use servers::Postgres;

use super::{check, options};
use crate::contract::{keyed, stream, write};

type Sent = Vec<(Batch, Result<Outcome, Error>)>;

async fn load(store: Arc<Store>, task: usize) -> Sent {
    let mut sent = Vec::new();
    for n in 0..150 {
        let id = stream(&format!("s-{task}-{}", n % 5));
        let batch = keyed(&format!("{task}-{n}"), vec![write(&id, Expectation::Any, &["x", "y"])]);
        let outcome = store.append(batch.clone()).await;
        sent.push((batch, outcome));
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_under_load_and_started_again() {
    let mut server = Postgres::start();
    let url = server.database();
    let mut patient = options(&url);
    patient.patience = Duration::from_secs(60);
    let stores = [Store::open(patient.clone()).await.unwrap(), Store::open(patient).await.unwrap()];
    let loads: Vec<_> = (0..6).map(|task| tokio::spawn(load(Arc::clone(&stores[task % 2]), task))).collect();
    for kill in [false, true, false] {
        let before = stores[0].head().borrow().position;
        tokio::time::sleep(Duration::from_millis(150)).await;
        if kill {
            server.kill();
        } else {
            server.stop_immediately();
        }
        assert!(!server.runs());
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.start_again();
        let mut head = stores[0].head();
        let moved = head.wait_for(|head| head.position > before);
        tokio::time::timeout(Duration::from_secs(90), moved).await.unwrap().unwrap();
    }
    for load in loads {
        for (batch, outcome) in load.await.unwrap() {
            // With patience longer than the outage, nothing stays unknown, and nothing is a no.
            let Ok(Outcome::Appended(receipt)) = outcome else {
                panic!("{outcome:?}");
            };
            assert_eq!(stores[1].append(batch).await.unwrap(), Outcome::AlreadyAppended(receipt));
        }
    }
    assert_eq!(check(&*stores[0]).await, 6 * 150 * 2);
    for store in stores {
        store.close().await.unwrap();
    }
}
