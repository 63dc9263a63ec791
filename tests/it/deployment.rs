//! The files that put Daybook to work say what is: versions are fixed, health is asked where clients come, the broker knows every role,
//! the image keeps its store in its volume, and the systemd unit is one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use cluster::compose::{Compose, Program};
use daybook::config::roles::Role;

use crate::compose::FILES;
use crate::harness::server::{daybook, program};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Where the unit says that the program is.
const INSTALLED: &str = "/usr/local/bin/daybook";

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(name)).unwrap()
}

/// What follows a word at the beginning of the lines that have it.
fn after<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.trim_start().strip_prefix(word)).map(str::trim).collect()
}

/// Whether an image is named with a full version: PostgreSQL counts with two numbers, everything else here with three.
fn is_pinned(image: &str) -> bool {
    let Some((name, tag)) = image.split_once(':') else {
        return false;
    };
    let version = tag.split('-').next().unwrap_or_default();
    let numbers = version.split('.').filter(|part| part.parse::<u32>().is_ok()).count();
    numbers == if name == "postgres" { 2 } else { 3 }
}

#[test]
fn images_are_of_a_full_version() {
    for (image, pinned) in [
        ("postgres:17", false),
        ("postgres:17.7-bookworm", true),
        ("nats:2.15-alpine", false),
        ("nats:2.15.1-alpine", true),
        ("nats:latest", false),
        ("nats", false),
    ] {
        assert_eq!(is_pinned(image), pinned, "{image}");
    }
    let compose = FILES.map(read).concat();
    let mut images = after(&compose, "image: ");
    images.retain(|image| !image.starts_with("daybook:"));
    let dockerfile = read("Dockerfile");
    let bases: Vec<&str> = after(&dockerfile, "FROM ").iter().map(|base| base.split(' ').next().unwrap()).collect();
    // The one that has no tags of versions: the Dockerfile says so.
    let (without, bases): (Vec<&str>, Vec<&str>) = bases.into_iter().partition(|base| base.contains("/distroless/"));
    assert_eq!((without.len(), bases.len()), (1, 1), "{without:?} {bases:?}");
    images.extend(bases);
    assert!(images.len() >= 4, "{images:?}");
    for image in images {
        assert!(is_pinned(image), "{image} is not of a full version");
    }
}

#[test]
fn the_broker_of_the_images_is_the_one_that_the_tests_run_on() {
    let servers = read("scripts/servers");
    let installed = after(&servers, "NATS_VERSION=")[0].to_owned();
    for file in FILES {
        assert!(read(file).contains(&format!("image: nats:{installed}-")), "{installed}: {file}");
    }
}

#[test]
fn health_is_asked_over_tcp() {
    let compose = FILES.map(read).concat();
    let checks = after(&compose, "test: ");
    assert_eq!(checks.len(), 6, "{checks:?}");
    for check in checks {
        // Without a host, pg_isready asks the socket, which the image's first, temporary server answers as well.
        let over_tcp = check.contains("-h, 127.0.0.1") || check.contains("http://127.0.0.1:");
        assert!(over_tcp, "{check}");
    }
}

/// The users of the broker's configuration, each with the text from its name to the next one's.
fn users(conf: &str) -> BTreeMap<String, String> {
    let text: String =
        conf.lines().filter(|line| !line.trim_start().starts_with('#')).map(|line| format!("{line}\n")).collect();
    let accounts = text.split_once("accounts {").expect("accounts").1;
    let users = accounts.split("user: ").skip(1);
    users.map(|user| (user.split([',', '\n']).next().unwrap().trim().to_owned(), user.to_owned())).collect()
}

