//! A process is stopped for longer than its lease and goes on afterwards, not knowing that another has taken its place.

use std::time::Duration;

use event_store::EventStore;
use event_store::consumer::ConsumerKey;

use super::system::{LEASE, System};

async fn epochs(log: &dyn EventStore, name: &str) -> u64 {
    let rows = log.consumers(name).await.unwrap();
    rows.iter().map(|row| row.lease.epoch).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_stopped_beyond_their_lease_do_no_harm_when_they_go_on() {
    let mut replicas: Vec<(&str, usize)> = vec![("nats-2", 0), ("nats-3", 0)];
    replicas.extend(["command-api", "query-api", "ordering"].map(|role| (role, 1)));
    let system = System::start(&replicas).await;
    let (history, load) = system.load(6, 31).await;
    let log = system.log().await;
    for (role, row) in [
        ("projections", "projections"),
        ("sagas", "sagas"),
        ("inventory", "service/inventory"),
        ("payments", "payments"),
        ("relay", "relay"),
    ] {
        load.until_more(30, Duration::from_secs(60)).await;
        // Whichever holds something: of partitions both do, of a single place one does.
        let owner = log
            .consumer(&ConsumerKey {
                name: row.to_owned(),
                partition: 0,
            })
            .await
            .unwrap()
            .unwrap()
            .lease
            .owner;
        let holds = |name: &String| {
            let pid = system.cluster.pid(name).expect("it runs");
            owner.contains(&format!("/{pid}/"))
        };
        let names = system.cluster.replicas(role).unwrap();
        let name = names.iter().find(|name| holds(name)).expect("an owner");
        let before = epochs(&*log, row).await;
        system.cluster.signal(name, "STOP").unwrap();
        tokio::time::sleep(LEASE * 2 + Duration::from_secs(1)).await;
        load.until_more(20, Duration::from_secs(60)).await;
        let during = epochs(&*log, row).await;
        assert!(
            during > before,
            "{name} was stopped, and nobody took its work over"
        );
        system.cluster.signal(name, "CONT").unwrap();
        load.until_more(20, Duration::from_secs(60)).await;
        assert!(system.cluster.pid(name).is_some(), "{name} lives on");
    }
    log.close().await.unwrap();
    system.prove(history, load).await;
}
