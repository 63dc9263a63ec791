//! Holding the read models against the log: each is folded afresh beside, up to the position that it shows, and compared row by row.
//! It only reads what it checks, so it works beside a running server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use event_store::EventStore;
use event_store::record::Position;

use crate::handle::Projections;
use crate::models;
use crate::sqlite::{Comparison, FILE, Snapshot, Sqlite};
use crate::store::Error;
use crate::worker::Progress;

/// What holding a read model against the log gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The model.
    pub name: &'static str,
    /// The position that it shows.
    pub position: Position,
    /// How its rows compare with a fresh fold; `None` if it was never built, or by another version, or from another log.
    pub comparison: Option<Comparison>,
    /// What is wrong with it, if something is.
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
    let live = blocking({
        let folder = folder.to_owned();
        move || Snapshot::open(&folder)
    })
    .await?;
    let head = log.head().borrow().position;
    let mut until = BTreeMap::new();
    let mut verdicts = Vec::new();
    for model in models::all() {
        let spec = model.spec();
        let found = live.checkpoint(spec.name)?;
        let fault = match &found {
            None => Some("it was never built".to_owned()),
            Some(found) if found.version != spec.version => {
                Some("it was built by another version".to_owned())
            }
            Some(found) if found.incarnation != log.incarnation() => {
                Some("it was built from another store".to_owned())
            }
            Some(found) if found.position > head => Some(format!(
                "it shows position {} and the log ends at {head}",
                found.position
            )),
            Some(found) => {
                until.insert(spec.name, found.position);
                None
            }
        };
        let position = found.map_or(0, |found| found.position);
        verdicts.push(Verified {
            name: spec.name,
            position,
            comparison: None,
            fault,
        });
    }
    fold_afresh(scratch, log, &until, progress).await?;
    let scratch: PathBuf = scratch.to_owned();
    blocking(move || {
        let fresh = Snapshot::open(&scratch)?;
        for verdict in verdicts
            .iter_mut()
            .filter(|verdict| verdict.fault.is_none())
        {
            let Some(model) = models::by_name(verdict.name) else {
                continue;
            };
            let comparison = live.compare(&fresh, model.spec())?;
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
    })
    .await
}

async fn fold_afresh(
    scratch: &Path,
    log: Arc<dyn EventStore>,
    until: &BTreeMap<&'static str, Position>,
    progress: Option<Progress>,
) -> Result<(), Error> {
    let rows = Sqlite::open(scratch, 2).await?;
    let models = models::all()
        .into_iter()
        .filter(|model| until.contains_key(model.spec().name))
        .collect();
    let fresh = Projections::with(rows, log, 4_000, models, Some(until)).await?;
    let caught_up = fresh.catch_up(progress).await;
    fresh.close().await?;
    caught_up
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Read(error.to_string()))?
}
