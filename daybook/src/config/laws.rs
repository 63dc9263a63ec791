//! Rules for every key of the configuration, including future ones: each key is used, and none accepts a value with
//! which nothing works.
#![expect(clippy::unwrap_used, reason = "a test may")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;

/// The sections with the keys and the defaults of each.
fn sections() -> BTreeMap<String, toml::Table> {
    let all = toml::Table::try_from(Config::default()).unwrap();
    all.into_iter().map(|(section, keys)| (section, keys.as_table().unwrap().clone())).collect()
}

fn bounds() -> BTreeMap<&'static str, &'static [Bounds]> {
    [
        ("tenant", tenant::Tenant::BOUNDS),
        ("http", http::Http::BOUNDS),
        ("store", store::Store::BOUNDS),
        ("roles", roles::Roles::BOUNDS),
        ("nats", nats::Nats::BOUNDS),
        ("sagas", sagas::Sagas::BOUNDS),
        ("projections", projections::Projections::BOUNDS),
        ("payments", payments::Payments::BOUNDS),
        ("imports", imports::Imports::BOUNDS),
        ("telemetry", telemetry::Telemetry::BOUNDS),
    ]
    .into()
}

fn load(key: &str, value: &str) -> Result<Config, Error> {
    Sources { flags: vec![(key.to_owned(), value.to_owned())], ..Sources::default() }.load()
}

#[test]
fn every_number_has_bounds() {
    let bounds = bounds();
    for (section, keys) in sections() {
        for (key, default) in keys {
            let Some(default) = default.as_integer() else { continue };
            let of_section = bounds.get(section.as_str()).unwrap_or_else(|| panic!("{section} has no bounds here"));
            let Bounds { least, most, .. } = of_section
                .iter()
                .find(|bounds| bounds.key == key)
                .unwrap_or_else(|| panic!("{section}.{key} has none"));
            assert!((*least..=*most).contains(&default), "{section}.{key}");
        }
    }
}

#[test]
fn a_number_out_of_its_bounds_is_refused_by_name_with_what_to_set() {
    for (section, of_section) in bounds() {
        for Bounds { key, least, most } in of_section {
            let name = format!("{section}.{key}");
            for fits in [least, most] {
                assert_eq!(load(&name, &fits.to_string()).err().map(|error| error.to_string()), None);
            }
            for wrong in [least - 1, most + 1] {
                let error = load(&name, &wrong.to_string()).unwrap_err().to_string();
                assert!(error.contains(key), "{error}");
                if wrong >= 0 {
                    assert!(error.contains(&name) && error.contains(&least.to_string()), "{error}");
                }
            }
            assert!(load(&name, &u64::MAX.to_string()).is_err(), "{name}");
        }
    }
}

#[test]
fn nothing_that_cannot_work_is_let_through() {
    for (key, value) in [
        ("http.requests", "0"),
        ("http.connections", "0"),
        ("http.admin", "127.0.0.1:8080"),
        ("http.admin", "0.0.0.0:9090"),
        ("http.admin", "nowhere"),
        ("sagas.in_flight", "0"),
        ("payments.in_flight", "0"),
        ("payments.timeout_ms", "0"),
        ("projections.connections", "0"),
        ("projections.batch", "0"),
        ("projections.url", "mysql://x"),
        ("projections.url", "postgres://x/y"),
        ("store.queue_events", "0"),
        ("store.cached_aggregates", "0"),
        ("nats.max_bytes", "0"),
        ("nats.max_age_h", "0"),
        ("nats.replicas", "2"),
        ("http.header_timeout_ms", "0"),
        ("telemetry.log", "info,sagas=loud"),
    ] {
        let error = load(key, value).unwrap_err().to_string();
        let (_, name) = key.split_once('.').unwrap();
        assert!(error.contains(name) || error.contains("ADDRESS:PORT"), "{key}={value}: {error}");
    }
    assert_eq!(load("http.admin", "").unwrap().http.admin.0, None);
    assert_eq!(load("http.admin", "127.0.0.1:9").unwrap().http.admin.0, Some("127.0.0.1:9".parse().unwrap()));
}

fn environment(variables: &[(&str, &str)]) -> Result<Config, Error> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Sources { environment: variables.iter().map(own).collect(), ..Sources::default() }.load()
}

