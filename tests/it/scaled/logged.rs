//! Lines that a test looks for in the log of a process. A line that the product no longer writes would be waited for in vain.

use std::path::{Path, PathBuf};

use super::system::System;

/// The lines of the product that tests look for.
const LINES: [&str; 7] = [
    "another process has taken over a share of the read models",
    "another process moved a checkpoint; reading it again",
    "this process is no longer the leader",
    "another relay is now active",
    "this relay cannot publish and releases its lease for another relay",
    "a commit was not answered; its outcome is being looked up",
    "it is shorter than it was",
];

/// What a process says when it finds that its work is not its own any more.
pub(super) const TAKEN_OVER: &[&str] = LINES.first_chunk::<5>().expect("five of them");
/// What a process says when the store did not say what became of a commit.
pub(super) const IN_DOUBT: &str = LINES[5];
/// What the relay says when the stream has lost its end.
pub(super) const SHORTENED: &str = LINES[6];

/// How often a process wrote one of these lines.
pub(super) fn count(system: &System, name: &str, lines: &[&str]) -> usize {
    let log = system.cluster.log(name);
    lines.iter().map(|line| log.matches(line).count()).sum()
}

#[test]
fn every_line_that_is_looked_for_is_written_by_the_product() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let crates = ["command-api", "daybook", "event-store", "event-stream", "projections", "sagas"];
    let mut folders: Vec<PathBuf> = crates.iter().map(|name| root.join(name).join("src")).collect();
    let mut missing = LINES.to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                missing.retain(|line| !text.contains(line));
            }
        }
    }
    assert!(missing.is_empty(), "no process writes {missing:?}");
}
