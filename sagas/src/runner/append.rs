//! A saga reacts, its decisions are appended, and its commands are sent once they are durable. The appends of a page
//! are queued at the writer one after the other and awaited together, so that one sync carries them.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use domain::ids::derived;
use domain::saga::event::{Fact, Parked, Started};
use domain::saga::{Batch, Decision, Saga, Trigger};
use domain::time::Timestamp;
use event_store::Error;
use event_store::append::{self, Expectation, Outcome, Pending, StreamWrite};
use event_store::patience::{Backoff, is_worth_waiting};
use event_store::record::Version;
use schemas::Metadata;
use uuid::Uuid;

use super::encode::{encode, fingerprint};
use super::index::Key;
use super::load::Loaded;
use super::outbox::Letter;
use super::session::Session;
use crate::{Stopped, meters};

/// After so many attempts the log reports that another writer keeps writing to the saga.
const ATTEMPTS: u32 = 30;
/// The first and the longest pause before a saga reacts again after another writer's append.
const OVERTAKEN: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(200));

/// Something that a saga is to react to.
pub(super) struct Work {
    pub(super) key: Key,
    /// What the append's id is derived from, with the saga: the same cause has the same id.
    pub(super) append_id: String,
    pub(super) causation: Uuid,
    pub(super) at: Timestamp,
    pub(super) cause: Cause,
}

pub(super) enum Cause {
    Start { started: Box<Started>, command_id: Uuid, look_first: bool },
    Recorded(Arc<Batch>),
    Due { timer: String, due_at: Timestamp, evidence: Option<Box<Batch>> },
    Undeliverable { command_id: Uuid, detail: String },
}

/// The decision of a saga, and its basis.
struct Decided {
    before: Option<(Version, Uuid)>,
    /// The event that started it.
    cause: Uuid,
    decision: Decision,
    saga: Saga,
}

/// An append on its way.
pub(super) struct Flight {
    work: Work,
    pending: Pending,
    asked: Vec<Uuid>,
    letters: Vec<Letter>,
    decision: Decision,
}

/// The result of an append.
enum Landed {
    /// It is in the log.
    In,
    /// Its id was in the log before it.
    Before(Work),
    /// It was not written: another writer has written to the stream, or the store gave a reason.
    Out(Work, Option<Error>),
}

impl Session {
    /// Lets a saga react, and queues its decision at the writer. `None` if there is none.
    pub(super) async fn attempt(&mut self, work: Work) -> Result<Option<Flight>, Stopped> {
        let known = match &work.cause {
            Cause::Start { look_first: false, .. } => self.shelf.get(&work.key).cloned(),
            _ => self.find(&work.key).await?,
        };
        let decided = match (known, &work.cause) {
            (Some(loaded), Cause::Start { started, .. }) => {
                // The same cause again is nothing new, and another one with the same content is the same wish.
                if loaded.cause == work.causation || loaded.saga.is_started_by(started) {
                    self.adopt_work(&work, loaded).await?;
                } else {
                    self.tell_conflict(&work, started.correlation).await?;
                }
                return Ok(None);
            }
            (None, Cause::Start { .. }) if self.left_alone.contains_key(&work.key) => return Ok(None),
            (Some(loaded), _) => {
                let Some(decision) = react(&loaded.saga, &work) else {
                    return Ok(None);
                };
                let mut saga = loaded.saga;
                saga.evolve(&decision);
                let before = Some((loaded.version, loaded.last_event));
                Decided { before, cause: loaded.cause, decision, saga }
            }
            (None, Cause::Start { started, command_id, .. }) => match begin(&work, started, *command_id) {
                Ok((saga, decision)) => Decided { before: None, cause: work.causation, decision, saga },
                Err((reason, why)) => {
                    self.park_work(&work, reason, &why).await?;
                    return Ok(None);
                }
            },
            (None, _) => return Ok(None),
        };
        self.term.check()?;
        match self.fly(work, decided) {
            Ok(flight) => Ok(Some(flight)),
            Err(work) => {
                self.park_work(&work, "unwritable", "what it decided has no stored form").await?;
                Ok(None)
            }
        }
    }

    /// Queues the decision at the writer; returns the work if it has no stored form.
    fn fly(&mut self, work: Work, decided: Decided) -> Result<Flight, Box<Work>> {
        let Decided { before, cause, decision, saga } = decided;
        let about = saga.state().about.as_ref().map(|about| about.correlation);
        let (Some(saga_id), Some(correlation)) = (Self::saga_id(&work.key), about) else {
            return Err(Box::new(work));
        };
        let append_id = derived(saga_id, &work.append_id);
        let metadata = Metadata::of_saga(correlation, work.causation).encode();
        let Some(event) = encode(&decision, metadata) else {
            return Err(Box::new(work));
        };
        let (version, last_event) = (before.map_or(0, |(version, _)| version) + 1, event.event_id);
        let pending = self.store.append(append::Batch {
            command_id: append_id,
            fingerprint: fingerprint(append_id),
            writes: vec![StreamWrite {
                stream: work.key.stream(),
                expected: before
                    .map_or(Expectation::NoStream, |(version, event_id)| Expectation::At { version, event_id }),
                events: vec![event],
            }],
        });
        let asked: Vec<_> = decision.asked().collect();
        let loaded = Loaded { saga, version, last_event, cause };
        let letters = self.moved_on(&work.key, loaded, work.at, &asked, append_id);
        Ok(Flight { work, pending, asked, letters, decision })
    }

