//! Real servers for tests. Each is a child process with a folder and a port of its own, and ends with the test process, however that
//! ends. `scripts/servers` installs the programs; a test that cannot find one fails and says so.
#![expect(clippy::unwrap_used, reason = "a test without its server has nothing to go on with")]

pub mod folder;
pub mod nats;
pub mod postgres;
mod process;

pub use nats::Nats;
pub use postgres::Postgres;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that systems give to outgoing connections, one of which could else have the port before it is used.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// A port of the loopback that nobody listens on now; each call gives another one.
///
/// # Panics
/// If all are taken.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    // Processes begin at different places, so that they seldom look at the same port at once.
    let next = NEXT.get_or_init(|| {
        let anywhere = RandomState::new().build_hasher().finish() % u64::from(u16::MAX);
        AtomicU16::new(u16::try_from(anywhere).unwrap())
    });
    let count = PORTS.end - PORTS.start;
    let mut ports = (0..count).map(|_| PORTS.start + next.fetch_add(1, Ordering::Relaxed) % count);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// The first folder in which a program lies: the one that a variable names, then those of `PATH`, then others.
fn folder_of(program: &str, variable: &str, others: &[PathBuf]) -> PathBuf {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = named.into_iter().chain(std::env::split_paths(&path));
    candidates
        .chain(others.iter().cloned())
        .find(|folder| folder.join(program).is_file())
        .unwrap_or_else(|| panic!("{program} is not installed: run scripts/servers, or name its folder in {variable}"))
}

/// Where `scripts/servers` puts what it installs for this checkout alone.
fn installed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/servers")
}
