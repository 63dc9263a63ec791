//! Starts from nothing with a database that comes late: `migrate` is started before anybody listens there, and every role must become
//! ready all the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cluster::{Cluster, Options};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::harness::server::program;
use crate::scaled::system::{refused_nothing, services};

/// The latest that the database comes: well within what `migrate` waits for.
const LATEST_MS: u64 = 8_000;
/// After so long `migrate` has found nobody: it is started at most this much later than the database's process.
const SURELY_MS: u64 = 2_000;
/// What `migrate` says when it waits.
const WAITS: &str = "waiting up to";

/// Starts everything that a file has so many times, each time in a new folder. `replicas`: how many there are of services, where it is not
/// as the file says. Returns how often `migrate` had to wait.
pub(crate) fn each(file: &str, times: u32, seed: u64, earliest: u64, replicas: &[(&str, usize)]) -> u32 {
    println!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let mut waited = 0;
    for time in 1..=times {
        let late = chance.random_range(earliest..=LATEST_MS);
        let begun = Instant::now();
        let waits = once(file, Duration::from_millis(late), replicas);
        assert!(waits || late < SURELY_MS, "the database came {late} ms late, and nobody noticed");
        waited += u32::from(waits);
        let took = begun.elapsed().as_secs_f64();
        println!("start {time} of {times}: the database came {late} ms late; everything was ready after {took:.1} s");
    }
    waited
}

/// How long a role may take after its process has begun to serve.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// One start; whether `migrate` had to wait.
fn once(file: &str, late: Duration, replicas: &[(&str, usize)]) -> bool {
    let folder = servers::folder::temporary("starts");
    // The server's user has to get to its data.
    assert!(Command::new("chmod").arg("755").arg(folder.path()).status().unwrap().success());
    let mut cluster = Cluster::up(Options {
        compose: Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file),
        folder: folder.path().join("cluster"),
        daybook: program(),
        bound: true,
        fixed_ports: false,
        replicas: replicas.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        environment: BTreeMap::from([("DAYBOOK_TELEMETRY__FORMAT".to_owned(), "text".to_owned())]),
        wire: None,
        late: Some(late),
    })
    .unwrap();
    for service in services(file) {
        for name in cluster.replicas(service).unwrap() {
            let since = Instant::now();
            while !cluster.is_ready(&name) {
                assert!(since.elapsed() < READY_WITHIN, "{name} is not ready: {}", cluster.log(&name));
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
    refused_nothing(&cluster);
    let told = cluster.log("migrate");
    assert!(told.matches(WAITS).count() <= 1, "it says more than once what it waits for: {told}");
    cluster.down().unwrap();
    told.contains(WAITS)
}

#[cfg(test)]
mod tests {
    use crate::scaled::system::{AS_SHIPPED, BY_ROLES, System};

    #[test]
    fn everything_becomes_ready_with_a_database_that_comes_late() {
        for (file, replicas) in [(BY_ROLES, System::one_of_each()), (AS_SHIPPED, vec![("nats-2", 0), ("nats-3", 0)])] {
            let waited = super::each(file, 1, 1, super::SURELY_MS, &replicas);
            assert_eq!(waited, 1, "{file}: migrate did not wait");
        }
    }
}
