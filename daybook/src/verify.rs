//! Proving a store: the chain, positions and versions, that every event can be read, the laws after every event, and every read model
//! against a fresh fold. It only reads, so it works beside a running server. It must never mend anything.

mod begun;
mod chain;
mod holdings;
mod laws;
mod sagas;
mod spilled;
mod unread;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use domain::Event;
use event_store::audit::Audit;
use event_store::record::{Position, StreamId, Version};
use event_store::{EventStore, Filter};
use projections::{FILE, Snapshot};
use serde::Serialize;

use crate::config::Config;
use crate::console;
use crate::roles;

pub use chain::Expected;

/// What one check came to.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// The checked property.
    pub name: String,
    /// How many times.
    pub checked: u64,
    /// What does not hold, at most a hundred.
    pub violations: Vec<String>,
    /// How much does not hold.
    pub violated: u64,
}

/// The results of a proof. What was proved before it stopped is always reported.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Proof {
    /// Whether everything was looked at, and holds.
    pub holds: bool,
    /// Whether the log itself is intact: chain, versions, ids and index. An intact log may still contain violations of
    /// other checks.
    pub intact: bool,
    /// The last position that was read.
    pub position: Position,
    /// The hash there, from which the whole log before it follows.
    pub hash: String,
    /// Orders, by status.
    pub orders: Counts,
    /// Sagas, by how they are.
    pub sagas: Counts,
    /// Records that an operator has set aside, at most a hundred; they are no violations.
    pub set_aside: Vec<SetAside>,
    /// How many there are of those.
    pub set_aside_count: u64,
    /// Processes that two different things asked for, at most a hundred; the second was not done, and that is no violation of the log.
    pub conflicts: Vec<Conflict>,
    /// How many there are of those.
    pub conflicts_count: u64,
    /// Where the proof stopped short of the end, and why.
    pub stopped: Vec<Stopped>,
    /// The checks.
    pub checks: Vec<Check>,
}

/// A record that was set aside.
#[derive(Clone, Debug, Serialize)]
pub struct SetAside {
    /// Its position.
    pub position: Position,
    /// Its stream.
    pub stream: String,
    /// Its version there.
    pub version: Version,
    /// Its stored type name.
    pub kind: String,
    /// Why, as the operator put it.
    pub reason: String,
    /// The position of the record that sets it aside.
    pub by_position: Position,
}

/// A process that two different things asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Conflict {
    /// The process's stream.
    pub stream: String,
    /// The position of the record that notes it.
    pub position: Position,
    /// What asked for it second.
    pub cause: serde_json::Value,
}

/// A part of the proof that did not come to its end.
#[derive(Clone, Debug, Serialize)]
pub struct Stopped {
    /// The part that was being checked.
    pub part: &'static str,
    /// Why it stopped.
    pub why: String,
}

/// Violations that are listed; more are only counted.
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

/// Proves the store of a configuration; `against` the folder of another one, its read models row by row as well. The log must have the
/// hashes that are `expected` of it.
///
/// # Errors
/// If it cannot be read at all.
pub async fn prove(config: &Config, against: Option<&Path>, expected: &[Expected]) -> anyhow::Result<Proof> {
    let log = roles::log::audited(config, "verify").await?;
    let proof = prove_log(config, Arc::clone(&log), against, expected).await;
    log.close().await?;
    Ok(proof)
}

async fn prove_log(config: &Config, audit: Arc<dyn Audit>, against: Option<&Path>, expected: &[Expected]) -> Proof {
    let mut proof = Proof::default();
    let log: Arc<dyn EventStore> = audit.clone();
    // Read before the log is proved: so the proved log contains all that the runners had answered by then, whatever is
    // appended meanwhile.
    let settled = roles::seen(&*log, config.store.url.is_set()).await;
    let chained = chain::prove(&*audit, expected, &mut proof).await;
    proof.ended("hash chain, ids and index", chained);
    proof.intact = proof.stopped.is_empty() && proof.checks.iter().all(|check| check.violated == 0);
    let kept = chain::snapshots(&*audit, &mut proof.checks).await;
    proof.ended("snapshots", kept);
    let told = match settled {
        Ok(settled) => events(&*log, settled, &mut proof).await,
        Err(error) => Err(error.into()),
    };
    proof.ended("events and laws", told);
    let held = read_models_hold(config, &log, against, &mut proof).await;
    proof.ended("read models", held);
    proof.holds = proof.stopped.is_empty() && proof.checks.iter().all(|check| check.violated == 0);
    proof
}

async fn read_models_hold(
    config: &Config,
    log: &Arc<dyn EventStore>,
    against: Option<&Path>,
    proof: &mut Proof,
) -> anyhow::Result<()> {
    let Some(live) = read_models(config).await? else {
        return Ok(());
    };
    models(&live, Arc::clone(log), &mut proof.checks).await?;
    if let Some(folder) = against {
        compare(&live, folder, &mut proof.checks).await?;
    }
    Ok(())
}

