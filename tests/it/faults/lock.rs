//! A lock on the table of events, as a plain `CREATE INDEX` takes it, for longer than a writer is patient: what was accepted before goes on
//! afterwards, and starts of sagas that were refused meanwhile are started.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::subject::Subject;
use super::trial::{Length, Trial};
use crate::harness::Server;
use crate::scaled::system::System;

/// How long the lock is held: longer than three waits for it, and than the patience of a writer.
const LOCKED: Duration = Duration::from_secs(42);

/// How often those are counted who wait for it.
const COUNT_EVERY: Duration = Duration::from_millis(500);

/// Holds the lock for a while; the most that waited for it at once.
async fn lock(url: &str, length: Duration) -> usize {
    let statements =
        format!("BEGIN; LOCK TABLE daybook.events IN SHARE MODE; SELECT pg_sleep({}); COMMIT", length.as_secs());
    let mut locking = psql(url, &statements).spawn().unwrap();
    let begun = Instant::now();
    let (mut most, mut counted) = (0, begun);
    // Its end is seen at once: from then on every process is right to say that it is well.
    while locking.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < length * 4, "the lock does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
        if counted.elapsed() < COUNT_EVERY || begun.elapsed() + COUNT_EVERY > length {
            continue;
        }
        counted = Instant::now();
        let asked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'daybook.events'::regclass";
        let waiting = psql(url, asked).output().unwrap();
        most = most.max(String::from_utf8_lossy(&waiting.stdout).trim().parse().unwrap_or(0));
    }
    assert!(ended_well(&mut locking), "the lock was not had");
    println!("   locked for {:?}, {most} waited for it at once", begun.elapsed());
    most
}

fn ended_well(child: &mut Child) -> bool {
    child.wait().unwrap().success()
}

fn psql(url: &str, statements: &str) -> Command {
    let mut psql = Command::new(servers::postgres::programs().join("psql"));
    psql.args(["-X", "-q", "-tA", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statements]);
    psql.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    psql
}

/// The scaled system.
pub(crate) async fn scaled(length: Length) {
    let system = System::small().await;
    let url = format!("postgres://postgres@{}/daybook", system.cluster.address("postgres"));
    let subject = Subject::Scaled(Box::new(system));
    under_lock("the events are locked, scaled", &subject, &url, length).await;
}

/// One process on a database.
pub(crate) async fn database(length: Length) {
    let postgres = servers::Postgres::start();
    let url = postgres.database();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let server = Server::start_with(&data, &["--set", &format!("store.url={url}")]).await;
    let subject = Subject::Database(server, url.clone());
    under_lock("the events are locked, one process", &subject, &url, length).await;
}

async fn under_lock(name: &str, subject: &Subject, url: &str, length: Length) {
    let mut trial = Trial::begin(name, subject, length).await;
    let waited = lock(url, LOCKED.min(length.fault)).await;
    trial.over();
    assert!(waited > 0, "the fault did not happen: nobody waited for the lock");
    let judged = trial.end(subject).await;
    let (failed, of) = judged.refused();
    assert!(failed * 2 > of, "the fault did not happen: {failed} of {of} orders failed");
}
