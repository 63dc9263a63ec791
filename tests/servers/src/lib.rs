//! Real servers for tests. Each is a child process with a folder and a port of its own, and ends with the test process, however that
//! ends. `scripts/servers` installs the programs; a test that cannot find one fails and says so.
#![expect(
    clippy::unwrap_used,
    reason = "a test without its server has nothing to go on with"
)]

pub mod folder;
pub mod nats;
pub mod postgres;
mod process;

pub use nats::Nats;
pub use postgres::Postgres;

use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// A port of the loopback that nobody listens on now.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// The first folder in which a program lies: the one that a variable names, then those of `PATH`, then others.
fn folder_of(program: &str, variable: &str, others: &[PathBuf]) -> PathBuf {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = named.into_iter().chain(std::env::split_paths(&path));
    candidates
        .chain(others.iter().cloned())
        .find(|folder| folder.join(program).is_file())
        .unwrap_or_else(|| {
            panic!(
                "{program} is not installed: run scripts/servers, or name its folder in {variable}"
            )
        })
}

/// Where `scripts/servers` puts what it installs for this checkout alone.
fn installed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/servers")
}
