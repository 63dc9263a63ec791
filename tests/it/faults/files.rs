//! A process that may open few files, while somebody holds idle connections to it: it must keep what it needs for its own work, and go on
//! answering.

use std::process::Command;

use super::crowd::{Crowd, Kind};
use super::resources::most_files;
use super::subject::Subject;
use super::trial::{Length, Trial};
use crate::harness::{Server, server};

/// The most open files of the process.
const FILES: usize = 64;
/// Idle connections that are held to it: several times what it may open.
const IDLE: usize = 256;

/// The product, with so many open files at the most.
pub(super) fn limited(files: usize) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]).arg(server::program());
    shell
}

/// An embedded store under `ulimit -n 64`.
pub(crate) async fn embedded(length: Length) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let address = format!("127.0.0.1:{}", servers::free_port());
    let server = Server::start_as(limited(FILES), &data, address.clone(), &[]).await;
    assert_eq!(most_files(server.pid()), Some(FILES), "the limit holds");
    let subject = Subject::Embedded(server);
    let mut trial = Trial::begin("few open files, many idle connections", &subject, length).await;
    let crowd = Crowd::gather(&address, &[(Kind::Silent, IDLE)]);
    tokio::time::sleep(length.fault).await;
    let came = crowd.leave().await;
    trial.over();
    println!("   {came}");
    assert!(came.taken + came.refused >= IDLE as u64, "the fault did not happen: {came}");
    let judged = trial.end(&subject).await;
    let (failed, of) = judged.refused();
    assert!(failed * 4 < of, "{failed} of {of} orders failed meanwhile");
}
