//! A disk that is full for a while, longer than the leases last: nothing is answered that is not kept, and all that was answered is
//! carried on afterwards by the same process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::{Client, shop};

/// A disk that a test can fill.
#[derive(Clone, Default)]
struct Disk {
    full: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
}

impl Disk {
    fn hook(&self) -> event_store::sqlite::SyncHook {
        let disk = self.clone();
        Arc::new(move || {
            if !disk.full.load(Ordering::SeqCst) {
                return Ok(());
            }
            disk.refused.fetch_add(1, Ordering::SeqCst);
            Err(io::ErrorKind::StorageFull.into())
        })
    }
}

async fn server(data: &std::path::Path, disk: &Disk) -> (daybook::roles::Running, Client) {
    let mut config = daybook::config::Config::default();
    config.store.data = data.to_owned();
    config.http.listen = "127.0.0.1:0".parse().unwrap();
    config.roles.lease_ms = 1_000;
    let hook = disk.hook();
    let running =
        daybook::roles::start_with(config, "test", move |options| options.before_commit = Some(hook)).await.unwrap();
    running.serve().await.unwrap();
    let client = Client::new(&running.url());
    (running, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_that_were_placed_around_a_full_disk_all_end_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let disk = Disk::default();
    let (running, client) = server(&data, &disk).await;
    shop::receive(&client, "RED", 1_000).await;
    // Some are on their way when the disk is full, and all of them are placed again under their keys afterwards.
    let body = shop::order(&[("RED", 1)], "sandbox:approve");
    let mut answered = 0;
    for round in 0..3 {
        for number in 0..10 {
            let key = format!("{round}/{number}");
            let answer = client.post_once("/v1/orders", &key, &body).await;
            assert!([201, 503].contains(&answer.status), "{} {}", answer.status, answer.body);
            answered += usize::from(answer.status == 201);
            if round == 0 && number == 8 {
                disk.full.store(true, Ordering::SeqCst);
            }
        }
        if round == 1 {
            // Longer than the leases: the runner and the payment worker lose them meanwhile.
            tokio::time::sleep(Duration::from_secs(3)).await;
            let ready = client.get("/readyz").await;
            let parts = ready.json()["parts"].as_array().unwrap().clone();
            let sagas = parts.iter().find(|part| part["name"] == "sagas").unwrap();
            assert_ne!(sagas["detail"], "it runs", "{}", ready.body);
            assert!(disk.refused.load(Ordering::SeqCst) > 10, "the fault did not happen");
            disk.full.store(false, Ordering::SeqCst);
        }
    }
    assert!((19..30).contains(&answered), "{answered}");
    for round in 0..3 {
        for number in 0..10 {
            let answer = client.post_once("/v1/orders", &format!("{round}/{number}"), &body).await.expect(201);
            let path = answer.location.unwrap();
            let order = shop::until(&client, &path, "decided", |order| order["status"] != "pending").await;
            assert_eq!(order["status"], "confirmed");
        }
    }
    shop::until(&client, "/readyz", "ready", |ready| ready["ready"] == true).await;
    running.stop().await.unwrap();
    crate::harness::server::verify(&data);
}