#[test]
fn every_role_is_a_user_of_the_broker_and_every_user_a_role() {
    let conf = read("deploy/nats.conf");
    let users = users(&conf);
    let names: BTreeSet<&str> = users.keys().map(String::as_str).collect();
    let mut wanted: BTreeSet<&str> = Role::ALL.iter().map(|role| role.name()).collect();
    wanted.extend(["core", "operator", "sys"]);
    assert_eq!(names, wanted);
    assert!(conf.contains("system_account: SYS"));

    let [shipped, compose] = FILES.map(|file| Compose::read(&Path::new(ROOT).join(file)).unwrap());
    for (name, user) in &users {
        let variable = format!("NATS_{}_PASSWORD", name.to_uppercase().replace('-', "_"));
        assert!(user.contains(&format!("password: ${variable}")), "{name}: {user}");
        let services = shipped.services.values().chain(compose.services.values());
        for node in services.filter(|service| service.program == Program::Nats) {
            assert!(node.environment.contains_key(&variable), "{} lacks {variable}", node.name);
        }
    }
    let roles = Role::ALL.iter().map(|role| (role.name(), &compose));
    for (role, compose) in roles.chain([("core", &shipped), ("projections", &shipped)]) {
        let urls = &compose.services[role].environment["DAYBOOK_NATS__URLS"];
        assert!(urls.starts_with(&format!("nats://{role}:")), "{role} goes to the broker as somebody else");
        let user = &users[role];
        for needed in [format!("\"_INBOX.{role}.>\""), "\"daybook.progress\"".into(), "\"$JS.API.INFO\"".into()] {
            assert!(user.contains(&needed), "{role} lacks {needed}");
        }
        // Everything at once is nobody's right but the operator's.
        for everything in ["\">\"", "\"$JS.API.>\"", "\"_INBOX.>\"", "\"daybook.>\""] {
            assert!(!user.contains(everything), "{role} has {everything}");
        }
        for service in ["ordering", "inventory", "payments"] {
            let acknowledges = user.contains(&format!("\"$JS.ACK.DAYBOOK_COMMANDS.service-{service}.>\""));
            assert_eq!(acknowledges, role == service || role == "core", "{role}");
        }
    }
}

#[test]
fn every_password_variable_of_the_broker_is_used() {
    let conf = read("deploy/nats.conf");
    let compose = FILES.map(read).concat();
    let variables: BTreeSet<&str> = compose
        .lines()
        .filter_map(|line| line.trim_start().split_once(": "))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("NATS_") && *name != "NATS_NAME")
        .collect();
    assert_eq!(variables.len(), 15, "{variables:?}");
    for name in variables {
        assert!(conf.contains(&format!("${name}")), "{name} is used by nobody");
    }
}

#[test]
fn the_context_of_the_image_is_small_and_whole() {
    let ignored = read(".dockerignore");
    let ignored: BTreeSet<&str> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    for needed in [".git", ".ci", "target", "daybook-data", "daybook-cluster", "**/*.md"] {
        assert!(ignored.contains(needed), ".dockerignore lacks {needed}");
    }
    // What git does not keep is nothing that an image is built from.
    for line in read(".gitignore").lines() {
        assert!(ignored.contains(line.trim_matches('/')), ".dockerignore lacks {line}");
    }
    // What the build reads is there: every member of the workspace, and the sample that the program contains.
    for needed in ["Cargo.toml", "Cargo.lock", ".cargo", "data", "daybook", "schemas", "tests"] {
        assert!(!ignored.contains(needed) && Path::new(ROOT).join(needed).exists(), "{needed}");
    }
}

#[test]
fn the_image_serves_from_its_volume() {
    let text = read("Dockerfile");
    let last = text.rsplit("\nFROM ").next().unwrap();
    let environment: BTreeMap<&str, &str> = last
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .filter(|(name, _)| name.starts_with("DAYBOOK_") && name.contains("__"))
        .collect();
    assert_eq!(environment["DAYBOOK_STORE__DATA"], "/data");
    for line in
        ["VOLUME [\"/data\"]", "WORKDIR /data", "USER 65532:65532", "COPY --from=build --chown=65532:65532 /data /data"]
    {
        assert!(last.lines().any(|found| found == line), "{line}");
    }
    let check = |environment: &BTreeMap<&str, &str>| {
        daybook().env_clear().envs(environment).args(["config", "--check", "--", "serve"]).output().unwrap()
    };
    let accepted = check(&environment);
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    let mut hidden = environment.clone();
    hidden.remove("DAYBOOK_HTTP__REACHABLE");
    assert_eq!(check(&hidden).status.code(), Some(2), "an address that others reach has to be meant");
}

/// The keys of a unit by section, in order.
fn keys(unit: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in unit.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else {
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("`{line}` is no key"));
            keys.push((section.clone(), key.to_owned(), value.to_owned()));
        }
    }
    keys
}

