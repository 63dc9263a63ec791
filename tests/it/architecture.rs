//! Holds the arrows between the crates: who may use whom, and who alone may know which library.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// The whole picture. An arrow that is not here does not exist. To `servers`, only tests and the bench have one.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("event-store", &["servers"]),
    ("event-stream", &["event-store", "servers"]),
    ("schemas", &["domain"]),
    ("streams", &["domain", "schemas", "event-store"]),
    ("command-api", &["domain", "schemas", "event-store", "streams"]),
    ("projections", &["domain", "schemas", "event-store", "streams", "servers"]),
    ("query-api", &["domain", "schemas", "event-store", "streams", "projections"]),
    ("sagas", &["domain", "schemas", "event-store", "streams"]),
    (
        "daybook",
        &[
            "domain",
            "event-store",
            "event-stream",
            "schemas",
            "streams",
            "command-api",
            "projections",
            "query-api",
            "sagas",
        ],
    ),
    // It starts the programs as processes. Of the product it uses the provider, the names of a placing, the reader of the log, and the
    // entry point for the program whose allocator counts.
    ("benches", &["domain", "event-store", "schemas", "command-api", "sagas", "daybook", "cluster", "servers"]),
    ("checker", &["event-store"]),
    ("servers", &[]),
    ("cluster", &["servers"]),
    (
        "tests",
        &[
            "domain",
            "event-store",
            "event-stream",
            "schemas",
            "streams",
            "command-api",
            "projections",
            "query-api",
            "sagas",
            "daybook",
            "checker",
            "cluster",
            "servers",
        ],
    ),
];

/// Libraries that only these crates may use.
const WRAPPERS: &[(&str, &[&str])] = &[
    // SQL only where the log, the read models and the sandbox gateway's own book are.
    ("rusqlite", &["event-store", "projections", "sagas", "tests"]),
    ("sqlx", &["event-store", "projections", "benches", "tests"]),
    // The broker is known in one place.
    ("async-nats", &["event-stream", "tests"]),
    ("axum", &["command-api", "query-api", "daybook", "benches", "tests"]),
    (
        "tokio",
        &[
            "event-store",
            "event-stream",
            "command-api",
            "projections",
            "query-api",
            "sagas",
            "daybook",
            "benches",
            "tests",
        ],
    ),
    ("clap", &["daybook", "cluster", "benches", "tests"]),
    ("anyhow", &["daybook", "cluster", "benches", "tests"]),
];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every crate's dependencies, those of its tests included only where `dev` says so.
fn dependencies(dev: bool) -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    for package in metadata()["packages"].as_array().unwrap() {
        let used = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dev || dependency["kind"] != "dev")
            .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
            .collect();
        all.insert(package["name"].as_str().unwrap().to_owned(), used);
    }
    all
}

#[test]
fn no_crate_uses_one_that_the_picture_does_not_allow() {
    let members: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let found = dependencies(true);
    assert_eq!(found.keys().map(String::as_str).collect::<BTreeSet<_>>(), members, "a crate came or went: draw it");
    for (name, allowed) in ARROWS {
        let used: BTreeSet<&str> =
            found[*name].iter().map(String::as_str).filter(|used| members.contains(used)).collect();
        let wrong: Vec<_> = used.iter().filter(|used| !allowed.contains(*used)).collect();
        assert!(wrong.is_empty(), "{name} uses {wrong:?}, which the picture does not allow");
    }
}

#[test]
fn a_library_with_one_home_is_used_there_only() {
    let found = dependencies(false);
    for (library, homes) in WRAPPERS {
        for (name, used) in &found {
            assert!(
                !used.contains(*library) || homes.contains(&name.as_str()),
                "{name} uses {library}; only {homes:?} may"
            );
        }
    }
}

#[test]
fn a_folders_name_is_its_crates_name() {
    for package in metadata()["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let manifest = package["manifest_path"].as_str().unwrap();
        assert!(manifest.ends_with(&format!("/{name}/Cargo.toml")), "{name} lives in {manifest}");
    }
}