#[test]
fn what_others_call_daybook_is_no_configuration() {
    let config = environment(&[
        ("DAYBOOK_SERVICE_HOST", "10.0.0.7"),
        ("DAYBOOK_SERVICE_PORT_HTTP", "8080"),
        ("DAYBOOK_PORT", "tcp://10.0.0.7:8080"),
        ("DAYBOOK_PORT_8080_TCP_ADDR", "10.0.0.7"),
        ("DAYBOOK_HTTP_PORT", "tcp://10.0.0.8:8080"),
        ("DAYBOOK_CONFIG", "/nowhere"),
        ("DAYBOOK_OUTPUT", "json"),
        ("DAYBOOK", "x"),
    ]);
    assert_eq!(config.unwrap(), Config::default());
    for name in
        ["DAYBOOK_HTTPS__LISTEN", "DAYBOOK_HTTP__LISSTEN", "DAYBOOK__HTTP__LISTEN", "DAYBOOK_HTTP__LISTEN__PORT"]
    {
        let error = environment(&[(name, "127.0.0.1:1")]).unwrap_err().to_string();
        let last = name.rsplit("__").next().unwrap().to_lowercase();
        let first = name["DAYBOOK_".len()..].split("__").next().unwrap().to_lowercase();
        assert!(error.contains(&last) || error.contains(&first), "{name}: {error}");
    }
}

#[test]
fn a_value_of_the_environment_is_the_text_that_it_is() {
    for text in ["007", "1e3", "true", "1.50", "a b"] {
        assert_eq!(environment(&[("DAYBOOK_TENANT__ACTOR", text)]).unwrap().tenant.actor, text);
    }
    let config = environment(&[("DAYBOOK_HTTP__REQUESTS", "7"), ("DAYBOOK_HTTP__KEY_REQUIRED", "true")]).unwrap();
    assert_eq!((config.http.requests, config.http.key_required), (7, true));
}

/// The product's sources, tests left out: those of the configuration, and all others of this crate.
fn sources() -> (BTreeMap<String, String>, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut own, mut others) = (vec![root.clone()], BTreeMap::new(), String::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap().to_owned();
            let place = path.strip_prefix(&root).unwrap();
            match place.strip_prefix("config") {
                Ok(section) => drop(own.insert(section.with_extension("").display().to_string(), text)),
                Err(_) if place == Path::new("config.rs") => {}
                Err(_) => others.push_str(&text),
            }
        }
    }
    (own, others)
}

/// Whether a text has a word, and not only as a part of a longer one.
fn has(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let part = |next: Option<char>| next.is_some_and(|next| next.is_alphanumeric() || next == '_');
        !part(text[at + word.len()..].chars().next()) && !part(text[..at].chars().next_back())
    })
}

/// The public methods of a section with their text.
fn methods(section: &str) -> Vec<(&str, &str)> {
    section.split("    pub fn ").skip(1).filter_map(|part| Some((&part[..part.find(['(', '<'])?], part))).collect()
}

/// Keys that only control the values of other keys.
const ABOUT_OTHERS: [&str; 1] = ["http.reachable"];

#[test]
fn every_key_is_used_by_the_product() {
    let (own, others) = sources();
    for (section, keys) in sections() {
        let methods = methods(&own[&section]);
        // Those that the product calls, itself or through another one of the section.
        let mut called: BTreeSet<&str> = BTreeSet::new();
        loop {
            let before = called.len();
            for (name, _) in &methods {
                let by_others = has(&others, &format!("{section}.{name}"));
                let by_own = methods.iter().any(|(by, text)| called.contains(by) && has(text, &format!("self.{name}")));
                if by_others || by_own {
                    called.insert(name);
                }
            }
            if called.len() == before {
                break;
            }
        }
        for key in keys.keys() {
            let read = methods.iter().any(|(name, text)| called.contains(name) && has(text, &format!("self.{key}")));
            let name = format!("{section}.{key}");
            let about_others = ABOUT_OTHERS.contains(&name.as_str()) && has(&own[&section], &format!("self.{key}"));
            let used = read || about_others || has(&others, &name);
            assert!(used, "{section}.{key} is read nowhere: it only pretends to be a setting");
        }
    }
}
