//! Orders a second against the embedded system in the same run, and the time from an answer to the read model that shows it.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::Plan;
use super::http::{header, request};
use crate::{Cluster, Options};

/// Clients at once that look for the lag: each waits for it, so that many are needed to keep a rate.
const CLIENTS: u64 = 96;
/// The SKUs that `daybook bench` orders.
const SKUS: usize = 1_000;

/// Orders per second on both systems, in turn.
pub(super) fn orders(cluster: &Cluster, options: &Options, plan: &Plan) -> anyhow::Result<Vec<Value>> {
    let name = &cluster.replicas("command-api")?[0];
    let url = cluster.url(name);
    for number in 0..SKUS {
        // As `bench` fills its own store.
        let path = format!("/v1/stock/BENCH-{number:04}/receipts");
        request(&cluster.address(name), "POST", &path, Some(r#"{"qty":1000000}"#))?;
    }
    let mut runs = Vec::new();
    for connections in &plan.connections {
        let run = |url: Option<&str>| -> anyhow::Result<Value> {
            let mut command = Command::new(&options.daybook);
            command.args(["--output", "json", "bench"]);
            command.args(["--seconds", &plan.seconds.to_string()]);
            command.args(["--connections", &connections.to_string()]);
            if let Some(url) = url {
                command.args(["--url", url]);
            }
            let output = command.output()?;
            if !output.status.success() {
                bail!("bench: {}", String::from_utf8_lossy(&output.stderr));
            }
            let told: Value = serde_json::from_slice(&output.stdout)?;
            Ok(told["rounds"][0].clone())
        };
        let (embedded, scaled) = (run(None)?, run(Some(&url))?);
        runs.push(json!({ "connections": connections, "embedded": embedded, "scaled": scaled }));
    }
    Ok(runs)
}

/// The time from a command's answer to a query that shows it, at a rate.
pub(super) fn lag(cluster: &Cluster, rate: f64, seconds: u64) -> anyhow::Result<Value> {
    let commands = cluster.address(&cluster.replicas("command-api")?[0]);
    let queries = cluster.address(&cluster.replicas("query-api")?[0]);
    request(&commands, "POST", "/v1/stock/LAG/receipts", Some(r#"{"qty":1000000}"#))?;
    let sent = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let threads: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (commands, queries) = (commands.clone(), queries.clone());
            let sent = Arc::clone(&sent);
            std::thread::spawn(move || {
                let mut times = Vec::new();
                while begun.elapsed() < Duration::from_secs(seconds) {
                    let number = sent.fetch_add(1, Ordering::Relaxed);
                    let due = begun + Duration::from_secs_f64(number as f64 / rate);
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let body = r#"{"currency":"GBP","lines":[{"line_id":1,"sku":"LAG","title":"Lag","qty":1,"unit_price":"1.00"}],"payment":{"instrument":"sandbox:approve"}}"#;
                    let answer = request(&commands, "POST", "/v1/orders", Some(body))?;
                    let (answered, position) = (Instant::now(), header(&answer, "daybook-position"));
                    let position = position.context("an order has a position")?;
                    let path = format!("/v1/orders?limit=1&min_position={position}");
                    request(&queries, "GET", &path, None)?;
                    times.push(answered.elapsed());
                }
                anyhow::Ok(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for thread in threads {
        times.extend(thread.join().map_err(|_| anyhow::anyhow!("a client failed"))??);
    }
    times.sort();
    let of = |share: f64| {
        let at = (times.len() as f64 * share) as usize;
        let time = times.get(at.min(times.len().saturating_sub(1)));
        time.map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    let reached = times.len() as f64 / begun.elapsed().as_secs_f64();
    Ok(json!({
        "wanted_per_second": rate, "orders_per_second": reached,
        "p50_ms": of(0.5), "p99_ms": of(0.99), "orders": times.len(),
    }))
}
