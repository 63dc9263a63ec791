//! The system of compose.yaml: the process that does most of the work is killed while buyers buy, then the other one, then those that
//! project; each comes back.

use std::time::Duration;

use super::system::System;

const BETWEEN: u64 = 60;
const WITHIN: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_process_of_the_shipped_system_is_killed_in_turn_and_comes_back() {
    let mut system = System::shipped().await;
    let (history, load) = system.load(6, 31).await;
    load.until_more(BETWEEN, WITHIN).await;
    for name in ["core-1", "core-2", "projections-1", "projections-2"] {
        system.kill_and_start(name, Duration::from_millis(500)).await;
        load.until_more(BETWEEN, WITHIN).await;
    }
    system.prove(history, load).await;
}
