//! Events that are written to a saga's stream without a decision of the saga: that it is parked because its own
//! decision can never be written, and that a second request tried to start it with other content. They are appended at
//! any version, with retries until they are durable.

use domain::ids::derived;
use domain::saga::Decision;
use domain::saga::event::{Fact, Noted, Parked};
use event_store::Error;
use event_store::append::{Batch, Expectation, Outcome, StreamWrite};
use event_store::patience::Backoff;
use schemas::Metadata;
use serde_json::json;
use uuid::Uuid;

use super::append::{Cause, Work};
use super::encode::{encode, fingerprint};
use super::index::Key;
use super::session::Session;
use crate::{Stopped, meters};

/// The most characters of a detail: the event that parks a saga must itself fit.
const DETAIL: usize = 1_000;
/// The note of a start that met a saga with other content.
pub const START_CONFLICT: &str = "start_conflict";

/// Something to be written once.
pub(super) struct Intervention {
    /// What the append's id is derived from, with the saga.
    pub(super) name: String,
    pub(super) correlation: Uuid,
    pub(super) causation: Uuid,
    pub(super) fact: Fact,
}

pub(super) fn parked(reason: &str, detail: &str) -> Fact {
    Fact::Parked(Parked { reason: reason.to_owned(), detail: detail.chars().take(DETAIL).collect(), step: None })
}

impl Session {
    /// Parks the saga of a work whose decision can never be written. If the saga could not even be started, this is the
    /// first event of its stream, so that it is still visible.
    pub(super) async fn park_work(&mut self, work: &Work, reason: &str, why: &str) -> Result<(), Stopped> {
        let key = &work.key;
        tracing::error!(
            saga = %key.stream(),
            reason,
            why,
            "a saga cannot continue and is parked; see docs/operations.md, 'A saga needs a person'"
        );
        let correlation = match &work.cause {
            Cause::Start { started, .. } => started.correlation,
            _ => {
                let known = self.find(key).await?;
                known.and_then(|it| it.saga.state().about.clone()).map_or(key.subject, |about| about.correlation)
            }
        };
        let since = self.index.since(key).unwrap_or(work.at);
        let name = format!("parked/{}", work.append_id);
        let causation = work.causation;
        let intervention = Intervention { name, correlation, causation, fact: parked(reason, why) };
        if self.write_by_hand(key, intervention).await? {
            meters::parked(&key.kind, reason);
        }
        self.index.forget(key);
        self.shelf.drop(key);
        if let Some(loaded) = self.find(key).await? {
            self.adopt(key, loaded, since).await?;
        }
        self.postpone(work);
        Ok(())
    }

    /// A start with other content names an existing saga: this is noted in the saga's stream and logged. Earlier queued
    /// appends of the saga must be durable first.
    pub(super) async fn tell_conflict(&mut self, work: &Work, correlation: Uuid) -> Result<(), Stopped> {
        let key = &work.key;
        let note = json!({ "cause": work.causation, "correlation": correlation });
        let fact = Fact::Noted(Noted { note: START_CONFLICT.into(), value: note });
        let name = format!("conflict/{}", work.append_id);
        let intervention = Intervention { name, correlation, causation: work.causation, fact };
        if self.write_by_hand(key, intervention).await? {
            meters::start_conflict(&key.kind);
            tracing::error!(
                saga = %key.stream(),
                cause = %work.causation,
                %correlation,
                "two different requests ask for one saga, and the second is not done; see docs/operations.md, 'Two \
                 requests started one saga'"
            );
        }
        // The stream has changed: the cached saga is read again.
        self.shelf.drop(key);
        if let Some(loaded) = self.find(key).await? {
            self.adopt_work(work, loaded).await?;
        }
        Ok(())
    }

    /// Appends to a saga's stream at any version, until it is durable; returns whether the event is new.
    pub(super) async fn write_by_hand(&mut self, key: &Key, it: Intervention) -> Result<bool, Stopped> {
        let Some(saga_id) = Self::saga_id(key) else {
            return Ok(false);
        };
        let append_id = derived(saga_id, &it.name);
        let metadata = Metadata::of_saga(it.correlation, it.causation).encode();
        let Some(event) = encode(&Decision::intervention(self.now(), it.fact), metadata) else {
            return Ok(false);
        };
        let mut backoff = Backoff::of_a_store();
        loop {
            let head = self.store.stream_head(&key.stream()).await?;
            let expected =
                head.map_or(Expectation::NoStream, |(version, event_id)| Expectation::At { version, event_id });
            self.term.check()?;
            let writes = vec![StreamWrite { stream: key.stream(), expected, events: vec![event.clone()] }];
            let batch = Batch { command_id: append_id, fingerprint: fingerprint(append_id), writes };
            match self.store.append(batch).await {
                Ok(Outcome::Appended(_)) => return Ok(true),
                Ok(Outcome::AlreadyAppended(_) | Outcome::CommandIdReused(_)) => return Ok(false),
                // Another writer was faster.
                Ok(Outcome::Conflict { .. }) => {}
                Err(Error::Never(why)) => {
                    tracing::error!(
                        saga = %key.stream(),
                        why,
                        "the note that a saga needs a person cannot be written; see docs/operations.md, 'A saga needs \
                         a person'"
                    );
                    meters::left_alone("refused");
                    return Ok(false);
                }
                Err(error) => self.patient.wait(error, &mut backoff).await?,
            }
        }
    }
}
