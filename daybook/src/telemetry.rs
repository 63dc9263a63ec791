//! Logs and metrics: both are set up once, before anything runs. No metric is labelled by an id, and no secret is logged.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::config::telemetry::{Format, Telemetry};

/// Seconds: from a read out of memory to a wait for a saga.
const DURATIONS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// Counts: events in a group, records in a micro-batch.
const SIZES: [f64; 13] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];
/// Histograms are drained at this interval, even without scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Sends log lines to standard error.
///
/// # Errors
/// If the filter cannot be read or logs are set up already.
pub fn logs(telemetry: &Telemetry) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&telemetry.log)
        .with_context(|| format!("telemetry.log: `{}` is not a filter", telemetry.log))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let done = match telemetry.format {
        Format::Text => builder.with_target(false).try_init(),
        Format::Json => builder.json().flatten_event(true).with_current_span(true).try_init(),
    };
    done.map_err(|error| anyhow::anyhow!("logs cannot be set up: {error}"))
}

/// Installs the metrics recorder at the first call; every call returns the same handle.
///
/// # Errors
/// If another recorder is installed already.
pub fn metrics() -> anyhow::Result<PrometheusHandle> {
    static TAKEN: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*taken {
        return Ok(handle.clone());
    }
    let handle = install()?;
    *taken = Some(handle.clone());
    Ok(handle)
}

fn install() -> anyhow::Result<PrometheusHandle> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &DURATIONS)?
        .set_buckets_for_metric(Matcher::Suffix("_events".into()), &SIZES)?
        .set_buckets_for_metric(Matcher::Suffix("_records".into()), &SIZES)?
        .install_recorder()
        .context("metrics cannot be set up")
}

/// Drains the histograms from time to time: otherwise they would grow without bound.
pub async fn upkeep(handle: PrometheusHandle, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(UPKEEP);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        handle.run_upkeep();
    }
}
