//! The database stops in the middle of everything and comes back.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use super::logged;
use super::system::System;
use crate::harness::load::{Action, Load, Mix};

/// How often the server is cut off, at the least and at the most.
const LEAST: u32 = 3;
const MOST: u32 = 10;
/// How long the system may take to go on.
const WITHIN: Duration = Duration::from_secs(180);

/// How many commits were sent and never answered, as the processes say that had to find out what became of them.
fn doubts(system: &System) -> BTreeMap<String, usize> {
    let names = system.cluster.names().into_iter();
    let doubts = names.map(|name| {
        let doubts = logged::count(system, &name, &[logged::IN_DOUBT]);
        (name, doubts)
    });
    doubts.filter(|(_, count)| *count > 0).collect()
}

/// Tells the server something, as its superuser.
fn tell(system: &System, statements: &[&str]) {
    let address = system.cluster.address("postgres");
    let mut psql = Command::new(servers::postgres::programs().join("psql"));
    psql.arg(format!("postgres://postgres@{address}/daybook")).args(["-v", "ON_ERROR_STOP=1"]);
    for statement in statements {
        psql.args(["-c", statement]);
    }
    let told = psql.output().unwrap();
    assert!(told.status.success(), "{told:?}");
}

/// Lets the server take its time over each commit, as a slow disk would.
const SLOW_COMMITS: [&str; 3] =
    ["ALTER SYSTEM SET commit_delay = 50000", "ALTER SYSTEM SET commit_siblings = 0", "SELECT pg_reload_conf()"];

/// Comes back in the middle of a commit to the log.
const AWAIT_A_COMMIT: [&str; 2] = [
    "SET statement_timeout = '60s'",
    "DO $$ BEGIN LOOP
       PERFORM pg_stat_clear_snapshot();
       EXIT WHEN EXISTS (SELECT FROM pg_stat_activity
         WHERE state = 'active' AND query = 'COMMIT' AND application_name = 'daybook serve');
       PERFORM pg_sleep(0.001);
     END LOOP; END $$",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_restarted_in_immediate_mode() {
    let mut system = System::small().await;
    tell(&system, &SLOW_COMMITS);
    let (history, load) = system.load(6, 21).await;
    // Commands that do nothing but to be written, so that many commits are of the process that takes them.
    let receipts = Load {
        mix: Mix(vec![(Action::Restock, 1)]),
        skus: (1..=32).map(|number| format!("BULK{number}")).collect(),
        ..Load::of(6, 22)
    };
    let receipts = receipts.start(&history, &system.endpoints()).await;
    let mut rounds = 0;
    // Each time in the middle of a commit; until it was one of the process that takes commands, for what it tells its clients is checked.
    while rounds < LEAST || (!doubts(&system).contains_key("command-api") && rounds < MOST) {
        load.until_more(20, WITHIN).await;
        tell(&system, &AWAIT_A_COMMIT);
        system.cluster.end("postgres", "QUIT").unwrap();
        assert_eq!(system.cluster.pid("postgres"), None);
        rounds += 1;
        tokio::time::sleep(Duration::from_millis(300) * rounds.min(LEAST)).await;
        system.cluster.start("postgres").unwrap();
        system.await_ready("postgres").await;
    }
    let log = system.cluster.log("postgres");
    let cut = log.matches("database system was not properly shut down");
    assert_eq!(cut.count(), rounds as usize, "the server was cut off each time: {log}");
    let doubts = doubts(&system);
    println!("commits in doubt after {rounds} restarts: {doubts:?}");
    assert!(!doubts.is_empty(), "no commit was cut off half way");
    load.until_more(60, WITHIN).await;
    let received = receipts.stop().await;
    println!("{received:?}");
    assert!(!received.contains_key("Restock unresolved"), "{received:?}");
    system.prove(history, load).await;
}
