//! A closed loop of placements over HTTP on a number of connections: each sends its next order as soon as the previous
//! one is answered. The body is the same for every measured server. It must never count an answer other than *placed*.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// The results of one round of the loop.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// The measured server.
    pub server: String,
    /// Connections at once.
    pub connections: usize,
    /// Answers in all.
    pub requests: u64,
    /// Answers that were not 201.
    pub failed: u64,
    /// How long it took.
    pub seconds: f64,
    /// Answers per second.
    pub per_second: f64,
    /// The median of the answer times, in milliseconds.
    pub p50_ms: f64,
    /// 99 of a hundred did.
    pub p99_ms: f64,
    /// The slowest did.
    pub max_ms: f64,
}

/// The orders to place.
#[derive(Clone, Debug)]
pub struct Load {
    /// The server, without a path.
    pub url: String,
    /// The server's name in the result.
    pub name: String,
    /// Lines of each order.
    pub lines: usize,
    /// How long a round takes.
    pub length: Duration,
}

/// How many SKUs the orders are spread over.
pub const SKUS: usize = 1_000;

impl Load {
    /// Runs one round.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn round(&self, connections: usize) -> anyhow::Result<Round> {
        let failed = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let until = begun + self.length;
        let mut tasks = tokio::task::JoinSet::new();
        for connection in 0..connections {
            tasks.spawn(loops(self.clone(), connection, until, Arc::clone(&failed)));
        }
        let mut times = histogram()?;
        while let Some(done) = tasks.join_next().await {
            times.add(done.context("a connection's task failed")??)?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let millis = |micros: u64| micros as f64 / 1e3;
        Ok(Round {
            server: self.name.clone(),
            connections,
            requests: times.len(),
            failed: failed.load(Ordering::Acquire),
            seconds,
            per_second: times.len() as f64 / seconds,
            p50_ms: millis(times.value_at_quantile(0.5)),
            p99_ms: millis(times.value_at_quantile(0.99)),
            max_ms: millis(times.max()),
        })
    }
}

/// From a microsecond to a minute, to three digits.
///
/// # Errors
/// Never, with these bounds.
pub fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

async fn loops(
    load: Load,
    connection: usize,
    until: Instant,
    failed: Arc<AtomicU64>,
) -> anyhow::Result<Histogram<u64>> {
    // A separate client for each connection: a shared pool would decide how many there are.
    let client = reqwest::Client::builder()
        .pool_max_idle_per_host(1)
        .http1_only()
        .tcp_nodelay(true)
        .timeout(Duration::from_secs(60))
        .build()?;
    let url = format!("{}/v1/orders", load.url.trim_end_matches('/'));
    let mut times = histogram()?;
    let mut number = 0;
    while Instant::now() < until {
        let body = serde_json::to_vec(&order(load.lines, connection, number))?;
        number += 1;
        let begun = Instant::now();
        let answer = client
            .post(&url)
            .header("content-type", "application/json")
            .header("idempotency-key", Uuid::now_v7().to_string())
            .body(body)
            .send()
            .await
            .with_context(|| format!("{url} does not answer"))?;
        let status = answer.status();
        let text = answer.bytes().await?;
        times.saturating_record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
        if status != reqwest::StatusCode::CREATED {
            if number == 1 {
                bail!("{url} answered {status}: {}", String::from_utf8_lossy(&text));
            }
            failed.fetch_add(1, Ordering::AcqRel);
        }
    }
    Ok(times)
}

/// The order that is placed: `POST /v1/orders`.
#[must_use]
pub fn order(lines: usize, connection: usize, number: usize) -> Value {
    let line = |at: usize| {
        json!({
            "sku": sku((connection * 7_919 + number * 31 + at * 17) % SKUS),
            "title": "A thing that is sold in a benchmark",
            "qty": 1 + at % 3,
            "unit_price": "2.55",
            "tax_bp": 2000,
            "tax_included": true
        })
    };
    json!({
        "channel": "bench",
        "currency": "GBP",
        "customer_ref": format!("customer-{connection}"),
        "lines": (0..lines).map(line).collect::<Vec<_>>(),
        "payment": { "instrument": command_api::import::plan::DEFAULT_INSTRUMENT }
    })
}

/// The name of one of the SKUs.
#[must_use]
pub fn sku(number: usize) -> String {
    format!("BENCH-{number:04}")
}
