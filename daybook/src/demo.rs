//! `demo`: real orders through the real command path, with a gateway that misbehaves for some of them by a seed; then a summary with
//! proofs, and a server to look at it. It never touches a store with existing data unless it is asked to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use command_api::import::plan::Faults;
use command_api::import::{Layout, content, keys};
use domain::import::Policy;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::cli::Demo;
use crate::config::Config;
use crate::console::{Output, grouped, seconds};
use crate::import::{self, Imported, Job, Took};
use crate::roles::Running;
use crate::verify::{self, Check};

/// 3,000 invoices of a real web shop; their origin is described in `data/retail/README.md`.
const SAMPLE: &[u8] = include_bytes!("../../data/retail/online_retail_sample.csv.gz");
/// The recorded name of the sample.
const SOURCE: &str = "data/retail/online_retail_sample.csv.gz";
/// How long sagas may run after the last order.
const SETTLE: Duration = Duration::from_secs(120);

/// The results of a demonstration.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The seed of the gateway's faults.
    pub seed: u64,
    /// The file's figures, by class.
    pub counts: BTreeMap<String, i64>,
    /// Orders: all that were placed, and those by status.
    pub orders: BTreeMap<String, u64>,
    /// Events in the log.
    pub events: u64,
    /// Sagas, by outcome.
    pub sagas: BTreeMap<String, u64>,
    /// What the run took.
    pub took: Took,
    /// How long after the last answer every read model had caught up.
    pub models_caught_up_ms: f64,
    /// Whether everything that was checked holds.
    pub holds: bool,
    /// The results of the checks.
    pub checks: Vec<Check>,
}

/// Imports the sample into an open store, and returns a summary.
///
/// # Errors
/// If the store is not empty, or the run ends early.
pub async fn feed(running: &Running, asked: &Demo, output: Output, stop: CancellationToken) -> anyhow::Result<Summary> {
    let folder = &running.config.store.data;
    if running.head() > 0 && !asked.resume {
        bail!(
            "the store in {} is not empty: continue with it by --resume, or name another folder by --data FOLDER",
            folder.display()
        );
    }
    output.say(&format!(
        "Feeding real orders (data/retail/README.md) to {}; seed of the gateway's faults: {}",
        folder.display(),
        asked.seed
    ));
    let Imported { report, took } = import::run(running, job(&running.config, asked)?, stop).await?;
    let (answered, at) = (Instant::now(), running.head());
    running.wait_for_models(at).await?;
    let models_caught_up_ms = answered.elapsed().as_secs_f64() * 1e3;
    running.settle(SETTLE).await?;
    running.wait_for_models(running.head()).await?;
    let proof = verify::prove(&running.config, None, &[]).await?;
    let mut orders = proof.orders;
    orders.insert("placed".to_owned(), orders.values().sum());
    Ok(Summary {
        seed: asked.seed,
        counts: report.counts,
        orders,
        events: proof.position,
        sagas: proof.sagas,
        took,
        models_caught_up_ms,
        holds: proof.holds,
        checks: proof.checks,
    })
}

fn job(config: &Config, asked: &Demo) -> anyhow::Result<Job> {
    let mut bytes = crate::content::unpack(SAMPLE.to_vec()).context("the sample is damaged")?;
    if let Some(invoices) = asked.invoices {
        bytes = first(&bytes, invoices);
    }
    let mut options = import::options(config, None, SOURCE, Policy::Rows)?;
    options.faults = Some(Faults { seed: asked.seed, mix: mix() });
    Ok(Job {
        sha256: keys::sha256(&bytes),
        content: content::parse(Layout::Retail, &bytes)?,
        layout: Layout::Retail,
        options,
    })
}

/// How many of a thousand orders meet each fault.
fn mix() -> Vec<(String, u32)> {
    [
        ("sandbox:decline", 20),
        ("sandbox:timeout", 10),
        ("sandbox:late", 10),
        ("sandbox:flaky", 15),
        ("sandbox:capture-timeout", 10),
        ("sandbox:capture-decline", 3),
        ("sandbox:refund-flaky", 20),
    ]
    .map(|(instrument, orders)| (instrument.to_owned(), orders))
    .into()
}