/// The read models as they are now; none where none were ever made.
async fn read_models(config: &Config) -> anyhow::Result<Option<Snapshot>> {
    if config.store.url.is_set() {
        let url = roles::read_models_url(config);
        let live = Snapshot::of_schema(url.secret()).await;
        return live.with_context(|| format!("the read models in {url} cannot be read"));
    }
    let folder = &config.store.data;
    if !folder.join(FILE).exists() {
        return Ok(None);
    }
    Ok(Some(Snapshot::of_file(folder).await?))
}

/// How many there are of what.
type Counts = std::collections::BTreeMap<String, u64>;

/// `settled` is the position up to which every runner has seen the log.
async fn events(log: &dyn EventStore, settled: Position, proof: &mut Proof) -> anyhow::Result<()> {
    let head = proof.position;
    let bar = console::bar(head, "events and laws");
    let scratch = tempfile::tempdir()?;
    let mut laws = laws::Laws::new(settled, asides(log, head, proof).await?, scratch.path())?;
    let mut at = 0;
    let read = loop {
        if at >= head {
            break Ok(());
        }
        let page = match log.read_log(at, &Filter::default(), PAGE).await {
            Ok(page) => page,
            Err(error) => break Err(anyhow::Error::from(error).context("the log cannot be read")),
        };
        let mut records = page.records.iter().take_while(|record| record.position <= head);
        if let Err(error) = records.try_for_each(|record| laws.see(record)) {
            break Err(error);
        }
        if page.next <= at {
            break Ok(());
        }
        at = page.next;
        bar.set_position(at);
    };
    bar.finish_and_clear();
    let finished = laws.finish(proof);
    read.with_context(|| format!("after position {at}"))?;
    finished
}

/// The set-aside records: known before the first event is folded, as for every reader of a stream.
async fn asides(
    log: &dyn EventStore,
    head: Position,
    proof: &mut Proof,
) -> anyhow::Result<HashSet<(StreamId, Version)>> {
    let filter = Filter { kinds: vec!["RecordSetAside".to_owned()], ..Filter::default() };
    let (mut found, mut at) = (HashSet::new(), 0);
    while at < head {
        let page = log.read_log(at, &filter, PAGE).await?;
        for record in page.records.iter().take_while(|record| record.position <= head) {
            if let Ok(Event::Record(domain::record::Event::SetAside(it))) = streams::event(record)
                && found.insert((record.stream.clone(), it.version))
            {
                proof.set_aside_count += 1;
                if proof.set_aside.len() < TOLD {
                    proof.set_aside.push(SetAside {
                        position: it.position,
                        stream: record.stream.to_string(),
                        version: it.version,
                        kind: it.kind,
                        reason: it.reason,
                        by_position: record.position,
                    });
                }
            }
        }
        if page.next <= at {
            break;
        }
        at = page.next;
    }
    Ok(found)
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
        let held = match verdict.held {
            0 => String::new(),
            held => format!(", {held} streams held"),
        };
        let mut check = Check::new(format!("read model {} at position {}{held}", verdict.name, verdict.position));
        check.checked = verdict.comparison.as_ref().map_or(0, |comparison| comparison.rows);
        if let Some(fault) = verdict.fault {
            check.violate(|| fault);
        }
        checks.push(check);
    }
    Ok(())
}

impl Proof {
    /// Ends a part, complete or stopped.
    fn ended(&mut self, part: &'static str, outcome: anyhow::Result<()>) {
        if let Err(error) = outcome {
            self.stopped.push(Stopped { part, why: format!("{error:#}") });
        }
    }

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
        if self.set_aside_count > 0 {
            text.push_str(&format!("\nset aside ({}):\n", self.set_aside_count));
            for aside in &self.set_aside {
                let SetAside { position, stream, version, kind, reason, by_position } = aside;
                text.push_str(&format!(
                    "  position {position}, {stream} version {version}, {kind}: {reason} (by position {by_position})\n"
                ));
            }
        }
        if self.conflicts_count > 0 {
            text.push_str(&format!("\nasked for twice, and done once ({}):\n", self.conflicts_count));
            for Conflict { stream, position, cause } in &self.conflicts {
                text.push_str(&format!("  {stream} (position {position}): {cause}\n"));
            }
        }
        for stopped in &self.stopped {
            text.push_str(&format!("\nNOT PROVED, {}: {}\n", stopped.part, stopped.why));
        }
        let verdict = match (self.holds, self.stopped.is_empty()) {
            (true, _) => "everything holds",
            (false, true) => "NOT EVERYTHING HOLDS",
            (false, false) => "NOT EVERYTHING WAS PROVED",
        };
        text.push_str(&format!("\n{verdict} up to position {} ({})\n", self.position, self.hash));
        text.push_str(&format!("keep this elsewhere: --expect {}:{}\n", self.position, self.hash));
        let counts = |counts: &Counts| {
            counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
        };
        text.push_str(&format!("orders: {}\nsagas: {}\n", counts(&self.orders), counts(&self.sagas)));
        text
    }
}
