//! A request that fits the document, made from its schemas: what the mutations start from.

use domain::time::Timestamp;
use event_store::clock::system_clock;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};

use super::{Attempt, Operation};
use crate::harness::shop::KnownIds;

/// How deep schemas are followed.
const DEEPEST: usize = 12;

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    while let Some(reference) = schema["$ref"].as_str() {
        schema =
            document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference} leads nowhere"));
    }
    schema
}

/// A value that fits a schema.
fn value(rng: &mut StdRng, document: &Value, schema: &Value, known: &KnownIds, depth: usize) -> Value {
    let schema = resolve(document, schema);
    if depth > DEEPEST {
        return Value::Null;
    }
    if let Some(choices) = schema["enum"].as_array() {
        return choices.choose(rng).cloned().unwrap_or(Value::Null);
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[key].as_array() {
            let choice = choices.choose(rng).cloned().unwrap_or(Value::Null);
            return value(rng, document, &choice, known, depth + 1);
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut whole = Map::new();
        for part in parts {
            if let Value::Object(fields) = value(rng, document, part, known, depth + 1) {
                whole.extend(fields);
            }
        }
        return Value::Object(whole);
    }
    let kind = match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => kinds.choose(rng).and_then(Value::as_str).unwrap_or("null").to_owned(),
        _ => "object".to_owned(),
    };
    match kind.as_str() {
        "string" => Value::String(text(rng, schema, known)),
        "integer" | "number" => json!(number(rng, schema)),
        "boolean" => json!(rng.random::<bool>()),
        "array" => {
            (0..rng.random_range(1..4)).map(|_| value(rng, document, &schema["items"], known, depth + 1)).collect()
        }
        "object" => object(rng, document, schema, known, depth),
        _ => Value::Null,
    }
}

fn object(rng: &mut StdRng, document: &Value, schema: &Value, known: &KnownIds, depth: usize) -> Value {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut fields = Map::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if required.contains(&name.as_str()) || rng.random_bool(0.4) {
            let mut made = value(rng, document, property, known, depth + 1);
            // What the shop knows is more telling than what a schema can say.
            if name == "sku" && rng.random_bool(0.7) {
                made = json!(known.skus.choose(rng));
            }
            if name == "line_id" {
                made = json!(rng.random_range(1..4));
            }
            fields.insert(name.clone(), made);
        }
    }
    Value::Object(fields)
}

fn text(rng: &mut StdRng, schema: &Value, known: &KnownIds) -> String {
    if let Some(example) = schema["examples"]
        .as_array()
        .and_then(|examples| examples.choose(rng))
        .or(schema.get("example"))
        .and_then(Value::as_str)
        && rng.random_bool(0.7)
    {
        return example.to_owned();
    }
    match schema["format"].as_str() {
        Some("uuid") => known.any_uuid(rng),
        // Soon: what lies far off is refused wherever it stands.
        Some("date-time") => Timestamp::from_micros(system_clock()() + 3_600_000_000).to_string(),
        _ => ["GBP", "a", "sandbox:approve", "2.55", "web", "x1"].choose(rng).copied().unwrap_or("a").to_owned(),
    }
}

fn number(rng: &mut StdRng, schema: &Value) -> i64 {
    let least = schema["minimum"].as_i64().unwrap_or(0);
    let most = schema["maximum"].as_i64().unwrap_or(least + 20).min(least.saturating_add(1_000));
    rng.random_range(least..=most.max(least))
}

/// A whole request of an operation.
pub(super) fn attempt(rng: &mut StdRng, document: &Value, operation: &Operation, known: &KnownIds) -> Attempt {
    let mut path = operation.path.clone();
    let mut query = Vec::new();
    let mut headers = Vec::new();
    for parameter in &operation.parameters {
        let parameter = resolve(document, parameter);
        let name = parameter["name"].as_str().unwrap_or_default();
        let plain = match value(rng, document, &parameter["schema"], known, 0) {
            Value::String(text) => text,
            other => other.to_string(),
        };
        match parameter["in"].as_str() {
            Some("path") => path = path.replace(&format!("{{{name}}}"), &known.for_path(rng, &operation.path, &plain)),
            Some("query") if rng.random_bool(0.3) => query.push(format!("{name}={}", escaped(&plain))),
            Some("header") if rng.random_bool(0.4) => {
                headers.push((name.to_lowercase(), header_value(rng, name, &plain)))
            }
            _ => {}
        }
    }
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    let body = operation.body.as_ref().map(|schema| value(rng, document, schema, known, 0).to_string().into_bytes());
    if body.is_some() {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    Attempt { path, headers, body }
}

/// Waiting for verdicts would make the run long without telling more: `Prefer` asks for one second at the most.
fn header_value(rng: &mut StdRng, name: &str, plain: &str) -> String {
    match name.to_lowercase().as_str() {
        "prefer" => "wait=1".to_owned(),
        "if-match" => format!("\"v{}\"", rng.random_range(0..12)),
        "idempotency-key" => format!("key-{}", rng.random_range(0..2_000)),
        _ => plain.to_owned(),
    }
}

/// Percent-encodes all but the plainest characters.
pub(super) fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
