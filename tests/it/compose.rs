//! compose.yaml and deploy/compose.roles.yaml say what the program understands: every service's command, environment and ports go through
//! `daybook config --check`.

use std::path::Path;
use std::process::Output;

use cluster::compose::{Compose, Program, Service};
use serde_json::Value;

use crate::harness::server::daybook;
use crate::scaled::system::BY_ROLES;

pub(crate) const FILES: [&str; 2] = ["compose.yaml", BY_ROLES];

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)).unwrap()
}

fn compose(file: &str) -> Compose {
    Compose::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)).unwrap()
}

fn check(service: &Service, more: &[(&str, &str)]) -> Output {
    daybook()
        .env_clear()
        .envs(&service.environment)
        .envs(more.iter().copied())
        .args(["config", "--check", "--"])
        .args(["--output", "json"])
        .args(&service.command)
        .output()
        .unwrap()
}

#[test]
fn every_service_has_a_configuration_that_is_accepted() {
    for file in FILES {
        let mut roles = accepted(file);
        roles.sort();
        let mut all: Vec<_> = daybook::config::roles::Role::ALL.iter().map(|role| role.name().to_owned()).collect();
        all.sort();
        assert_eq!(roles, all, "{file}: every role is run, and none twice");
    }
}

/// The roles that the services of a file run.
fn accepted(file: &str) -> Vec<String> {
    let mut roles = Vec::new();
    for service in compose(file).services.values() {
        if service.program != Program::Daybook {
            continue;
        }
        let output = check(service, &[]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", service.name);
        let config: Value = serde_json::from_slice(&output.stdout).unwrap();
        let database = config["store"]["url"].as_str().unwrap();
        assert!(!database.is_empty(), "{} has no database", service.name);
        assert!(!String::from_utf8_lossy(&output.stdout).contains(":daybook@"), "{} shows a password", service.name);
        if service.once {
            continue;
        }
        let listen = config["http"]["listen"].as_str().unwrap();
        for inside in service.published.keys() {
            assert!(
                listen.ends_with(&format!(":{inside}")),
                "{} publishes {inside} and listens on {listen}",
                service.name
            );
        }
        assert_eq!(config["nats"]["replicas"], 3);
        assert_eq!(service.command[..2], ["serve", "--roles"]);
        assert_eq!(config["roles"]["run"], service.command[2].as_str());
        roles.extend(service.command[2].split(',').map(str::to_owned));
        let ready = format!("http://127.0.0.1:{}", listen.rsplit(':').next().unwrap());
        assert!(
            read(file).contains(&format!("/daybook, ready, --url, \"{ready}\"")),
            "the health check asks elsewhere than {ready}"
        );
    }
    roles
}

/// What both files have is written twice, and is one thing.
#[test]
fn both_files_have_the_same_servers() {
    let [shipped, by_roles] = FILES.map(compose);
    for name in ["postgres", "nats-1", "nats-2", "nats-3", "migrate", "projections"] {
        let told = |compose: &Compose| {
            let service = format!("{:?}", compose.services[name]);
            service.replace("./deploy/", "./")
        };
        assert_eq!(told(&shipped), told(&by_roles), "{name}");
    }
    let [shipped, by_roles] = FILES.map(read);
    let block = |text: &str, name: &str| {
        let from = text.find(name).unwrap_or_else(|| panic!("{name}"));
        text[from..].split("\n\n").next().unwrap().to_owned()
    };
    for name in ["\nx-role:", "\nx-nats:", "\n  postgres:", "\n  nats-folders:", "\nvolumes:"] {
        let plain = |text: &str| block(text, name).replace("./deploy/", "./");
        assert_eq!(plain(&shipped), plain(&by_roles), "{name}");
    }
}

#[test]
fn what_the_program_does_not_understand_is_refused() {
    let compose = compose(BY_ROLES);
    let service = &compose.services["relay"];
    for (key, value) in [
        ("DAYBOOK_NATS__REPLICAS", "2"),
        ("DAYBOOK_NATS__URL", "nats://x:4222"),
        ("DAYBOOK_STORE__URL", "mysql://x"),
        ("DAYBOOK_STORE__URL", ""),
        ("DAYBOOK_HTTP__REACHABLE", "false"),
    ] {
        let output = check(service, &[(key, value)]);
        assert_eq!(output.status.code(), Some(2), "{key}={value}");
    }
    let mut unknown = service.clone();
    unknown.command[2] = "relais".into();
    let output = check(&unknown, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("relais"));
}
