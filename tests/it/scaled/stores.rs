//! The database stops in the middle of everything and comes back.

use std::time::Duration;

use super::system::System;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_restarted_in_immediate_mode() {
    let mut system = System::small().await;
    let (history, load) = system.load(6, 21).await;
    for round in 0..3_u64 {
        load.until_more(40, Duration::from_secs(60)).await;
        system.cluster.end("postgres", "QUIT").unwrap();
        assert_eq!(system.cluster.pid("postgres"), None);
        tokio::time::sleep(Duration::from_millis(300 * (round + 1))).await;
        system.cluster.start("postgres").unwrap();
        system.await_ready("postgres").await;
    }
    let log = system.cluster.log("postgres");
    assert_eq!(
        log.matches("database system was not properly shut down")
            .count(),
        3,
        "the server was cut off three times: {log}"
    );
    load.until_more(60, Duration::from_secs(90)).await;
    system.prove(history, load).await;
}
