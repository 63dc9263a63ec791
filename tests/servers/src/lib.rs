//! Real servers for tests. Each is a child process with a folder and a port of its own, and ends with the test process, however that
//! ends. `scripts/servers` installs the programs; a test that cannot find one fails and says so.
#![expect(clippy::unwrap_used, reason = "a test without its server has nothing to go on with")]

pub mod cpu;
pub mod folder;
pub mod nats;
pub mod postgres;
mod process;
pub mod swallow;

pub use nats::Nats;
pub use postgres::Postgres;
pub use swallow::Swallow;

use std::collections::hash_map::RandomState;
use std::fs::{File, TryLockError};
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Below the ports that systems give to outgoing connections, one of which could else have the port before it is used.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// A port of the loopback that nobody listens on now and that no other test process of this machine gets while this one lives; each
/// call gives another one.
///
/// # Panics
/// If all are taken.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
    // Processes begin at different places, so that they seldom look at the same port at once.
    let next = NEXT.get_or_init(|| {
        let anywhere = RandomState::new().build_hasher().finish() % u64::from(u16::MAX);
        AtomicU16::new(u16::try_from(anywhere).unwrap())
    });
    let count = PORTS.end - PORTS.start;
    let mut ports = (0..count).map(|_| PORTS.start + next.fetch_add(1, Ordering::Relaxed) % count);
    let (port, held) = ports
        .find_map(|port| {
            let held = reserved(port)?;
            TcpListener::bind(("127.0.0.1", port)).is_ok().then_some((port, held))
        })
        .unwrap();
    HELD.lock().unwrap_or_else(PoisonError::into_inner).extend(held);
    port
}

/// Reserves a port by the lock on a file, which ends with this process; `None` if another process has it. Where no file can be made, the
/// port is not reserved: what has it is asked for it all the same, and says so.
fn reserved(port: u16) -> Option<Option<File>> {
    let folder = std::env::temp_dir().join("daybook-ports");
    std::fs::create_dir_all(&folder).ok();
    let Ok(file) = File::options().create(true).append(true).open(folder.join(port.to_string())) else {
        return Some(None);
    };
    match file.try_lock() {
        Ok(()) => Some(Some(file)),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(_)) => Some(None),
    }
}

#[test]
fn a_port_is_given_once() {
    let first = free_port();
    // Its lock is held, so that it is given to no other process either.
    assert!(reserved(first).is_none());
    assert_ne!(free_port(), first);
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
