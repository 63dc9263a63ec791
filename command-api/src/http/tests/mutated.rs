//! Requests that are a little wrong, many of them, from a seed: each gets a status and a code that its route documents, never a 5xx.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::*;

const SEED: u64 = 20_101_201;
const REQUESTS: usize = 3_000;

/// A body of each route that would do, if its ids were there.
fn bodies(path: &str, method: &str) -> Value {
    let units = json!([{"line_id": 1, "qty": 2}]);
    let money = json!({"amount": 100, "currency": "GBP"});
    let address = json!({"name": "Ada", "lines": ["1 Mill Lane"], "city": "York", "country": "GB"});
    match (method, path.rsplit('/').next().unwrap()) {
        (_, "orders") => order_of(None),
        (_, "lines") => {
            json!({"reason": "r", "changes": [{"set_qty": {"line_id": 1, "qty": 3}}, {"discount": {"line_id": 1, "discount": money}}]})
        }
        (_, "cancellations") => json!({"reason": "r", "lines": units}),
        (_, "holds") => json!({"reason": "r", "note": "n", "until": in_seconds(3_600)}),
        (_, "shipping-address") => json!({"ship_to": address}),
        (_, "notes") => json!({"text": "t", "visibility": "customer"}),
        (_, "tags") => json!({"tags": ["a", "b"]}),
        (_, "refunds") => {
            json!({"reason": "r", "amount": money, "lines": [{"line_id": 1, "qty": 1, "amount": money}]})
        }
        (_, "shipments") => json!({"lines": units, "carrier": "c", "tracking": "t"}),
        (_, "delivery" | "loss") => json!({"lines": units}),
        (_, "returns") => json!({"lines": [{"line_id": 1, "qty": 1, "reason": "r"}]}),
        (_, "decline") => json!({"reason": "r"}),
        (_, "voids") => json!({"keep": money}),
        (_, "captures") => json!({"amount": money}),
        (_, "resolutions") => {
            json!({"verb": "authorise", "verdict": "done", "evidence": "e", "provider_ref": "p", "try_again": true})
        }
        (_, "receipts") if path.contains("returns") => {
            json!({"lines": [{"line_id": 1, "qty": 1, "disposition": "restock"}]})
        }
        (_, "receipts") => json!({"qty": 5}),
        (_, "adjustments") => json!({"delta": -1, "reason": "r", "expected": 5}),
        (_, "counts") => json!({"counted": 4}),
        (_, "backorders") => json!({"order_id": uuid(1), "qty": 1, "reason": "r"}),
        (_, "reservations") => json!({"items": [{"sku": "A", "qty": 1}], "hold_for_s": 60}),
        ("patch", _) if path.contains("reservations") => {
            json!({"expires_at": in_seconds(3_600)})
        }
        ("patch", _) => json!({"tracking": "t"}),
        ("put", _) => json!({"safety_stock": 1}),
        _ => json!({}),
    }
}

/// Puts something odd somewhere.
fn mutate(rng: &mut SmallRng, value: &mut Value) {
    let odd = [
        Value::Null,
        json!(-1),
        json!(0),
        json!(u64::MAX),
        json!(i64::MAX),
        json!(1e300),
        json!(true),
        json!("x"),
        json!(""),
        json!("x".repeat(5_000)),
        json!("\u{0}\u{202e}"),
        json!([]),
        json!({}),
        json!([[[]]]),
        json!("EUR"),
        json!("2.555555555"),
        json!(uuid(1)),
        json!(2),
        json!(1_000_001),
    ];
    match value {
        Value::Object(fields) if !fields.is_empty() && rng.random_bool(0.8) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            let name = names.choose(rng).unwrap();
            match rng.random_range(0..6) {
                0 => drop(fields.remove(name)),
                1 => drop(fields.insert("status".into(), json!("confirmed"))),
                _ => mutate(rng, &mut fields[name.as_str()]),
            }
        }
        Value::Array(items) if !items.is_empty() && rng.random_bool(0.8) => match rng.random_range(0..4) {
            0 => items.push(items[0].clone()),
            1 => drop(items.remove(0)),
            _ => {
                let at = rng.random_range(0..items.len());
                mutate(rng, &mut items[at]);
            }
        },
        other => *other = odd.choose(rng).unwrap().clone(),
    }
}

