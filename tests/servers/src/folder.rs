//! Temporary folders that are gone in the end: a process that is killed, or whose servers are shared until it ends, removes nothing
//! itself; the next one does.

use std::path::Path;

use tempfile::TempDir;

const PREFIX: &str = "daybook";

/// A folder for something, named after this process; those of processes that have ended are removed.
///
/// # Panics
/// If the folder cannot be made.
#[must_use]
pub fn temporary(what: &str) -> TempDir {
    within(&std::env::temp_dir(), what)
}

/// The same within a folder.
///
/// # Panics
/// If the folder cannot be made.
#[must_use]
pub fn within(parent: &Path, what: &str) -> TempDir {
    sweep(parent);
    let prefix = format!("{PREFIX}-{what}-{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(parent).unwrap()
}

/// Removes what nobody uses any more. Where that does not work, another process is doing it, or somebody else's is left alone.
fn sweep(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(owner) = name.to_str().and_then(owner) else {
            continue;
        };
        if !Path::new("/proc").join(owner.to_string()).exists() {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

/// The process that a folder's name says.
fn owner(name: &str) -> Option<u32> {
    let mut parts = name.split('-');
    if parts.next() != Some(PREFIX) {
        return None;
    }
    let owner = parts.nth(1)?.parse().ok()?;
    parts.next().map(|_| owner)
}

#[test]
fn what_ended_processes_left_is_removed_and_nothing_else() {
    let parent = tempfile::tempdir().unwrap();
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let left = format!("{PREFIX}-pg-{}-abc", ended.id());
    let others = [
        format!("{PREFIX}-pg-{}-abc", std::process::id()),
        format!("{PREFIX}-data"),
        format!("other-pg-{}-abc", ended.id()),
    ];
    for name in others.iter().chain([&left]) {
        std::fs::create_dir_all(parent.path().join(name).join("data")).unwrap();
    }
    let own = within(parent.path(), "nats");
    assert!(own.path().exists());
    assert!(!parent.path().join(&left).exists());
    for name in &others {
        assert!(parent.path().join(name).exists(), "{name}");
    }
}