/// What systemd says of a unit: nothing, if it is one. `None` where systemd is not installed.
fn complaints(unit: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daybook.service");
    // It looks for the program as well.
    std::fs::write(&file, unit.replace(INSTALLED, program().to_str().unwrap())).unwrap();
    let said = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output().ok()?;
    // What is unknown is only told: the exit code is that of a unit that works without it.
    let told = String::from_utf8_lossy(&said.stderr).into_owned();
    Some(if said.status.success() { told } else { format!("{told}{}", said.status) })
}

#[test]
fn the_unit_is_one() {
    /// Every key that the unit may have: a slip of the pen is none of them.
    const KNOWN: &[&str] = &[
        "AmbientCapabilities",
        "After",
        "CapabilityBoundingSet",
        "Description",
        "DynamicUser",
        "ExecStart",
        "IPAddressAllow",
        "IPAddressDeny",
        "LimitNOFILE",
        "LoadCredential",
        "LockPersonality",
        "MemoryDenyWriteExecute",
        "NoNewPrivileges",
        "NotifyAccess",
        "PrivateDevices",
        "PrivateTmp",
        "PrivateUsers",
        "ProcSubset",
        "ProtectClock",
        "ProtectControlGroups",
        "ProtectHome",
        "ProtectHostname",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "ProtectProc",
        "ProtectSystem",
        "RemoveIPC",
        "Restart",
        "RestartSec",
        "RestrictAddressFamilies",
        "RestrictNamespaces",
        "RestrictRealtime",
        "RestrictSUIDSGID",
        "StartLimitBurst",
        "StartLimitIntervalSec",
        "StateDirectory",
        "StateDirectoryMode",
        "SystemCallArchitectures",
        "SystemCallErrorNumber",
        "SystemCallFilter",
        "TimeoutStartSec",
        "TimeoutStopSec",
        "Type",
        "UMask",
        "User",
        "WantedBy",
        "WorkingDirectory",
    ];
    let unit = read("deploy/systemd/daybook.service");
    for (section, key, _) in keys(&unit) {
        assert!(["Unit", "Service", "Install"].contains(&&*section), "[{section}]");
        assert!(KNOWN.contains(&&*key), "{key} in [{section}]");
    }
    let Some(said) = complaints(&unit) else {
        println!("systemd is not installed: the keys alone were looked at");
        return;
    };
    assert_eq!(said, "");
    // It can be told from one that is not.
    for (right, wrong) in [("UMask=", "UMaks="), ("Type=notify", "Type=notfy"), (INSTALLED, "/nowhere/daybook")] {
        assert_ne!(complaints(&unit.replace(right, wrong)).unwrap(), "", "{wrong}");
    }
}

#[test]
fn the_unit_runs_a_command_that_there_is_with_time_to_end() {
    let unit = read("deploy/systemd/daybook.service");
    let keys = keys(&unit);
    let values = |name: &str| -> Vec<&str> {
        keys.iter().filter(|(_, key, _)| key == name).map(|(_, _, value)| value.as_str()).collect()
    };
    let command = values("ExecStart")[0].strip_prefix(INSTALLED).expect("the program");
    // As systemd fills it in, with the default configuration in the place of the credential.
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    let loaded = values("LoadCredential")[0].split(':').next().unwrap();
    std::fs::copy(Path::new(ROOT).join("daybook.default.toml"), credentials.join(loaded)).unwrap();
    let command = command.replace("%d", credentials.to_str().unwrap()).replace("%S", folder.path().to_str().unwrap());
    let checked = daybook()
        .env_clear()
        .args(["config", "--check", "--", "--output", "json"])
        .args(command.split_whitespace())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{command}: {}", String::from_utf8_lossy(&checked.stderr));
    let config: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    let data = config["store"]["data"].as_str().unwrap();
    assert_eq!(Path::new(data), folder.path().join(values("StateDirectory")[0]), "it may write nowhere else");
    let stop: u64 = values("TimeoutStopSec")[0].parse().unwrap();
    let drain = config["http"]["drain_ms"].as_u64().unwrap();
    assert!(stop * 1_000 >= drain + 30_000, "{stop} s are not longer than the drain of {drain} ms");
    for (key, value) in [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("CapabilityBoundingSet", ""),
        ("UMask", "0077"),
        ("Restart", "on-failure"),
    ] {
        assert_eq!(values(key), [value], "{key}");
    }
}
