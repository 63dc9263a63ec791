//! Every role is killed in turn while buyers buy: its work goes to others or waits, and nothing is lost.

use std::time::Duration;

use event_store::consumer::ConsumerKey;

use super::system::{LEASE, System};

/// Requests that have to be answered between two faults.
const BETWEEN: u64 = 40;
const WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_is_killed_in_turn_and_comes_back() {
    let mut system = System::small().await;
    let (history, load) = system.load(6, 11).await;
    load.until_more(BETWEEN, WITHIN).await;
    let log = system.log().await;
    let epoch = |name: &str| {
        let (log, key) = (
            log.clone(),
            ConsumerKey {
                name: name.to_owned(),
                partition: 0,
            },
        );
        async move { log.consumer(&key).await.unwrap().unwrap().lease.epoch }
    };
    for role in [
        "relay",
        "projections",
        "sagas",
        "ordering",
        "inventory",
        "payments",
        "query-api",
        "command-api",
    ] {
        let row = match role {
            "relay" | "projections" | "sagas" | "payments" => Some(role.to_owned()),
            "ordering" | "inventory" => Some(format!("service/{role}")),
            _ => None,
        };
        let before = match &row {
            Some(row) => Some(epoch(row).await),
            None => None,
        };
        system
            .kill_and_start(role, Duration::from_millis(500))
            .await;
        load.until_more(BETWEEN, WITHIN).await;
        if let (Some(row), Some(before)) = (row, before) {
            let since = std::time::Instant::now();
            while epoch(&row).await == before {
                assert!(
                    since.elapsed() < LEASE * 10,
                    "nobody took {row} over after its process was killed"
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    log.close().await.unwrap();
    system.prove(history, load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_from_one_that_is_killed_for_good() {
    let mut replicas: Vec<(&str, usize)> = vec![("nats-2", 0), ("nats-3", 0)];
    replicas.extend(["command-api", "query-api", "ordering"].map(|role| (role, 1)));
    let system = System::start(&replicas).await;
    let (history, load) = system.load(6, 12).await;
    load.until_more(BETWEEN, WITHIN).await;
    // Whichever of the two is active: one of each is gone, and never comes back.
    for role in ["relay", "projections", "sagas", "inventory", "payments"] {
        let name = format!("{role}-1");
        system.cluster.kill(&name).unwrap();
        assert_eq!(system.cluster.pid(&name), None);
    }
    tokio::time::sleep(LEASE * 2).await;
    load.until_more(BETWEEN, WITHIN).await;
    let log = system.log().await;
    for partition in 0..event_store::partition::CORRELATIONS {
        let key = ConsumerKey {
            name: "sagas".to_owned(),
            partition,
        };
        let row = log.consumer(&key).await.unwrap().unwrap();
        assert!(
            row.lease.lease_until > log.now(),
            "nobody runs the long processes of partition {partition}"
        );
    }
    log.close().await.unwrap();
    system.prove(history, load).await;
}
