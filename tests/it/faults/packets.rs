//! A database that swallows packets: connections stand, and nothing comes back. Requests are answered all the same, and when the network is
//! there again, or has cut what stood, everything goes on.

use servers::Swallow;

use super::subject::Subject;
use super::trial::{Length, Trial};
use crate::harness::Server;
use crate::scaled::system::System;

/// How the fault ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// What stood goes on.
    GoesOn,
    /// What stood is cut.
    Cut,
}

/// One process on a database, log and read models both.
async fn database(length: Length, end: End) {
    let postgres = servers::Postgres::start();
    let direct = postgres.database();
    let proxy = Swallow::before(postgres.port());
    let through = proxy.through(&direct, postgres.port());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let server = Server::start_with(&data, &["--set", &format!("store.url={through}")]).await;
    let subject = Subject::Database(server, direct);
    swallowed(&format!("the database swallows, one process, then: {end:?}"), &subject, &proxy, length, end).await;
}

async fn swallowed(name: &str, subject: &Subject, proxy: &Swallow, length: Length, end: End) {
    let mut trial = Trial::begin(name, subject, length).await;
    proxy.begin();
    tokio::time::sleep(length.fault).await;
    match end {
        End::GoesOn => proxy.go_on(),
        End::Cut => proxy.cut(),
    }
    trial.over();
    let (connections, bytes) = (proxy.swallowed_connections(), proxy.swallowed());
    println!("   {connections} new connections and {bytes} bytes were swallowed");
    assert!(bytes > 0, "the fault did not happen");
    let judged = trial.end(subject).await;
    let (failed, of) = judged.refused();
    assert!(failed * 2 > of, "the fault did not happen: {failed} of {of} orders failed");
}

/// One process; what stood goes on.
pub(crate) async fn goes_on(length: Length) {
    database(length, End::GoesOn).await;
}

/// One process; what stood is cut.
pub(crate) async fn is_cut(length: Length) {
    database(length, End::Cut).await;
}

/// The scaled system: every process, on the log and on the read models.
pub(crate) async fn scaled(length: Length) {
    let (system, proxy) = System::behind_a_proxy().await;
    let subject = Subject::Scaled(Box::new(system));
    swallowed("the database swallows, scaled", &subject, &proxy, length, End::GoesOn).await;
}
