//! compose.yaml says what the program understands: every service's command, environment and ports go through `daybook config --check`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;

use cluster::compose::{Compose, Program, Service};
use serde_json::Value;

use crate::harness::server::daybook;

fn compose() -> Compose {
    Compose::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose.yaml")).unwrap()
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
    let compose = compose();
    let mut roles = BTreeSet::new();
    for service in compose.services.values() {
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
        roles.insert(service.command[2].clone());
        let ready = format!("http://127.0.0.1:{}", listen.rsplit(':').next().unwrap());
        assert!(
            std::fs::read_to_string(compose.folder.join("compose.yaml"))
                .unwrap()
                .contains(&format!("/daybook, ready, --url, \"{ready}\"")),
            "the health check asks elsewhere than {ready}"
        );
    }
    let all: BTreeSet<_> = daybook::config::roles::Role::ALL.iter().map(|role| role.name().to_owned()).collect();
    assert_eq!(roles, all, "every role is run, and none twice");
}

#[test]
fn what_the_program_does_not_understand_is_refused() {
    let compose = compose();
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
