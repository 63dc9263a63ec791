//! The stored form of every event, compared with files: what was written once must be readable permanently. A changed
//! file needs a better reason than "the test failed": the logs of users contain records of the old form.
//!
//! `DAYBOOK_UPDATE_GOLDEN=1 cargo test -p schemas --test golden` writes the schemas again; records are written by hand.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use schemas::registry;

fn golden(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(folder)
}

/// `(type, version, content)` of each file in a folder.
fn files(folder: &str) -> Vec<(String, u32, String)> {
    fs::read_dir(golden(folder))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let (kind, version) = name
                .strip_suffix(".json")
                .and_then(|name| name.split_once(".v"))
                .unwrap_or_else(|| panic!("{name} is not named Type.vN.json"));
            let version = version.parse().unwrap();
            (kind.to_owned(), version, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

#[test]
fn every_schema_is_as_it_was() {
    let update = env::var_os("DAYBOOK_UPDATE_GOLDEN").is_some();
    let mut changed = Vec::new();
    for kind in registry::kinds() {
        let version = registry::newest_version(kind).unwrap();
        let path = golden("events").join(format!("{kind}.v{version}.json"));
        let schema = registry::schema(kind).unwrap();
        let committed =
            fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
        if committed.as_ref() != Some(schema.as_value()) {
            if update {
                let now = serde_json::to_string_pretty(&schema).unwrap() + "\n";
                fs::write(&path, now).unwrap();
            } else {
                changed.push(path.display().to_string());
            }
        }
    }
    changed.sort();
    assert!(changed.is_empty(), "the stored form of these differs from what is committed: {changed:#?}");
}

#[test]
fn every_file_is_of_a_type_that_is_known() {
    for folder in ["events", "records"] {
        for (kind, version, _) in files(folder) {
            let newest = registry::newest_version(&kind);
            assert!(newest.is_some_and(|newest| version <= newest), "{folder}/{kind}.v{version}.json");
        }
    }
}

#[test]
fn the_name_is_the_one_that_the_domain_gives() {
    for kind in registry::kinds() {
        let schema = registry::schema(kind).unwrap();
        let said = schema.get("description").and_then(|said| said.as_str());
        assert!(said.is_some_and(|said| said.starts_with(&format!("`{kind}`"))), "{kind} is described as {said:?}");
    }
}

#[test]
fn every_stored_version_has_a_record_and_can_be_read() {
    let mut seen = BTreeSet::new();
    for (kind, version, content) in files("records") {
        let bytes = content.trim_end().as_bytes();
        let event =
            registry::decode(&kind, version, bytes).unwrap_or_else(|error| panic!("{kind}.v{version}: {error:?}"));
        let again = registry::encode(&event).unwrap();
        assert_eq!(*again.kind, *kind);
        if again.schema_version == version {
            assert_eq!(
                String::from_utf8(again.data.to_vec()).unwrap(),
                String::from_utf8(bytes.to_vec()).unwrap(),
                "{kind}.v{version} is not written as it was"
            );
        }
        seen.insert((kind, version));
    }
    for kind in registry::kinds() {
        for version in 1..=registry::newest_version(kind).unwrap() {
            assert!(seen.contains(&(kind.to_owned(), version)), "golden/records/{kind}.v{version}.json is missing");
        }
    }
}

/// The same value with another token in it; whether there is one.
fn with_token(value: &mut serde_json::Value, token: &str) -> bool {
    match value {
        serde_json::Value::Object(fields) => fields.iter_mut().fold(false, |found, (name, field)| {
            if name == "instrument" {
                *field = token.into();
                return true;
            }
            with_token(field, token) || found
        }),
        serde_json::Value::Array(entries) => {
            let found = entries.iter_mut().filter_map(|entry| with_token(entry, token).then_some(()));
            found.count() > 0
        }
        _ => false,
    }
}

/// How the state is printed that an event leads to.
fn state_after(event: &domain::Event) -> String {
    use domain::Aggregate as _;

    match event {
        domain::Event::Order(event) => {
            let mut order = domain::order::Order::default();
            order.evolve(event);
            assert!(order.placed().is_some());
            format!("{order:?}")
        }
        domain::Event::Payment(event) => {
            let mut payment = domain::payment::Payment::default();
            payment.evolve(event);
            assert!(payment.requested().is_some());
            format!("{payment:?}")
        }
        domain::Event::Saga(event) => {
            let saga = domain::saga::Saga::load(&"acme".parse().unwrap(), [event]).unwrap().unwrap();
            format!("{saga:?}")
        }
        other => panic!("{other:?} holds a token, and nobody knows which state it leads to"),
    }
}

#[test]
fn no_event_and_no_state_prints_a_token_of_a_means_of_payment() {
    const TOKEN: &str = "canary-4711";
    let mut printed = BTreeSet::new();
    for (kind, version, content) in files("records") {
        let mut value: serde_json::Value = serde_json::from_str(content.trim_end()).unwrap();
        if kind == "SagaStarted" {
            value["facts"][0]["started"]["input"] = serde_json::json!({
                "order_id": uuid::Uuid::max(), "amount": null, "instrument": "", "capture": false,
                "expires_at": "2026-01-01T00:00:00Z",
            });
        }
        if !with_token(&mut value, TOKEN) {
            continue;
        }
        let event = registry::decode(&kind, version, value.to_string().as_bytes()).unwrap();
        let told = format!("{event:?} {:?} {}", registry::encode(&event).unwrap(), state_after(&event));
        assert!(!told.contains(TOKEN), "{told}");
        printed.insert(kind);
    }
    let all = ["AuthorisationRequested", "OrderPlaced", "SagaStarted"].map(str::to_owned);
    assert_eq!(printed, BTreeSet::from(all));
}
