//! Holding the read models against the log: each is folded afresh beside, up to the position that it shows (each of its partitions up to
//! its own), and compared row by row. It only reads what it checks, so it works beside a running server.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use event_store::EventStore;
use event_store::record::Position;

use crate::dump::{Comparison, Snapshot};
use crate::handle::Projections;
use crate::member::Cut;
use crate::models;
use crate::sqlite::{FILE, Sqlite};
use crate::store::{Checkpoint, Error};
use crate::value::Spec;
use crate::worker::Progress;

/// How long this process may learn later than others of a record that is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// What holding a read model against the log gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The model.
    pub name: &'static str,
    /// The position that it shows.
    pub position: Position,
    /// How its rows compare with a fresh fold; `None` if it was never built, or by another version, or from another log.
    pub comparison: Option<Comparison>,
    /// How many streams it holds, since a record of theirs cannot be read or applied.
    pub held: u64,
    /// The violation, if there is one.
    pub fault: Option<String>,
}

/// Holds every read model of a folder against the log; `scratch` is an empty folder for the fresh fold.
///
/// # Errors
/// If the file or the log cannot be read, or the scratch folder cannot be written.
pub async fn verify(
    folder: &Path,
    scratch: &Path,
    log: Arc<dyn EventStore>,
    progress: Option<Progress>,
) -> Result<Vec<Verified>, Error> {
    if !folder.join(FILE).exists() {
        return Ok(Vec::new());
    }
    verify_snapshot(&Snapshot::of_file(folder).await?, scratch, log, progress).await
}

/// Holds every read model of a state of a database against the log.
///
/// # Errors
/// If the database or the log cannot be read, or the scratch folder cannot be written.
pub async fn verify_snapshot(
    live: &Snapshot,
    scratch: &Path,
    log: Arc<dyn EventStore>,
    progress: Option<Progress>,
) -> Result<Vec<Verified>, Error> {
    let mut until = BTreeMap::new();
    let mut verdicts = Vec::new();
    for model in models::all() {
        let spec = model.spec();
        let found = live.checkpoints(spec.name).await?;
        let last = found.iter().map(|one| one.position).max().unwrap_or(0);
        let head = reached(&*log, last).await;
        let fault = fault(&found, spec, &*log, head);
        if fault.is_none() {
            until.insert(spec.name, Cut::new(found.iter().map(|one| one.position)));
        }
        verdicts.push(Verified {
            name: spec.name,
            position: found.iter().map(|one| one.position).min().unwrap_or(0),
            comparison: None,
            held: 0,
            fault,
        });
    }
    fold_afresh(scratch, log, &until, progress).await?;
    let fresh = Snapshot::of_file(scratch).await?;
    for verdict in verdicts.iter_mut().filter(|verdict| verdict.fault.is_none()) {
        let Some(model) = models::by_name(verdict.name) else {
            continue;
        };
        let (held, wanted) = (live.held(verdict.name).await?, fresh.held(verdict.name).await?);
        verdict.held = held.len() as u64;
        if held != wanted {
            let differs = held.iter().chain(&wanted).find(|one| !held.contains(one) || !wanted.contains(one));
            let differs = differs.map(|(stream, version)| format!("{stream} from version {version}"));
            verdict.fault = Some(format!("it holds other streams than a fresh fold: {}", differs.unwrap_or_default()));
            continue;
        }
        let comparison = live.compare(&fresh, model.spec()).await?;
        if let Some(difference) = &comparison.difference {
            verdict.fault = Some(format!(
                "a row of {} differs: the model has {}, a fresh fold has {}",
                difference.table,
                difference.left.as_deref().unwrap_or("none"),
                difference.right.as_deref().unwrap_or("none")
            ));
        }
        verdict.comparison = Some(comparison);
    }
    Ok(verdicts)
}

/// The log's end; another process may have projected a record that this process's log does not see yet.
async fn reached(log: &dyn EventStore, position: Position) -> Position {
    let mut head = log.head();
    let reached = head.wait_for(|head| head.position >= position);
    drop(tokio::time::timeout(PATIENCE, reached).await);
    log.head().borrow().position
}

/// Why a model cannot be compared.
fn fault(found: &[Checkpoint], spec: &Spec, log: &dyn EventStore, head: Position) -> Option<String> {
    let last = found.iter().map(|one| one.position).max();
    let Some(last) = last else {
        return Some("it was never built".to_owned());
    };
    if found.iter().any(|one| one.version != spec.version) {
        return Some("it was built by another version".to_owned());
    }
    if found.iter().any(|one| one.incarnation != log.incarnation()) {
        return Some("it was built from another store".to_owned());
    }
    (last > head).then(|| format!("it shows position {last} and the log ends at {head}"))
}

async fn fold_afresh(
    scratch: &Path,
    log: Arc<dyn EventStore>,
    until: &BTreeMap<&'static str, Cut>,
    progress: Option<Progress>,
) -> Result<(), Error> {
    let rows = Sqlite::open(scratch, 2).await?;
    let models = models::all().into_iter().filter(|model| until.contains_key(model.spec().name)).collect();
    let fresh = Projections::with(rows, log, 4_000, models, Some(until)).await?;
    let caught_up = fresh.catch_up(progress).await;
    fresh.close().await?;
    caught_up
}
