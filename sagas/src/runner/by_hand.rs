//! What is written to a saga's stream without the saga deciding it: that it is parked because its own decision can never be written, and
//! that something asked for a start that another had got. It goes in wherever the stream stands, and is tried until it is durable.

use domain::ids::derived;
use domain::saga::event::{Event, Noted, Parked};
use event_store::Error;
use event_store::append::{Batch, Expectation, Outcome, StreamWrite};
use event_store::patience::Backoff;
use serde_json::json;
use uuid::Uuid;

use super::append::{Cause, Work};
use super::encode::{encode, fingerprint, metadata};
use super::index::Key;
use super::session::Session;
use crate::{Stopped, meters};

/// What an unusual detail is cut to, in characters: what parks a saga must fit itself.
const DETAIL: usize = 1_000;
/// The note of a start that met a saga with other content.
pub const START_CONFLICT: &str = "start_conflict";

/// Something to be written once.
pub(super) struct Fact {
    /// What the append's id is derived from, with the saga.
    pub(super) name: String,
    pub(super) correlation: Uuid,
    pub(super) causation: Uuid,
    pub(super) event: Event,
}

pub(super) fn parked(reason: &str, detail: &str) -> Event {
    Event::Parked(Parked { reason: reason.to_owned(), detail: detail.chars().take(DETAIL).collect(), step: None })
}

impl Session {
    /// Parks the saga that a work was for: what it decided can never be written. One that could not even be started has this as the
    /// first event of its stream, so that it is seen all the same.
    pub(super) async fn park_work(&mut self, work: &Work, reason: &str, why: &str) -> Result<(), Stopped> {
        let key = &work.key;
        tracing::error!(saga = %key.stream(), reason, why, "a saga cannot go on and is parked; a person has to look at it");
        let correlation = match &work.cause {
            Cause::Start { started, .. } => started.correlation,
            _ => {
                let known = self.find(key).await?;
                known.and_then(|it| it.saga.state().about.clone()).map_or(key.subject, |about| about.correlation)
            }
        };
        let since = self.index.since(key).unwrap_or(work.at);
        let name = format!("parked/{}", work.append_id);
        let fact = Fact { name, correlation, causation: work.causation, event: parked(reason, why) };
        if self.write_by_hand(key, fact).await? {
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

    /// Other content is asked for under the name of a saga that is there: that is noted in its stream and told. What was put on the
    /// queue for the saga before has to be durable.
    pub(super) async fn tell_conflict(&mut self, work: &Work, correlation: Uuid) -> Result<(), Stopped> {
        let key = &work.key;
        let note = json!({ "cause": work.causation, "correlation": correlation });
        let event = Event::Noted(Noted { note: START_CONFLICT.into(), value: note });
        let name = format!("conflict/{}", work.append_id);
        let fact = Fact { name, correlation, causation: work.causation, event };
        if self.write_by_hand(key, fact).await? {
            meters::start_conflict(&key.kind);
            tracing::error!(
                saga = %key.stream(),
                cause = %work.causation,
                %correlation,
                "two different things ask for the same saga; the second is not done, and a person has to look at it"
            );
        }
        // The stream has moved on: what is kept of the saga is read again.
        self.shelf.drop(key);
        if let Some(loaded) = self.find(key).await? {
            self.adopt_work(work, loaded).await?;
        }
        Ok(())
    }

    /// Appends to a saga's stream wherever that stands, until it is durable; whether it is new.
    pub(super) async fn write_by_hand(&mut self, key: &Key, fact: Fact) -> Result<bool, Stopped> {
        let Some(saga_id) = Self::saga_id(key) else {
            return Ok(false);
        };
        let append_id = derived(saga_id, &fact.name);
        let metadata = metadata(fact.correlation, fact.causation).encode();
        let Some(events) = encode(std::slice::from_ref(&fact.event), &metadata) else {
            return Ok(false);
        };
        let mut backoff = Backoff::of_a_store();
        loop {
            let head = self.store.stream_head(&key.stream()).await?;
            let expected =
                head.map_or(Expectation::NoStream, |(version, event_id)| Expectation::At { version, event_id });
            self.term.check()?;
            let writes = vec![StreamWrite { stream: key.stream(), expected, events: events.clone() }];
            let batch = Batch { command_id: append_id, fingerprint: fingerprint(append_id), writes };
            match self.store.append(batch).await {
                Ok(Outcome::Appended(_)) => return Ok(true),
                Ok(Outcome::AlreadyAppended(_) | Outcome::CommandIdReused(_)) => return Ok(false),
                // Somebody else wrote to it meanwhile.
                Ok(Outcome::Conflict { .. }) => {}
                Err(Error::Never(why)) => {
                    tracing::error!(saga = %key.stream(), why, "what a person should see of a saga cannot be written");
                    meters::left_alone("refused");
                    return Ok(false);
                }
                Err(error) => self.patient.wait(error, &mut backoff).await?,
            }
        }
    }
}