fn address(rng: &mut SmallRng, path: &str, orders: &[OrderId]) -> String {
    let mut filled = path.to_owned();
    while let (Some(from), Some(to)) = (filled.find('{'), filled.find('}')) {
        let known = if path.contains("/shipments/") { uuid(500) } else { orders.choose(rng).unwrap().0 };
        let id = match rng.random_range(0..10) {
            0 => "x".to_owned(),
            1 => uuid(999).to_string(),
            2 => "%00".to_owned(),
            3 => "a".repeat(300),
            _ if path.contains("/stock/") => "A".to_owned(),
            _ => known.to_string(),
        };
        filled.replace_range(from..=to, &id);
    }
    match rng.random_range(0..12) {
        0 => filled + "?dry_run=true",
        1 => filled + "?dry_run=1&x=%ff",
        _ => filled,
    }
}

fn request(rng: &mut SmallRng, method: &str, path: &str, body: &Value) -> Request<Body> {
    let mut request = Request::builder().method(method.to_ascii_uppercase().as_str()).uri(path);
    if rng.random_bool(0.9) {
        request = request.header("content-type", "application/json");
    }
    if rng.random_bool(0.6) {
        request = request
            .header("if-match", *["\"v1\"", "\"v3\"", "*", "v1", "\"v18446744073709551615\""].choose(rng).unwrap());
    }
    if rng.random_bool(0.3) {
        request = request.header("idempotency-key", format!("k{}", rng.random_range(0..200)));
    }
    let mut bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    if rng.random_bool(0.05) && !bytes.is_empty() {
        let at = rng.random_range(0..bytes.len());
        bytes[at] = rng.random();
        bytes.truncate(rng.random_range(at..=bytes.len()));
    }
    request.body(Body::from(bytes)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_a_little_wrong_gets_a_documented_answer() {
    let mut rng = SmallRng::seed_from_u64(SEED);
    let server = Server::new();
    let mut orders = Vec::new();
    for n in 0..6 {
        let told = server.send(post("/v1/orders", order_of(None))).await;
        orders.push(order_id(&told));
        if n % 2 == 0 {
            server.confirm(orders[n], 6).await;
        }
    }
    let ship = format!("/v1/orders/{}/shipments", orders[0]);
    server.send(post(&ship, json!({"shipment_id": uuid(500)}))).await;

    let described = described::description();
    let routes: Vec<(String, String, Value)> = described["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .unwrap()
                .iter()
                .map(move |(method, route)| (path.clone(), method.clone(), route["responses"].clone()))
        })
        .filter(|(path, ..)| path != "/v1/imports")
        .collect();
    let mut seen = std::collections::BTreeMap::<u16, usize>::new();
    for n in 0..REQUESTS {
        let (path, method, responses) = routes.choose(&mut rng).unwrap();
        let mut body = if method == "get" || method == "delete" { Value::Null } else { bodies(path, method) };
        if n % 4 != 0 && !body.is_null() {
            mutate(&mut rng, &mut body);
        }
        let uri = address(&mut rng, path, &orders);
        let told = server.raw(request(&mut rng, method, &uri, &body)).await;
        *seen.entry(told.status.as_u16()).or_default() += 1;
        let context = || format!("{method} {uri} {body}: {} {}", told.status, String::from_utf8_lossy(&told.body));
        assert!(told.status.as_u16() < 500, "{}", context());
        let documented = &responses[told.status.as_str()];
        assert!(documented.is_object(), "{}", context());
        if told.status.is_client_error() {
            let code = told.code();
            let listed = documented["description"].as_str().unwrap();
            assert!(listed.contains(&format!("`{code}`")), "{}", context());
        }
    }
    for status in [200, 201, 400, 404, 409, 412, 415, 422] {
        assert!(seen.contains_key(&status), "{status} was never seen: {seen:?}");
    }
}
