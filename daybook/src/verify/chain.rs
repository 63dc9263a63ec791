//! Checks of the log itself: its chain, versions and ids, its index and its snapshots, and expected hashes.

use std::str::FromStr;

use anyhow::Context as _;
use domain::import::Import;
use domain::order::Order;
use domain::payment::Payment;
use domain::reference::Reference;
use domain::reservation::Reservation;
use domain::stock::Stock;
use domain::{Aggregate as _, Event};
use event_store::audit::{Audit, Kept};
use event_store::record::{Position, Record, StreamId, Version};
use event_store::snapshot::Snapshot;
use event_store::verify::Finding;
use schemas::{Stored, StoredEvent as _};
use streams::Until;

use super::{Check, Proof};
use crate::console;

/// Records and snapshots that are read at once.
const PAGE: usize = 512;

/// A position of the log and its hash at an earlier time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The position.
    pub position: Position,
    /// The hash of its record.
    pub hash: [u8; 32],
}

impl FromStr for Expected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (position, hash) = text.split_once(':').ok_or("POSITION:HASH is needed, as verify prints it")?;
        let position = position.parse().map_err(|_| format!("`{position}` is not a position"))?;
        let digits = hash.as_bytes();
        if digits.len() != 64 || !hash.is_ascii() {
            return Err(format!("a hash has 64 hexadecimal digits, this has {}", digits.len()));
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).unwrap_or_default();
            *byte = u8::from_str_radix(pair, 16).map_err(|_| format!("`{pair}` is not hexadecimal"))?;
        }
        Ok(Self { position, hash: bytes })
    }
}

/// Proves the log, as far as it holds.
pub(super) async fn prove(log: &dyn Audit, expected: &[Expected], proof: &mut Proof) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let bar = console::bar(log.head().borrow().position, "chain, versions, ids");
    let expected: Vec<_> = expected.iter().map(|one| (one.position, one.hash)).collect();
    // The index as it is before the log is read: all that it covers will have been read then.
    let index = log.index().await?;
    let mut at = 0;
    let proved = event_store::verify::prove(log, index, scratch.path(), &expected, |proven| {
        at = proven.position;
        bar.set_length(proven.head);
        bar.set_position(proven.position);
    })
    .await;
    bar.finish_and_clear();
    let proved = proved.with_context(|| format!("the log cannot be read after position {at}"))?;
    proof.position = proved.proven.position;
    proof.hash = command_api::import::keys::hex(&proved.proven.hash);
    proof.checks.extend(proved.findings.into_iter().map(Check::from));
    Ok(())
}

impl From<Finding> for Check {
    fn from(finding: Finding) -> Self {
        let Finding { name, checked, violated, violations } = finding;
        Self { name, checked, violations, violated }
    }
}

/// Holds every snapshot against a fold of the events that it stands for.
pub(super) async fn snapshots(log: &dyn Audit, checks: &mut Vec<Check>) -> anyhow::Result<()> {
    let mut check = Check::new("snapshots, against a fold of their events");
    let held = hold(log, &mut check).await;
    checks.push(check);
    held
}

async fn hold(log: &dyn Audit, check: &mut Check) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let (page, next) = log.snapshots(after, PAGE).await?;
        for Kept { stream, snapshot, holds } in page {
            check.checked += 1;
            let version = snapshot.version;
            match stream {
                Some(stream) if holds => {
                    if let Some(what) = against_fold(log, &stream, &snapshot).await? {
                        check.violate(|| format!("{stream} at version {version}: {what}"));
                    }
                }
                stream => {
                    let stream = stream.map_or_else(|| "a snapshot".to_owned(), |stream| stream.to_string());
                    check.violate(|| format!("{stream} at version {version}: it differs from what was written"));
                }
            }
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

async fn against_fold(log: &dyn Audit, stream: &StreamId, snapshot: &Snapshot) -> anyhow::Result<Option<String>> {
    match &*stream.category {
        Order::CATEGORY => refold::<Order>(log, stream, snapshot).await,
        Payment::CATEGORY => refold::<Payment>(log, stream, snapshot).await,
        Stock::CATEGORY => refold::<Stock>(log, stream, snapshot).await,
        Reservation::CATEGORY => refold::<Reservation>(log, stream, snapshot).await,
        Reference::CATEGORY => refold::<Reference>(log, stream, snapshot).await,
        Import::CATEGORY => refold::<Import>(log, stream, snapshot).await,
        _ => Ok(Some("its category has no fold".to_owned())),
    }
}

/// The difference between a snapshot and the fold of its events; a snapshot of another fold version is never used.
async fn refold<A: Stored>(log: &dyn Audit, stream: &StreamId, snapshot: &Snapshot) -> anyhow::Result<Option<String>> {
    if snapshot.fold != A::FOLD {
        return Ok(None);
    }
    let step = |(state, at): &mut (A, Version), record: &Record, event: Option<&Event>| {
        *at = record.version;
        if let Some(event) = event.and_then(A::Event::of) {
            state.evolve(event);
        }
    };
    let until = Until::Version(snapshot.version);
    let (state, at) = match streams::fold(log, stream, until, None, <(A, Version)>::default, step).await {
        Ok(folded) => folded,
        // Unknown; the unreadable record is a violation of its own.
        Err(streams::Error::Unreadable(_)) => return Ok(None),
        Err(streams::Error::Store(error)) => return Err(error.into()),
    };
    if at < snapshot.version {
        return Ok(Some(format!("its stream ends at version {at}")));
    }
    let same = serde_json::from_slice::<A>(&snapshot.state).is_ok_and(|kept| kept == state);
    Ok((!same).then(|| "its state is not the fold of its events".to_owned()))
}
