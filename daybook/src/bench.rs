//! `bench`: the closed loop of placements, against a running server or one of our own on a temporary store, and beside it, if asked for, a
//! server of the same framework that parses the same body and stores nothing.

use std::time::Duration;

use anyhow::Context as _;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use schemas::http::placement::PlaceOrder;
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cli::Bench;
use crate::config::Config;
use crate::config::http::Http;
use crate::console::{self, Output};
use crate::load::{self, Load, Round};
use crate::roles::{self, Running};
use crate::service::files;
use crate::service::listen::{self, Routes};

/// The measured results.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// One entry for each server and number of connections.
    pub rounds: Vec<Round>,
}

/// How long each server runs before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// Stock of each SKU: large enough for every order of a measurement.
const STOCK: u32 = 1_000_000;

/// Measures.
///
/// # Errors
/// If a server cannot be started or reached.
pub async fn run(config: &Config, asked: &Bench, output: Output) -> anyhow::Result<Measured> {
    let mut rounds = Vec::new();
    match &asked.url {
        Some(url) => rounds.extend(measure(url.clone(), "daybook", asked, output).await?),
        None => {
            let (own, _folder) = start(config).await?;
            let measured = measure(own.url(), "daybook", asked, output).await;
            own.stop().await?;
            rounds.extend(measured?);
        }
    }
    if asked.baseline {
        let stop = CancellationToken::new();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let http = Http { drain_ms: 1_000, ..Http::default() };
        let (routes, limits) =
            (Routes { all: baseline(), spare: baseline() }, http.limits(files::connections(http.handles(), 0)));
        let server = tokio::spawn(listen::serve(listener, routes, limits, stop.clone()));
        let measured = measure(url, "baseline", asked, output).await;
        stop.cancel();
        server.await?;
        rounds.extend(measured?);
    }
    Ok(Measured { rounds })
}

/// A server of our own on a temporary store, with stock.
async fn start(config: &Config) -> anyhow::Result<(Running, tempfile::TempDir)> {
    let folder = tempfile::tempdir().context("a temporary folder cannot be created")?;
    let mut config = config.clone();
    config.store.data = folder.path().to_owned();
    config.http.listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let running = roles::start(config, "bench").await?;
    let bar = console::bar(load::SKUS as u64, "stock");
    for number in 0..load::SKUS {
        running.receive(&load::sku(number), STOCK).await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    running.serve().await?;
    Ok((running, folder))
}

async fn measure(url: String, name: &str, asked: &Bench, output: Output) -> anyhow::Result<Vec<Round>> {
    let length = Duration::from_secs(asked.seconds.max(1));
    let load = Load { url, name: name.to_owned(), lines: asked.lines.clamp(1, 2_000), length };
    Load { length: WARM_UP, ..load.clone() }.round(1).await?;
    let mut rounds = Vec::new();
    for connections in &asked.connections {
        let bar = console::bar(length.as_secs(), &format!("{name}, {connections} connections"));
        let round = load.round((*connections).max(1)).await?;
        bar.finish_and_clear();
        if output == Output::Text {
            tracing::debug!(
                bench.server = name,
                bench.connections = connections,
                bench.per_second = round.per_second,
                "measured"
            );
        }
        rounds.push(round);
    }
    Ok(rounds)
}

/// The same framework, the same body, nothing stored.
fn baseline() -> Router {
    Router::new().route("/v1/orders", post(parse))
}

async fn parse(Json(order): Json<PlaceOrder>) -> impl IntoResponse {
    let body = json!({ "lines": order.lines.len(), "currency": order.currency, "status": "pending" });
    let headers = [(header::ETAG, "\"v1\""), (header::LOCATION, "/v1/orders/00000000-0000-7000-8000-000000000000")];
    (StatusCode::CREATED, headers, Json(body))
}

impl Measured {
    /// The measurements as a table.
    #[must_use]
    pub fn text(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING).set_header([
            "server",
            "connections",
            "requests/s",
            "p50 ms",
            "p99 ms",
            "max ms",
            "requests",
            "failed",
        ]);
        for round in &self.rounds {
            table.add_row([
                round.server.clone(),
                round.connections.to_string(),
                format!("{:.0}", round.per_second),
                format!("{:.2}", round.p50_ms),
                format!("{:.2}", round.p99_ms),
                format!("{:.2}", round.max_ms),
                round.requests.to_string(),
                round.failed.to_string(),
            ]);
        }
        format!("{table}\n")
    }
}
