//! The API description lists every route and every required parameter, and nothing else.

use super::*;

pub(super) fn description() -> Value {
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn event_store::EventStore> = Store::open(Options::new(dir.path())).unwrap();
    let executor = Executor::new(Arc::clone(&store), TaskTracker::new(), execute::Options::default());
    let (verdicts, _) = verdict::Options::default().build(store);
    let (_, described) = router(Api::new(executor, verdicts, settings())).split_for_parts();
    serde_json::to_value(described).unwrap()
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let ("$ref", Some(target)) = (name.as_str(), value.as_str()) {
                    found.push(target.to_owned());
                }
                references(value, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn whatever_is_referred_to_is_there() {
    let described = description();
    let mut found = Vec::new();
    references(&described, &mut found);
    assert!(found.len() > 100);
    for target in found {
        let pointer = target.trim_start_matches('#');
        assert!(described.pointer(pointer).is_some(), "{target}");
    }
}

#[tokio::test]
async fn every_command_takes_a_key_and_tells_its_refusals() {
    let described = description();
    let paths = described["paths"].as_object().unwrap();
    let mut commands = 0;
    for (path, methods) in paths {
        for (method, route) in methods.as_object().unwrap() {
            // Content is its own key, and what a run writes is not known before it ran. The clock of a test writes nothing to the log.
            if method == "get" || path == "/v1/imports" || path == "/v1/test-clock" {
                continue;
            }
            commands += 1;
            let parameters = route["parameters"].as_array().unwrap();
            for wanted in ["Idempotency-Key", "If-Match", "dry_run"] {
                assert!(parameters.iter().any(|p| p["name"] == wanted), "{method} {path}: {wanted}");
            }
            for status in ["200", "400", "404", "409", "412", "413", "415", "422", "500", "503"] {
                let response = &route["responses"][status];
                assert!(response.is_object(), "{method} {path}: {status}");
            }
            assert!(route["summary"].as_str().or(route["description"].as_str()).is_some());
        }
    }
    assert_eq!(commands, 35);
    let place = &paths["/v1/orders"]["post"]["responses"];
    assert!(place["409"]["description"].as_str().unwrap().contains("`duplicate-external-ref`"));
}
