//! Checks a model's rows against the log before they are served: rows of another store, of another version, or of a
//! future that the log has lost are never served, but rebuilt.

use std::time::Duration;

use event_store::EventStore;
use event_store::partition::STREAMS;
use event_store::record::Position;
use uuid::Uuid;

use crate::batch::hash_at;
use crate::projection::Projection;
use crate::store::{Checkpoint, Error, Making, ReadStore, Slot};
use crate::value::{Spec, Spread};

/// How long this process may learn later than others of a record that is there.
const PATIENCE: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(50);

/// How many checkpoints a model has if it is spread over partitions.
pub(crate) fn layout(spec: &Spec) -> u32 {
    match spec.spread {
        Spread::ByStream => STREAMS,
        Spread::Single => 1,
    }
}

/// Takes over the checkpoint of a model that is projected whole if its rows match the log; otherwise empties it.
/// Returns whether they match.
pub(crate) async fn hold(
    rows: &dyn ReadStore,
    log: &dyn EventStore,
    model: &dyn Projection,
    owner: Uuid,
    head: Position,
) -> Result<(Checkpoint, bool), Error> {
    let spec = model.spec();
    rows.discard(spec, None).await?;
    let found = rows.checkpoints(Some(spec.name), Slot::Live).await?;
    if fit(rows, log, spec, 1, &found, owner, head).await? {
        let held = rows.acquire(spec.name, Slot::Live, 0, owner).await?;
        return Ok((held, true));
    }
    let made = rows.checkpoints(Some(spec.name), Slot::Live).await?;
    let made = made.into_iter().next();
    Ok((made.ok_or_else(|| Error::Lost(spec.name.to_owned()))?, false))
}

/// Creates the tables of partitioned models, where they are missing or do not match the log. One process creates them,
/// and the others find them; no checkpoint is taken over if all tables match.
pub(crate) async fn hold_spread(
    rows: &dyn ReadStore,
    log: &dyn EventStore,
    specs: &[&'static Spec],
    owner: Uuid,
) -> Result<(), Error> {
    let alone = rows.exclusive().await?;
    let made = make_missing(rows, log, specs, owner).await;
    if let Err(error) = alone.release().await {
        tracing::warn!(
            error = %error,
            "the lock on the creation of read models was lost; run `daybook verify`, which finds rows that two \
             processes created"
        );
    }
    made
}

/// Makes the tables that are not there or do not fit the log.
async fn make_missing(
    rows: &dyn ReadStore,
    log: &dyn EventStore,
    specs: &[&'static Spec],
    owner: Uuid,
) -> Result<(), Error> {
    for spec in specs {
        let found = rows.checkpoints(Some(spec.name), Slot::Live).await?;
        if found.iter().any(|found| found.version > spec.version) {
            return Err(Error::Write(format!("the read model {} was built by a later version", spec.name)));
        }
        let head = log.head().borrow().position;
        fit(rows, log, spec, layout(spec), &found, owner, head).await?;
    }
    Ok(())
}

/// Whether rows fit the log; if not, they are emptied.
async fn fit(
    rows: &dyn ReadStore,
    log: &dyn EventStore,
    spec: &'static Spec,
    partitions: u32,
    found: &[Checkpoint],
    owner: Uuid,
    head: Position,
) -> Result<bool, Error> {
    let fault = if found.is_empty() {
        Some("it was never built")
    } else if found.len() != partitions as usize {
        Some("it was built in other partitions")
    } else {
        misfit(log, spec, found).await?
    };
    let Some(reason) = fault else {
        return Ok(true);
    };
    if !found.is_empty() {
        tracing::error!(
            projection.name = spec.name,
            reason,
            "a read model does not match the log; it is rebuilt, see docs/operations.md, 'A read model is behind'"
        );
        metrics::counter!("daybook_projection_rebuilds_total", "projection" => spec.name).increment(1);
    }
    rows.create(Making {
        spec,
        slot: Slot::Live,
        partitions,
        owner,
        incarnation: log.incarnation(),
        building_to: head,
    })
    .await?;
    Ok(false)
}

/// Why rows at checkpoints cannot come from this log, if they cannot.
pub(crate) async fn misfit(
    log: &dyn EventStore,
    spec: &Spec,
    found: &[Checkpoint],
) -> Result<Option<&'static str>, Error> {
    let mut last = (0, [0; 32]);
    for found in found {
        if found.version != spec.version {
            return Ok(Some("it was built by another version"));
        }
        if found.incarnation != log.incarnation() {
            return Ok(Some("it was built from another store"));
        }
        if found.position == 0 || (found.position, found.hash) == last {
            continue;
        }
        match patient_hash(log, found.position).await? {
            None => {
                return Ok(Some("it shows records that the log does not have any longer"));
            }
            Some(hash) if hash != found.hash => {
                return Ok(Some("it shows a history that differs from the log's"));
            }
            Some(_) => last = (found.position, found.hash),
        }
    }
    Ok(None)
}

/// The hash of the record at a position. Another process may have projected a record that this process's log does not
/// see yet.
async fn patient_hash(log: &dyn EventStore, position: Position) -> Result<Option<[u8; 32]>, Error> {
    let mut left = PATIENCE;
    loop {
        let found = hash_at(log, position).await?;
        if found.is_some() || left.is_zero() {
            return Ok(found);
        }
        tokio::time::sleep(AGAIN).await;
        left = left.saturating_sub(AGAIN);
    }
}
