//! Proving a store: the chain, positions and versions, that every event can be read, the laws after every event, and every read model
//! against a fresh fold. It only reads, so it works beside a running server. It must never mend anything.

mod begun;
mod laws;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use event_store::record::Position;
use event_store::{EventStore, Filter};
use projections::store::ReadStore as _;
use projections::{FILE, Snapshot};
use serde::Serialize;

use crate::config::Config;
use crate::console;
use crate::roles;

/// What one check came to.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// How many times.
    pub checked: u64,
    /// What does not hold, at most a hundred.
    pub violations: Vec<String>,
    /// How much does not hold.
    pub violated: u64,
}

/// What a proof came to.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Whether everything holds.
    pub holds: bool,
    /// The last position that was read.
    pub position: Position,
    /// The hash there, from which the whole log before it follows.
    pub hash: String,
    /// Orders, by status.
    pub orders: std::collections::BTreeMap<String, u64>,
    /// Sagas, by how they are.
    pub sagas: std::collections::BTreeMap<String, u64>,
    /// The checks.
    pub checks: Vec<Check>,
}

/// Violations that are told; more are only counted.
const TOLD: usize = 100;
/// Records read at once.
const PAGE: usize = 2_048;

impl Check {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), checked: 0, violations: Vec::new(), violated: 0 }
    }

    fn violate(&mut self, what: impl FnOnce() -> String) {
        self.violated += 1;
        if self.violations.len() < TOLD {
            self.violations.push(what());
        }
    }
}

/// Proves the store of a configuration; `against` the folder of another one, its read models row by row as well.
///
/// # Errors
/// If it cannot be read at all.
pub async fn prove(config: &Config, against: Option<&Path>) -> anyhow::Result<Proof> {
    let log = roles::log::beside(config, "verify").await?;
    let proof = prove_log(config, Arc::clone(&log), against).await;
    log.close().await?;
    proof
}

async fn prove_log(config: &Config, log: Arc<dyn EventStore>, against: Option<&Path>) -> anyhow::Result<Proof> {
    let mut checks = Vec::new();
    let (position, hash) = chain(&*log, &mut checks).await?;
    let seen = roles::seen(&*log, config.store.url.is_set()).await?;
    let (orders, sagas) = events(&*log, position, seen, &mut checks).await?;
    if let Some(live) = read_models(config).await? {
        models(&live, Arc::clone(&log), &mut checks).await?;
        if let Some(folder) = against {
            compare(&live, folder, &mut checks).await?;
        }
    }
    Ok(Proof { holds: checks.iter().all(|check| check.violated == 0), position, hash, orders, sagas, checks })
}

/// The read models as they are now; none where none were ever made.
async fn read_models(config: &Config) -> anyhow::Result<Option<Snapshot>> {
    if config.store.url.is_set() {
        let rows = roles::read_models(config).await?;
        return Ok(Some(rows.snapshot().await?));
    }
    let folder = &config.store.data;
    if !folder.join(FILE).exists() {
        return Ok(None);
    }
    Ok(Some(Snapshot::of_file(folder).await?))
}

async fn chain(log: &dyn EventStore, checks: &mut Vec<Check>) -> anyhow::Result<(Position, String)> {
    let bar = console::bar(log.head().borrow().position, "chain, versions, positions");
    let proven = event_store::verify::chain(log, 0, |proven| {
        bar.set_length(proven.head);
        bar.set_position(proven.position);
    })
    .await;
    bar.finish_and_clear();
    let mut check = Check::new("hash chain, positions and versions");
    let end = match proven {
        Ok(proven) => {
            check.checked = proven.position;
            (proven.position, command_api::import::keys::hex(&proven.hash))
        }
        Err(event_store::Error::Damaged { position, what }) => {
            check.checked = position;
            check.violate(|| format!("position {position}: {what}"));
            (log.head().borrow().position, String::new())
        }
        Err(error) => return Err(error).context("the log cannot be read"),
    };
    checks.push(check);
    Ok(end)
}

type Counts = std::collections::BTreeMap<String, u64>;

async fn events(
    log: &dyn EventStore,
    head: Position,
    settled: Position,
    checks: &mut Vec<Check>,
) -> anyhow::Result<(Counts, Counts)> {
    let bar = console::bar(head, "events and laws");
    let mut laws = laws::Laws::new(settled);
    let mut at = 0;
    while at < head {
        let page = log.read_log(at, &Filter::default(), PAGE).await?;
        for record in page.records.iter().take_while(|record| record.position <= head) {
            laws.see(record);
        }
        if page.next <= at {
            break;
        }
        at = page.next;
        bar.set_position(at);
    }
    bar.finish_and_clear();
    Ok(laws.finish(checks))
}

/// Holds the read models against those of another store, which show the same position.
async fn compare(live: &Snapshot, folder: &Path, checks: &mut Vec<Check>) -> anyhow::Result<()> {
    let other = Snapshot::of_file(folder)
        .await
        .with_context(|| format!("the read models in {} cannot be opened", folder.display()))?;
    for compared in live.compare_all(&other).await? {
        let mut check = Check::new(format!("read model {} against the other's", compared.name));
        let comparison = compared.comparison.as_ref();
        check.checked = comparison.map_or(0, |comparison| comparison.rows);
        if let Some(fault) = compared.fault {
            check.violate(|| fault);
        }
        checks.push(check);
    }
    Ok(())
}

async fn models(live: &Snapshot, log: Arc<dyn EventStore>, checks: &mut Vec<Check>) -> anyhow::Result<()> {
    let bar = console::bar(log.head().borrow().position, "read models against a fold");
    let scratch = tempfile::tempdir()?;
    let moved = bar.clone();
    let progress: projections::Progress = Arc::new(move |at, head| {
        moved.set_length(head);
        moved.set_position(at);
    });
    let verdicts = projections::verify_snapshot(live, scratch.path(), log, Some(progress)).await?;
    bar.finish_and_clear();
    for verdict in verdicts {
        let mut check = Check::new(format!("read model {} at position {}", verdict.name, verdict.position));
        check.checked = verdict.comparison.as_ref().map_or(0, |comparison| comparison.rows);
        if let Some(fault) = verdict.fault {
            check.violate(|| fault);
        }
        checks.push(check);
    }
    Ok(())
}

impl Proof {
    /// The proof as a person reads it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING).set_header(["", "check", "checked", "violated"]);
        for check in &self.checks {
            let mark = if check.violated == 0 { "ok" } else { "NO" };
            let number = |number: u64| console::grouped(i64::try_from(number).unwrap_or(i64::MAX));
            table.add_row([mark.to_owned(), check.name.clone(), number(check.checked), number(check.violated)]);
        }
        let mut text = format!("{table}\n");
        for check in self.checks.iter().filter(|check| check.violated > 0) {
            text.push_str(&format!("\n{}:\n", check.name));
            for violation in &check.violations {
                text.push_str(&format!("  {violation}\n"));
            }
        }
        let verdict = if self.holds { "everything holds" } else { "NOT EVERYTHING HOLDS" };
        text.push_str(&format!("\n{verdict} up to position {} ({})\n", self.position, self.hash));
        let counts = |counts: &Counts| {
            counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
        };
        text.push_str(&format!("orders: {}\nsagas: {}\n", counts(&self.orders), counts(&self.sagas)));
        text
    }
}
