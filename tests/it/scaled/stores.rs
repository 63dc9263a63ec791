//! The database stops in the middle of everything and comes back.

use std::time::Duration;

use super::system::System;
use crate::harness::load::{Action, Load, Mix};

/// How often the server is cut off, at the least and at the most.
const LEAST: u32 = 3;
const MOST: u32 = 12;

/// How many commits were sent and never answered, as the process says that takes commands: what it told its clients of them is checked.
fn doubts(system: &System) -> usize {
    let log = system.cluster.log("command-api");
    log.matches("a commit is looked into").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_restarted_in_immediate_mode() {
    let mut system = System::small().await;
    let (history, load) = system.load(6, 21).await;
    // Commands that do nothing but to be written, so that the server is seldom cut off between two commits.
    let receipts = Load {
        mix: Mix(vec![(Action::Restock, 1)]),
        skus: (1..=32).map(|number| format!("BULK{number}")).collect(),
        ..Load::of(6, 22)
    };
    let receipts = receipts.start(&history, &system.endpoints()).await;
    let mut rounds = 0;
    // So often that a commit is cut off whose outcome nobody was told.
    while rounds < LEAST || (doubts(&system) == 0 && rounds < MOST) {
        load.until_more(40, Duration::from_secs(60)).await;
        system.cluster.end("postgres", "QUIT").unwrap();
        assert_eq!(system.cluster.pid("postgres"), None);
        rounds += 1;
        tokio::time::sleep(Duration::from_millis(300) * rounds.min(LEAST)).await;
        system.cluster.start("postgres").unwrap();
        system.await_ready("postgres").await;
    }
    let log = system.cluster.log("postgres");
    let cut = log.matches("database system was not properly shut down");
    assert_eq!(
        cut.count(),
        rounds as usize,
        "the server was cut off each time: {log}"
    );
    let doubts = doubts(&system);
    println!("{doubts} commits were in doubt after {rounds} restarts");
    assert!(doubts > 0, "no commit was cut off half way");
    load.until_more(60, Duration::from_secs(90)).await;
    let received = receipts.stop().await;
    println!("{received:?}");
    assert!(!received.contains_key("Restock unresolved"), "{received:?}");
    system.prove(history, load).await;
}