    /// Notes where a saga stands after a decision; returns the commands that the decision asks for.
    pub(super) fn moved_on(
        &mut self,
        key: &Key,
        loaded: Loaded,
        at: Timestamp,
        asked: &[Uuid],
        causation: Uuid,
    ) -> Vec<Letter> {
        let commands = if asked.is_empty() { Vec::new() } else { loaded.saga.pending() };
        self.index.update(key, &loaded, at, asked.iter().copied());
        self.shelf.put(key, loaded);
        // A command contains the saga's subject, which comes from the cache: a new saga is cached only now.
        let commands = commands.into_iter().filter(|(id, _)| asked.contains(id));
        commands.filter_map(|(id, command)| self.letter(key, id, command, causation)).collect()
    }

    pub(super) fn letter(
        &self,
        key: &Key,
        command_id: Uuid,
        command: domain::Command,
        causation: Uuid,
    ) -> Option<Letter> {
        let about = self.shelf.get(key)?.saga.state().about.as_ref();
        let correlation = about.map_or(key.subject, |about| about.correlation);
        let saga = Some(key.stream().id.to_string());
        let meta = Metadata { saga, ..Metadata::of_saga(correlation, causation) };
        self.letter_of(key, command_id, command, meta)
    }

    fn letter_of(
        &self,
        key: &Key,
        command_id: Uuid,
        command: domain::Command,
        meta: schemas::Metadata,
    ) -> Option<Letter> {
        Some(Letter { key: key.clone(), tenant: key.tenant()?, command_id, command, meta })
    }

    /// Waits for appends, sends their commands, and lets sagas react again whose append lost a race or failed
    /// temporarily. Returns only when all of them are durable, or parked because they never can be.
    pub(super) async fn settle(&mut self, mut flights: Vec<Flight>) -> Result<(), Stopped> {
        let mut attempts: HashMap<Key, u32> = HashMap::new();
        let (mut overtaken, mut refused) = (Backoff::new(OVERTAKEN.0, OVERTAKEN.1), Backoff::of_a_store());
        let mut waited = false;
        while !flights.is_empty() {
            let (mut again, mut trouble) = (Vec::new(), None);
            for flight in flights.drain(..) {
                let (work, failed) = match self.land(flight).await? {
                    Landed::In => continue,
                    Landed::Before(work) => {
                        self.reacted_before(&work).await?;
                        continue;
                    }
                    Landed::Out(work, failed) => (work, failed),
                };
                match failed {
                    Some(Error::Never(why)) => self.park_work(&work, "too_large", &why).await?,
                    Some(error) if !is_worth_waiting(&error) => return Err(error.into()),
                    Some(error) => {
                        trouble = Some(error);
                        again.push(work);
                    }
                    None => {
                        let attempts = attempts.entry(work.key.clone()).or_default();
                        *attempts += 1;
                        if *attempts == ATTEMPTS {
                            meters::left_alone("contended");
                            tracing::error!(
                                saga = %work.key.stream(),
                                "others write to a saga all the time; it is retried"
                            );
                        }
                        again.push(work);
                    }
                }
            }
            if let Some(error) = trouble {
                self.patient.wait(error, &mut refused).await?;
                waited = true;
            } else if !again.is_empty() {
                self.step_aside(overtaken.next_wait()).await?;
            }
            for work in again {
                flights.extend(self.attempt_again(work).await?);
            }
        }
        if waited {
            self.patient.goes_on();
        }
        Ok(())
    }

    /// Waits for an append. A failed append is removed here, and returned with the store's error.
    async fn land(&mut self, flight: Flight) -> Result<Landed, Stopped> {
        let (before, failed) = match flight.pending.await {
            Ok(Outcome::Appended(_)) => {
                // Nothing is sent after the end of the lease: the next holder sends the commands that are in the log.
                self.term.check()?;
                self.told(&flight.work.key, flight.work.at, &flight.decision);
                for letter in flight.letters {
                    self.outbox.send(letter);
                }
                return Ok(Landed::In);
            }
            Ok(Outcome::AlreadyAppended(_) | Outcome::CommandIdReused(_)) => (true, None),
            Ok(Outcome::Conflict { .. }) => (false, None),
            Err(error) => (false, Some(error)),
        };
        self.shelf.drop(&flight.work.key);
        for command_id in flight.asked {
            self.index.not_asked(command_id);
        }
        Ok(if before { Landed::Before(flight.work) } else { Landed::Out(flight.work, failed) })
    }