/// The rows of the first so many invoices. No field of the sample holds a line break.
fn first(content: &[u8], invoices: usize) -> Vec<u8> {
    let mut seen = std::collections::HashSet::new();
    let mut kept = Vec::new();
    for (place, line) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let invoice = line.split(|byte| *byte == b',').next().unwrap_or_default();
        if place == 0 || seen.contains(invoice) || seen.len() < invoices {
            if place > 0 {
                seen.insert(invoice);
            }
            kept.extend_from_slice(line);
        }
    }
    kept
}

impl Summary {
    /// The summary as a person reads it.
    #[must_use]
    pub fn text(&self) -> String {
        let number = |number: u64| grouped(i64::try_from(number).unwrap_or(i64::MAX));
        let list = |counts: &BTreeMap<String, u64>| {
            counts.iter().map(|(name, count)| format!("    {name:<34}{:>10}\n", number(*count))).collect::<String>()
        };
        let mut text = String::from("\n");
        text.push_str(&format!(
            "  {} events of {} orders in {}: {} orders/s, {} events/s; a command p50 {:.1} ms, p99 {:.1} ms\n",
            number(self.events),
            number(self.took.orders),
            seconds(Duration::from_secs_f64(self.took.seconds)),
            grouped(self.took.orders_per_second as i64),
            grouped(self.took.events_per_second as i64),
            self.took.p50_ms,
            self.took.p99_ms
        ));
        text.push_str(&format!(
            "  every read model had caught up {:.1} ms after the last answer\n",
            self.models_caught_up_ms
        ));
        text.push_str(&format!("\n  orders\n{}\n  sagas\n{}\n  checked\n", list(&self.orders), list(&self.sagas)));
        for check in &self.checks {
            let mark = if check.violated == 0 { "ok" } else { "NO" };
            text.push_str(&format!("    {mark}  {:<70}{:>12}\n", check.name, number(check.checked)));
            for violation in check.violations.iter().take(5) {
                text.push_str(&format!("        {violation}\n"));
            }
        }
        text
    }
}

/// The addresses to open, and the requests to try.
#[must_use]
pub fn invitation(url: &str) -> String {
    format!(
        "\nServing on {url} (Ctrl-C stops)\n\n\
         open   {url}/docs                 the API, to read and to try\n\
         try    curl '{url}/v1/orders?limit=5'\n\
        \x20      curl '{url}/v1/orders?return_status=returned&limit=5'\n\
        \x20      curl '{url}/v1/stock/85123A'\n\
        \x20      curl -X POST '{url}/v1/orders' -H 'content-type: application/json' -H 'prefer: wait=5' -d '{{\
         \"currency\":\"GBP\",\"lines\":[{{\"sku\":\"85123A\",\"title\":\"White hanging \
         heart\",\"qty\":1,\"unit_price\":\"2.55\"}}],\
         \"payment\":{{\"instrument\":\"{}\"}}}}'\n\
        \x20      curl '{url}/readyz'; curl '{url}/metrics'\n\
         and    daybook history 536365; daybook verify\n",
        command_api::import::plan::DEFAULT_INSTRUMENT
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use super::*;

    #[test]
    fn the_sample_is_what_its_readme_says() {
        let bytes = crate::content::unpack(SAMPLE.to_vec()).unwrap();
        assert_eq!(
            keys::hex(&keys::sha256(&bytes)),
            "314d11e6be86376482b3f2d932719bcc455eeb8cee775c5b3d14e830eee9ecd2"
        );
        let content = content::parse(Layout::Retail, &bytes).unwrap();
        assert_eq!(content.tally.lines(), 68_903);
        assert_eq!(content.sales.len(), 2_305);
        assert!(content.refused.is_empty());
    }

    #[test]
    fn the_first_invoices_are_whole() {
        let content = b"InvoiceNo,x\n1,a\n2,a\n1,b\n3,a\n2,b\n";
        assert_eq!(first(content, 2), b"InvoiceNo,x\n1,a\n2,a\n1,b\n2,b\n");
    }
}
