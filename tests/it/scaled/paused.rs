//! A process is stopped for longer than its lease and goes on afterwards, not knowing that another has taken its place.

use std::time::{Duration, Instant};

use super::leases::first_row;
use super::system::{LEASE, System};
use super::{broker, logged};

/// How long the system may take to go on.
const WITHIN: Duration = Duration::from_secs(120);

/// How often a process has found that its work is another's.
fn found(system: &System, name: &str) -> usize {
    logged::count(system, name, logged::TAKEN_OVER)
}

/// Waits until no thread of a process runs any more.
async fn await_stopped(pid: u32) {
    for _ in 0..100 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        if stat[stat.rfind(')').unwrap()..].starts_with(") T ") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{pid} was stopped and goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_stopped_beyond_their_lease_do_no_harm_when_they_go_on() {
    let mut replicas: Vec<(&str, usize)> = vec![("nats-2", 0), ("nats-3", 0)];
    replicas.extend(["command-api", "query-api", "ordering"].map(|role| (role, 1)));
    let system = System::start(&replicas).await;
    let (history, load) = system.load(6, 31).await;
    let log = system.log().await;
    let urls = system.environment()["DAYBOOK_NATS__URLS"].clone();
    let generation = broker::published(&urls).await.generation;
    for role in ["projections", "sagas", "inventory", "payments", "relay"] {
        load.until_more(30, WITHIN).await;
        let before = first_row(&*log, role).await;
        let name = system.holder(role, &before).expect("one at work");
        system.cluster.signal(&name, "STOP").unwrap();
        await_stopped(system.cluster.pid(&name).expect("it is there")).await;
        tokio::time::sleep(LEASE * 2 + Duration::from_secs(1)).await;
        // It holds nothing any more, and does not know.
        system.await_taken_over(&*log, role, &before).await;
        load.until_more(20, WITHIN).await;
        let known = found(&system, &name);
        system.cluster.signal(&name, "CONT").unwrap();
        load.until_more(20, WITHIN).await;
        let since = Instant::now();
        while found(&system, &name) == known {
            assert!(
                since.elapsed() < WITHIN,
                "{name} goes on and does not see that its work is others': {}",
                system.cluster.log(&name)
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(system.cluster.pid(&name).is_some(), "{name} lives on");
    }
    log.close().await.unwrap();
    system.prove(history, load).await;
    // What a relay published after its lease would not stand where it belongs; the other one would have begun again because of it.
    let now = broker::published(&urls).await.generation;
    assert_eq!(now, generation, "the stream was spoilt");
}
