//! A crowd at the door of an embedded store: silent connections, half preambles, half heads, half bodies, bodies that drip, clients that
//! do not read. Health answers, and who has something to say is served.

use super::crowd::{Crowd, Kind};
use super::files::limited;
use super::subject::Subject;
use super::trial::{Length, Trial};
use crate::harness::Server;

/// The usual limit of open files: far fewer than there are connections.
const FILES: usize = 1_024;
/// What a process takes by default.
const WHOLE: [&str; 2] = ["http.connections=4096", "http.requests=2048"];

/// Thousands of them; an eighth, and a process that takes few, where it is to be short.
pub(crate) async fn embedded(length: Length) {
    let (parts, few) = if length.is_short() { (8, ["http.connections=128", "http.requests=32"]) } else { (1, WHOLE) };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let address = format!("127.0.0.1:{}", servers::free_port());
    let server = Server::start_as(limited(FILES), &data, address.clone(), &["--set", few[0], "--set", few[1]]).await;
    let subject = Subject::Embedded(server);
    let kinds = [
        (Kind::Silent, 2_048 / parts),
        (Kind::HalfPreface, 256 / parts),
        (Kind::HalfHead, 256 / parts),
        (Kind::HalfBody, 128 / parts),
        (Kind::Dripping, 64 / parts),
        (Kind::Deaf, 64 / parts),
    ];
    let mut trial = Trial::begin("a crowd at the door", &subject, length).await;
    let crowd = Crowd::gather(&address, &kinds);
    tokio::time::sleep(length.fault).await;
    let came = crowd.leave().await;
    trial.over();
    println!("   {came}");
    let wanted: usize = kinds.iter().map(|(_, count)| count).sum();
    assert!(came.taken as usize >= wanted / 2, "the fault did not happen: {came} of {wanted}");
    let judged = trial.end(&subject).await;
    let (failed, of) = judged.refused();
    assert!(failed * 4 < of, "{failed} of {of} orders failed meanwhile");
}
