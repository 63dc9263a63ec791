//! A backup of a store that is being written is one moment of it, proves itself, and can be restored; alterations are
//! found.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use daybook::cli::Backup;
use daybook::config::Config;
use daybook::verify::{self, Expected};
use daybook::{backup, roles};
use domain::saga::Decision;
use domain::saga::event::{Fact, Noted};
use domain::time::Timestamp;
use event_store::append::{Batch, Expectation, NewEvent, Outcome, StreamWrite};
use event_store::record::StreamId;
use roles::Running;
use uuid::Uuid;

fn config(folder: &Path) -> Config {
    let mut config = Config::default();
    config.store.data = folder.to_owned();
    config.http.listen = "127.0.0.1:0".parse().unwrap();
    config
}

/// A store in which stock has come in, so often that snapshots are kept.
async fn stocked(config: &Config) {
    let running = roles::start(config.clone(), "test").await.unwrap();
    for n in 0..300 {
        running.receive("W-1", 1 + n % 3).await.unwrap();
    }
    running.wait_for_models(running.head()).await.unwrap();
    running.stop().await.unwrap();
}

async fn violated(config: &Config, expected: &[Expected]) -> Vec<String> {
    let proof = verify::prove(config, None, expected).await.unwrap();
    assert_eq!(proof.holds, proof.checks.iter().all(|check| check.violated == 0));
    let broken = proof.checks.into_iter().filter(|check| check.violated > 0);
    broken.flat_map(|check| check.violations.into_iter().map(move |what| format!("{}: {what}", check.name))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_has_all_that_was_answered_before_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("data"));
    let running = Arc::new(roles::start(config.clone(), "test").await.unwrap());
    let answered = Arc::new(AtomicU64::new(0));
    let (load, count) = (Arc::clone(&running), Arc::clone(&answered));
    let loading = tokio::spawn(async move {
        loop {
            load.receive("W-1", 1).await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    while answered.load(Ordering::SeqCst) < 50 {
        tokio::task::yield_now().await;
    }
    let before = answered.load(Ordering::SeqCst);
    let to = folder.path().join("backup");
    let made = backup::back_up(&config, &Backup { to: to.clone() }).await.unwrap();
    loading.abort();
    assert!(loading.await.is_err_and(|ended| ended.is_cancelled()), "the load went on all the time");
    assert!(made.proof.holds, "{}", made.text());
    assert!(made.proof.position >= before, "{} of {before}", made.proof.position);
    let again = backup::back_up(&config, &Backup { to: to.clone() }).await;
    assert!(again.is_err_and(|error| format!("{error:#}").contains("not empty")));
    Arc::try_unwrap(running).unwrap_or_else(|_| panic!("nothing else holds it")).stop().await.unwrap();

    // The restored store continues.
    let expected: Expected = format!("{}:{}", made.proof.position, made.proof.hash).parse().unwrap();
    let restored = self::config(&to);
    assert_eq!(violated(&restored, &[expected]).await, Vec::<String>::new());
    let running = roles::start(restored.clone(), "test").await.unwrap();
    assert_eq!(running.head(), made.proof.position);
    running.receive("W-1", 1).await.unwrap();
    running.wait_for_models(running.head()).await.unwrap();
    running.stop().await.unwrap();
    assert_eq!(violated(&restored, &[expected]).await, Vec::<String>::new());
    // The original has all of it too, and more.
    assert_eq!(violated(&config, &[expected]).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_finds_a_changed_snapshot_and_another_history() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    stocked(&config).await;
    let proof = verify::prove(&config, None, &[]).await.unwrap();
    assert!(proof.holds, "{}", proof.text());
    let snapshots = proof.checks.iter().find(|check| check.name.starts_with("snapshots")).unwrap();
    assert!(snapshots.checked > 0, "a snapshot is kept: {}", proof.text());
    let end: Expected = format!("{}:{}", proof.position, proof.hash).parse().unwrap();

    // One digit of a balance, in the file of a store that is stopped.
    let path = folder.path().join("index.sqlite");
    let mut bytes = std::fs::read(&path).unwrap();
    let name = b"\"on_hand\":";
    let at = bytes.windows(name.len()).rposition(|window| window == name).unwrap() + name.len();
    bytes[at] = if bytes[at] == b'9' { b'1' } else { bytes[at] + 1 };
    std::fs::write(&path, bytes).unwrap();
    let found = violated(&config, &[end]).await;
    assert!(found.len() == 1 && found[0].starts_with("snapshots"), "{found:?}");
    // Only a cache: without it everything is intact, and no check trusted it.
    std::fs::remove_file(&path).unwrap();
    let other = Expected { hash: [7; 32], ..end };
    let beyond = Expected { position: end.position + 1, ..end };
    assert_eq!(violated(&config, &[end]).await, Vec::<String>::new());
    assert_eq!(violated(&config, &[end, other, beyond]).await.len(), 2);
}

/// A saga was asked for by two things: the second was not done, and its stream says so.
async fn asked_for_twice(running: &Running) {
    let noted =
        Noted { note: sagas::runner::START_CONFLICT.into(), value: serde_json::json!({ "cause": Uuid::nil() }) };
    let event = domain::Event::Saga(Decision::intervention(Timestamp::default(), Fact::Noted(noted)));
    let encoded = schemas::registry::encode(&event).unwrap();
    let actor = schemas::Actor { id: "sagas".into(), via: "saga".into(), on_behalf_of: None };
    let event = NewEvent {
        event_id: Uuid::now_v7(),
        kind: encoded.kind,
        schema_version: encoded.schema_version,
        data: encoded.data,
        metadata: schemas::Metadata::new(actor, Uuid::nil()).encode(),
    };
    let name = domain::stream::saga("checkout", Uuid::nil());
    let stream = StreamId::new(running.tenant.as_str(), name.category, name.id.as_str());
    let writes = vec![StreamWrite { stream, expected: Expectation::NoStream, events: vec![event] }];
    let batch = Batch { command_id: Uuid::now_v7(), fingerprint: [0; 32], writes };
    assert!(matches!(running.log.append(batch).await.unwrap(), Outcome::Appended(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_asked_for_twice_is_told_and_spoils_neither_proof_nor_backup() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("data"));
    let running = roles::start(config.clone(), "test").await.unwrap();
    asked_for_twice(&running).await;
    running.wait_for_models(running.head()).await.unwrap();
    running.stop().await.unwrap();
    let made = backup::back_up(&config, &Backup { to: folder.path().join("backup") }).await.unwrap();
    assert!(made.proof.holds && made.proof.intact, "{}", made.text());
    assert_eq!((made.proof.conflicts_count, made.proof.conflicts.len()), (1, 1));
    assert!(made.text().contains("asked for twice") && made.text().contains("It can be restored."), "{}", made.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_store_in_which_something_does_not_hold_is_a_backup_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("data"));
    let running = roles::start(config.clone(), "test").await.unwrap();
    let stream = StreamId::new(running.tenant.as_str(), "stock", "main/W-1");
    let event = NewEvent {
        event_id: Uuid::now_v7(),
        kind: "Dreamt".into(),
        schema_version: 1,
        data: bytes::Bytes::from_static(b"{}"),
        metadata: bytes::Bytes::new(),
    };
    let writes = vec![StreamWrite { stream, expected: Expectation::NoStream, events: vec![event] }];
    let batch = Batch { command_id: Uuid::now_v7(), fingerprint: [0; 32], writes };
    assert!(matches!(running.log.append(batch).await.unwrap(), Outcome::Appended(_)));
    running.wait_for_models(running.head()).await.unwrap();
    running.stop().await.unwrap();
    let made = backup::back_up(&config, &Backup { to: folder.path().join("backup") }).await.unwrap();
    assert!(!made.proof.holds && made.proof.intact, "{}", made.text());
    assert!(!made.text().contains("IT IS NOT A VALID BACKUP"), "{}", made.text());
}
