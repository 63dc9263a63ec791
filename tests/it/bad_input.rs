//! Ten thousand seeded mutations over every route of the OpenAPI document: each answer is one that the route documents, with a code
//! that `docs/http-api.md` lists, and never a 5xx.

mod mutate;
mod sample;

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::Value;

use crate::harness::{Answer, Client, Server, shop};

const MUTATIONS: usize = 10_000;

/// What is sent at once: enough to keep the server busy, few enough to keep an order of events that a seed reproduces closely.
const AT_ONCE: usize = 8;

/// An operation of the document.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) parameters: Vec<Value>,
    pub(crate) body: Option<Value>,
    pub(crate) statuses: BTreeSet<u16>,
}

/// A request, mutated or not.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else {
                continue;
            };
            // A rebuild of a read model is no business of a caller's input, and page and metrics are not of the API.
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let body = operation
                .pointer("/requestBody/content")
                .and_then(Value::as_object)
                .and_then(|content| content.values().next());
            found.push(Operation {
                method,
                path: path.clone(),
                parameters,
                body: body.map(|media| media["schema"].clone()),
                statuses: operation["responses"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .filter_map(|status| status.parse().ok())
                    .collect(),
            });
        }
    }
    assert!(found.len() > 30, "the document names {} operations", found.len());
    found
}

fn documented_codes() -> BTreeSet<String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/http-api.md")).unwrap();
    let codes: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split('`').next())
        .map(str::to_owned)
        .collect();
    assert!(codes.len() > 20, "docs/http-api.md lists {} codes", codes.len());
    codes
}

/// What is wrong with an answer, if something is.
fn judge(operation: &Operation, answer: &Answer, codes: &BTreeSet<String>) -> Option<String> {
    if answer.status >= 500 {
        return Some("a server error".to_owned());
    }
    if !operation.statuses.contains(&answer.status) {
        return Some(format!("{} is not documented ({:?} are)", answer.status, operation.statuses));
    }
    if answer.status < 400 {
        return None;
    }
    if !answer.content_type.starts_with("application/problem+json") {
        return Some(format!("{} is {}", answer.status, answer.content_type));
    }
    let code =
        serde_json::from_str::<Value>(&answer.body).ok().and_then(|body| body["code"].as_str().map(str::to_owned));
    match code {
        Some(code) if codes.contains(&code) => None,
        code => Some(format!("its code {code:?} is not in docs/http-api.md")),
    }
}

/// Sends it, on a new connection if the first try met one that the server was closing: after a body over the limit it does that.
async fn send(client: &Client, operation: &Operation, attempt: &Attempt) -> Option<Answer> {
    let headers: Vec<(&str, &str)> =
        attempt.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for _ in 0..3 {
        let method = operation.method.clone();
        let answer = client.try_send(method, &attempt.path, &headers, attempt.body.clone()).await;
        if answer.is_some() {
            return answer;
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_input_brings_anything_but_a_documented_answer() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("store")).await;
    let client = server.client();
    #[expect(clippy::disallowed_methods, reason = "a seed is given to a test, not to the product")]
    let seed: u64 = std::env::var("DAYBOOK_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_110_906);
    println!("DAYBOOK_TEST_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);

    let known = shop::known_ids(&client).await;
    let document = client.get("/openapi.json").await.expect(200).json();
    let operations = operations(&document);
    let codes = documented_codes();
    let mut faults = Vec::new();
    let mut seen: BTreeMap<u16, usize> = BTreeMap::new();
    let mut sent = 0;
    while sent < MUTATIONS {
        let mut round = Vec::new();
        for _ in 0..AT_ONCE {
            let operation = &operations[sent % operations.len()];
            let mut attempt = sample::attempt(&mut rng, &document, operation, &known);
            let how = mutate::mutate(&mut rng, &mut attempt);
            round.push((operation, attempt, how));
            sent += 1;
        }
        let answers = futures_util::future::join_all(
            round.iter().map(|(operation, attempt, _)| send(&client, operation, attempt)),
        )
        .await;
        for ((operation, attempt, how), answer) in round.iter().zip(answers) {
            // A body over the limit may be answered before it is read, so the connection may go: it was not accepted, which is what counts.
            let Some(answer) = answer else {
                assert!(
                    attempt.body.as_ref().is_some_and(|body| body.len() > 200_000),
                    "no answer to {} {attempt:?}",
                    operation.path
                );
                continue;
            };
            *seen.entry(answer.status).or_default() += 1;
            if let Some(fault) = judge(operation, &answer, &codes) {
                let body = attempt
                    .body
                    .as_ref()
                    .map(|body| String::from_utf8_lossy(&body[..body.len().min(600)]).into_owned());
                faults.push(format!(
                    "{how}: {} {} {body:?}\n   {fault}: {}",
                    operation.method, attempt.path, answer.body
                ));
            }
        }
        assert!(faults.len() < 25, "after {sent} mutations:\n{}", faults.join("\n"));
    }
    println!("answers by status: {seen:?}");
    assert!(faults.is_empty(), "{} of {sent}:\n{}", faults.len(), faults.join("\n"));
    // The mutations reached the rules and did not all stop at the first check.
    assert!(seen.get(&400).is_some_and(|count| *count > 500), "{seen:?}");
    assert!(seen.keys().filter(|status| **status < 300).count() > 0, "{seen:?}");
    assert!(rng.random::<u64>() > 0);
    client.get("/readyz").await.expect(200);
}
