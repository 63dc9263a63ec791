//! The ways in which a request can be wrong.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Attempt;
use super::sample::escaped;

/// Changes one thing about the request, or (now and then) nothing; says what.
pub(super) fn mutate(rng: &mut StdRng, attempt: &mut Attempt) -> &'static str {
    match rng.random_range(0..16) {
        0 => "as the document says",
        1 => unknown_id(attempt),
        2 => odd_path(rng, attempt),
        3 => odd_query(rng, attempt),
        4 => odd_header(rng, attempt),
        5 => broken_json(rng, attempt),
        6 => huge_body(rng, attempt),
        7 => deep_body(attempt),
        8 => unknown_field(rng, attempt),
        _ => odd_value(rng, attempt),
    }
}

fn unknown_id(attempt: &mut Attempt) -> &'static str {
    attempt.path = attempt
        .path
        .split('/')
        .map(|part| if part.parse::<Uuid>().is_ok() { Uuid::now_v7().to_string() } else { part.to_owned() })
        .collect::<Vec<_>>()
        .join("/");
    "an unknown id"
}

fn odd_path(rng: &mut StdRng, attempt: &mut Attempt) -> &'static str {
    let odd = [
        "nil",
        "%00",
        "%FF",
        "..%2F..",
        "0",
        "-1",
        "%F0%9F%92%A9",
        "00000000-0000-0000-0000-000000000000",
        "' OR 1=1--",
    ];
    let (path, query) = attempt
        .path
        .split_once('?')
        .map_or((attempt.path.clone(), String::new()), |(path, query)| (path.to_owned(), format!("?{query}")));
    let parts: Vec<&str> = path.split('/').collect();
    let replaced = odd.choose(rng).copied().unwrap_or("0").replace(' ', "%20");
    let index = parts.iter().position(|part| part.parse::<Uuid>().is_ok()).unwrap_or(parts.len());
    let changed: Vec<&str> =
        parts.iter().enumerate().map(|(at, part)| if at == index { replaced.as_str() } else { part }).collect();
    attempt.path = format!("{}{query}", changed.join("/"));
    "an odd path"
}

fn odd_query(rng: &mut StdRng, attempt: &mut Attempt) -> &'static str {
    let name = [
        "limit",
        "cursor",
        "sort",
        "as_of_version",
        "as_of_position",
        "as_of_time",
        "min_position",
        "dry_run",
        "status[eq]",
        "total[gte]",
        "nonsense",
        "count",
    ];
    let odd = [
        "-1",
        "999999999999999999999999",
        "\u{0}",
        "abc",
        "1e9",
        "",
        "' OR 1=1--",
        "9999-99-99T00:00:00Z",
        "💩",
        "true,false",
    ];
    let separator = if attempt.path.contains('?') { '&' } else { '?' };
    let name = name.choose(rng).copied().unwrap_or("limit");
    let value = odd.choose(rng).copied().unwrap_or("");
    attempt.path = format!("{}{separator}{}={}", attempt.path, escaped(name), escaped(value));
    "an odd query"
}

fn odd_header(rng: &mut StdRng, attempt: &mut Attempt) -> &'static str {
    let odd = [
        ("if-match", "nonsense"),
        ("if-match", "\"v999999999999999999999\""),
        ("if-none-match", "W/\"x\""),
        ("idempotency-key", ""),
        ("prefer", "wait=-5"),
        ("prefer", "wait=abc, return=minimal"),
        ("content-type", "text/plain"),
        ("content-type", "application/json; charset=utf-16"),
        ("accept", "application/xml"),
        ("expect", "nothing"),
    ];
    let (name, value) = odd.choose(rng).copied().unwrap_or(("accept", "*/*"));
    attempt.headers.retain(|(known, _)| known != name);
    let long = "k".repeat(4_000);
    let value = if name == "idempotency-key" && rng.random::<bool>() { long } else { value.to_owned() };
    attempt.headers.push((name.to_owned(), value));
    "an odd header"
}

fn broken_json(rng: &mut StdRng, attempt: &mut Attempt) -> &'static str {
    if let Some(body) = &mut attempt.body {
        match rng.random_range(0..4) {
            0 => body.truncate(rng.random_range(0..=body.len())),
            1 => body.extend_from_slice(b"}}"),
            2 => *body = b"[1, 2".to_vec(),
            _ => {
                let at = rng.random_range(0..=body.len());
                body.insert(at, rng.random());
            }
        }
    }
    "broken JSON"
}

fn huge_body(rng: &mut StdRng, attempt: &mut Attempt) -> &'static str {
    if attempt.body.is_some() {
        let text = "x".repeat(rng.random_range(200_000..3_000_000));
        attempt.body = Some(json!({ "title": text }).to_string().into_bytes());
    }
    "a huge body"
}

fn deep_body(attempt: &mut Attempt) -> &'static str {
    if attempt.body.is_some() {
        attempt.body = Some(format!("{}1{}", "{\"a\":[".repeat(5_000), "]}".repeat(5_000)).into_bytes());
    }
    "a deep body"
}

fn unknown_field(rng: &mut StdRng, attempt: &mut Attempt) -> &'static str {
    edit(attempt, |body| {
        let places = places(body);
        let objects: Vec<&String> =
            places.iter().filter(|place| body.pointer(place).is_some_and(Value::is_object)).collect();
        let place = objects.choose(rng).copied().cloned().unwrap_or_default();
        if let Some(Value::Object(fields)) = body.pointer_mut(&place) {
            fields.insert("surprise".to_owned(), json!(1));
        }
    });
    "an unknown field"
}

fn odd_value(rng: &mut StdRng, attempt: &mut Attempt) -> &'static str {
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(1),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e308),
        json!(0.5),
        json!(4_294_967_296_i64),
        json!(1_000_001),
        json!(""),
        json!(" "),
        json!("x".repeat(300)),
        json!("QQQ"),
        json!("GBP"),
        json!("JPY"),
        json!("\u{0}\u{1b}[31m"),
        json!("-0.1"),
        json!("99999999999999999999.99"),
        json!("0.0000000001"),
        json!([]),
        json!({}),
        json!([[[]]]),
        json!("2011-13-45T99:00:00Z"),
        json!("💩"),
        json!({ "amount": -5, "currency": "GBP" }),
        json!({ "amount": 9_000_000_000_000_000_000_i64, "currency": "GBP" }),
        json!({ "amount": 5, "currency": "ZZZ" }),
    ];
    edit(attempt, |body| {
        let places = places(body);
        let place = places.choose(rng).cloned().unwrap_or_default();
        let value = odd.choose(rng).cloned().unwrap_or(Value::Null);
        if rng.random_bool(0.1) {
            if let Some((parent, name)) = place.rsplit_once('/')
                && let Some(Value::Object(fields)) = body.pointer_mut(parent)
            {
                fields.remove(name);
            }
        } else if let Some(slot) = body.pointer_mut(&place) {
            *slot = value;
        }
    });
    "an odd value"
}

fn edit(attempt: &mut Attempt, change: impl FnOnce(&mut Value)) {
    if let Some(body) = &mut attempt.body
        && let Ok(mut value) = serde_json::from_slice(body)
    {
        change(&mut value);
        *body = value.to_string().into_bytes();
    }
}

/// The pointer of every value in a body.
fn places(body: &Value) -> Vec<String> {
    fn walk(value: &Value, place: String, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, inner)| walk(inner, format!("{place}/{name}"), found))
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, inner)| walk(inner, format!("{place}/{index}"), found))
            }
            _ => {}
        }
        found.push(place);
    }
    let mut found = Vec::new();
    walk(body, String::new(), &mut found);
    found
}
