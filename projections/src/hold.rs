//! Holding a model's rows against the log before anybody reads them: rows of another store, of another version, or of a future that the
//! log has lost are never served, but built anew.

use event_store::record::Position;
use event_store::{EventStore, Filter};
use uuid::Uuid;

use crate::projection::Projection;
use crate::store::{Checkpoint, Error, ReadStore, Slot};

/// Takes a model's checkpoint over if its rows fit the log; else empties it. Answers whether they fit.
pub(crate) async fn hold(
    rows: &dyn ReadStore,
    log: &dyn EventStore,
    model: &dyn Projection,
    owner: Uuid,
    head: Position,
) -> Result<(Checkpoint, bool), Error> {
    let spec = model.spec();
    rows.discard(spec).await?;
    let found = rows.checkpoint(spec.name, Slot::Live).await?;
    let fault = match &found {
        None => Some("it was never built"),
        Some(found) if found.version != spec.version => Some("it was built by another version"),
        Some(found) => misfit(log, found, head).await?,
    };
    let Some(reason) = fault else {
        return Ok((rows.acquire(spec.name, Slot::Live, owner).await?, true));
    };
    if found.is_some() {
        tracing::error!(
            projection.name = spec.name,
            reason,
            "a read model does not fit the log and is built anew"
        );
        metrics::counter!("daybook_projection_rebuilds_total", "projection" => spec.name)
            .increment(1);
    }
    Ok((
        rows.create(spec, Slot::Live, owner, log.incarnation())
            .await?,
        false,
    ))
}

/// Why rows at a checkpoint cannot come from this log, if they cannot.
async fn misfit(
    log: &dyn EventStore,
    found: &Checkpoint,
    head: Position,
) -> Result<Option<&'static str>, Error> {
    if found.incarnation != log.incarnation() {
        return Ok(Some("it was built from another store"));
    }
    if found.position > head {
        return Ok(Some(
            "it shows records that the log does not have (any more)",
        ));
    }
    if found.position == 0 {
        return Ok(None);
    }
    let page = log
        .read_log(found.position - 1, &Filter::default(), 1)
        .await?;
    let same = page
        .records
        .first()
        .is_some_and(|r| r.position == found.position && r.hash == found.hash);
    Ok((!same).then_some("it shows another history than the log's"))
}