    /// The saga's reaction is in the log already, and can never be written again: the stored reaction counts.
    async fn reacted_before(&mut self, work: &Work) -> Result<(), Stopped> {
        meters::reacted_before();
        tracing::warn!(
            saga = %work.key.stream(),
            at = work.append_id,
            "a saga has reacted to this before; the earlier reaction counts, nothing to do"
        );
        if let Some(loaded) = self.find(&work.key).await? {
            self.adopt_work(work, loaded).await?;
        }
        self.postpone(work);
        Ok(())
    }

    /// Takes the logged state of a work's saga.
    pub(super) async fn adopt_work(&mut self, work: &Work, loaded: Loaded) -> Result<(), Stopped> {
        let since = self.index.since(&work.key).unwrap_or(work.at);
        self.adopt(&work.key, loaded, since).await
    }

    /// The process that was first may hold the lease now, whatever the clocks say.
    async fn step_aside(&mut self, wait: Duration) -> Result<(), Stopped> {
        match self.term.confirm().await {
            // If the lease cannot be checked now, nothing follows: the lease itself ends in time.
            Err(error) if !is_worth_waiting(&error) => return Err(error.into()),
            _ => {}
        }
        tokio::select! {
            () = self.cancel.cancelled() => Err(Error::Unknown("it was told to stop".into()).into()),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    /// Another writer's append was first, or an earlier one of ours with an unknown outcome: read the stream.
    async fn attempt_again(&mut self, mut work: Work) -> Result<Option<Flight>, Stopped> {
        if let Cause::Start { look_first, .. } = &mut work.cause {
            *look_first = true;
        } else if let Some(loaded) = self.find(&work.key).await? {
            self.adopt_work(&work, loaded).await?;
        }
        self.attempt(work).await
    }

    /// Counts what a durable decision changed, and drops a saga that ended.
    pub(super) fn told(&mut self, key: &Key, at: Timestamp, decision: &Decision) {
        let kind = &*key.kind;
        for fact in &decision.facts {
            match fact {
                Fact::Ended(ended) => {
                    tracing::debug!(kind, id = %key.subject, outcome = ended.outcome, "a saga ended");
                    let since = self.begun_at(key).unwrap_or(at);
                    meters::ended(kind, &ended.outcome, super::between(since, at));
                    self.shelf.drop(key);
                }
                Fact::Parked(parked) => {
                    meters::parked(kind, &parked.reason);
                    tracing::warn!(
                        saga = %key.stream(),
                        reason = parked.reason,
                        detail = parked.detail,
                        "a saga needs a person; see docs/operations.md, 'A saga needs a person'"
                    );
                    self.shelf.drop(key);
                }
                _ => {}
            }
        }
    }

    /// When the first step was asked for; the index has forgotten a saga that ended.
    fn begun_at(&self, key: &Key) -> Option<Timestamp> {
        let state = self.shelf.get(key)?.saga.state();
        let asked = state.steps.values().map(|step| step.forth.asked_at);
        asked.filter(|at| *at > Timestamp::default()).min()
    }
}

/// A saga begins, or why it cannot.
fn begin(work: &Work, started: &Started, command_id: Uuid) -> Result<(Saga, Decision), (&'static str, String)> {
    let Some(tenant) = work.key.tenant() else {
        return Err(("unstartable", "its tenant has no possible name".into()));
    };
    match catch_unwind(AssertUnwindSafe(|| Saga::begin(&tenant, started.clone(), command_id, work.at))) {
        Ok(Ok(begun)) => Ok(begun),
        Ok(Err(why)) => {
            meters::left_alone("unstartable");
            Err(("unstartable", why.to_string()))
        }
        Err(_) => {
            meters::panicked();
            Err(("panicked", format!("it cannot start at {}", work.append_id)))
        }
    }
}

/// What follows, as the saga sees it; a panic is its own and parks it.
fn react(saga: &Saga, work: &Work) -> Option<Decision> {
    let trigger = match &work.cause {
        Cause::Start { .. } => return None,
        Cause::Recorded(batch) => Trigger::Recorded(batch),
        Cause::Due { timer, due_at, evidence } => {
            Trigger::Due { timer, due_at: *due_at, evidence: evidence.as_deref() }
        }
        Cause::Undeliverable { command_id, detail } => Trigger::Undeliverable { command_id: *command_id, detail },
    };
    let reacted = catch_unwind(AssertUnwindSafe(|| saga.react(trigger, work.at)));
    reacted.unwrap_or_else(|_| {
        meters::panicked();
        tracing::error!(
            saga = %work.key.stream(),
            "a saga panics and is parked; see docs/operations.md, 'A saga needs a person'"
        );
        if saga.state().parked.is_some() {
            return None;
        }
        let parked = Fact::Parked(Parked {
            reason: "panicked".into(),
            detail: format!("it cannot react to {}", work.append_id),
            step: None,
        });
        Some(Decision { after: trigger.after(), at: work.at, facts: vec![parked] })
    })
}
