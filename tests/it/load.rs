//! A short load on one process: everything that its clients were told holds against the log, and what the clients are for is done. And
//! that it is the checker who says so: where a part of the log is lost, it is found.

use std::time::Duration;

use checker::{History, Invariant};
use event_store::sqlite::Store;
use uuid::Uuid;

use crate::harness::Server;
use crate::harness::load::{Action, Counts, Load, Mix};
use crate::harness::recorded::Endpoints;
use crate::harness::server::proof;

fn count(counts: &Counts, of: &str) -> u64 {
    counts.iter().filter(|(what, _)| what.contains(of)).map(|(_, count)| count).sum()
}

#[test]
fn the_checkers_command_ids_are_the_servers() {
    let tenant = domain::ids::Tenant::try_new("main").unwrap();
    assert_eq!(checker::command_id("main", "a-key"), command_api::execute::command_id(&tenant, "a-key"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_were_told_holds_across_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let seed = Uuid::now_v7().as_u128() as u64;
    println!("load: seed {seed}");
    let history = History::new();

    let server = Server::start(&data).await;
    let address = server.address().to_owned();
    let running = Load::of(8, seed).start(&history, &Endpoints::of(&address)).await;
    running.until_more(200, Duration::from_secs(120)).await;
    server.kill();
    let server = Server::start_at(&data, address, &[]).await;
    running.until_more(200, Duration::from_secs(120)).await;
    let counts = running.stop().await;
    println!("load: {counts:?}");

    let log = Store::open_read_only(&data).unwrap();
    let report = checker::check(&history, &*log).await.unwrap();
    report.assert_green();
    assert!(report.counts.resolved > 0, "the kill met no command: {report}");
    for done in ["Place 201", "Ship 20", "Read 200", " again", "Misuse idempotency-key-reused", "version-mismatch"] {
        assert!(count(&counts, done) > 0, "{done} never happened: {counts:?}");
    }
    assert_eq!(count(&counts, "unresolved"), 0, "{counts:?}");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_beside_a_server_under_load_finds_nothing_that_is_not_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let history = History::new();
    let server = Server::start(&data).await;
    let load = Load { mix: Mix(vec![(Action::Place, 1)]), ..Load::of(32, 11) };
    let running = load.start(&history, &Endpoints::of(server.address())).await;
    running.until_more(800, Duration::from_secs(120)).await;
    let mut proved = 0;
    for _ in 0..3 {
        let data = data.clone();
        let proof = tokio::task::spawn_blocking(move || proof(&data, &[])).await.unwrap();
        assert_eq!(proof["holds"], true, "{proof:#}");
        let position = proof["position"].as_u64().unwrap();
        assert!(position > proved, "the log grows all the time");
        proved = position;
    }
    running.stop().await;
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_put_back_to_an_older_copy_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let history = History::new();
    let server = Server::start(&data).await;
    let address = server.address().to_owned();
    let running = Load::of(4, 7).start(&history, &Endpoints::of(&address)).await;
    running.until_more(40, Duration::from_secs(120)).await;
    server.stop();
    let copy = folder.path().join("copy");
    let copied = std::process::Command::new("cp").arg("-a").args([&data, &copy]).status().unwrap();
    assert!(copied.success());

    let server = Server::start_at(&data, address.clone(), &[]).await;
    running.until_more(60, Duration::from_secs(120)).await;
    server.kill();
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&copy, &data).unwrap();
    let server = Server::start_at(&data, address, &[]).await;
    running.until_more(20, Duration::from_secs(120)).await;
    running.stop().await;

    let log = Store::open_read_only(&data).unwrap();
    let report = checker::check(&history, &*log).await.unwrap();
    println!("load: {:?}", report.totals);
    for lost in [Invariant::I1, Invariant::I9] {
        assert!(report.totals.contains_key(&lost), "{report}");
    }
    assert!(server.stop().success());
}
