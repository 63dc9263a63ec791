//! A saga reacts, its decisions are appended, and what they ask for is sent once they are durable. Appends of a page are put on the
//! writer's queue one after the other and awaited together, so that one sync carries them.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use domain::ids::derived;
use domain::saga::event::{self, Parked, Started};
use domain::saga::{Batch, Saga, Trigger};
use domain::time::Timestamp;
use event_store::Error;
use event_store::append::{self, Expectation, Outcome, Pending, StreamWrite};
use event_store::record::Version;
use uuid::Uuid;

use super::encode::{encode, fingerprint, metadata};
use super::index::Key;
use super::load::Loaded;
use super::outbox::Letter;
use super::session::Session;
use crate::{Stopped, meters};

/// After so many attempts the others go on without it: somebody else writes to the saga all the time.
const ATTEMPTS: u32 = 30;

/// The longest wait before an append is tried again that the store could not take.
const AGAIN_CAP: Duration = Duration::from_secs(30);

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
    Start { started: Box<Started>, look_first: bool },
    Recorded(Arc<Batch>),
    Due { timer: String, due_at: Timestamp, evidence: Option<Box<Batch>> },
    Undeliverable { command_id: Uuid, detail: String },
}

/// An append on its way.
pub(super) struct Flight {
    work: Work,
    pending: Pending,
    asked: Vec<Uuid>,
    letters: Vec<Letter>,
    events: Vec<event::Event>,
}

impl Session {
    /// Lets a saga react, and puts what it decided on the writer's queue. `None` if nothing follows.
    pub(super) async fn attempt(&mut self, work: Work) -> Result<Option<Flight>, Stopped> {
        let known = match &work.cause {
            Cause::Start { look_first: false, .. } => self.shelf.get(&work.key).cloned(),
            _ => self.find(&work.key).await?,
        };
        let (before, events, saga) = match (known, &work.cause) {
            (Some(loaded), Cause::Start { .. }) => {
                self.adopt(&work.key, loaded, work.at).await?;
                return Ok(None);
            }
            (Some(loaded), _) => {
                let events = react(&loaded.saga, &work);
                let mut saga = loaded.saga;
                saga.evolve_all(&events);
                (Some((loaded.version, loaded.last_event)), events, saga)
            }
            (None, Cause::Start { started, .. }) => {
                let Some((saga, events)) = self.begin(&work, started) else {
                    return Ok(None);
                };
                (None, events, saga)
            }
            (None, _) => return Ok(None),
        };
        if events.is_empty() {
            return Ok(None);
        }
        self.term.check()?;
        Ok(self.fly(work, before, events, saga))
    }

    fn begin(&self, work: &Work, started: &Started) -> Option<(Saga, Vec<event::Event>)> {
        let tenant = work.key.tenant()?;
        let begin = || Saga::begin(&tenant, started.clone(), work.at);
        match catch_unwind(AssertUnwindSafe(begin)) {
            Ok(Ok(begun)) => Some(begun),
            Ok(Err(why)) => {
                tracing::error!(saga = %work.key.stream(), %why, "a saga cannot be started");
                meters::left_alone("unstartable");
                None
            }
            Err(_) => {
                tracing::error!(saga = %work.key.stream(), "a saga panics as it starts");
                meters::panicked();
                None
            }
        }
    }

    fn fly(
        &mut self,
        work: Work,
        before: Option<(Version, Uuid)>,
        events: Vec<event::Event>,
        saga: Saga,
    ) -> Option<Flight> {
        let saga_id = Self::saga_id(&work.key)?;
        let append_id = derived(saga_id, &work.append_id);
        let correlation = saga.state().about.as_ref()?.correlation;
        let metadata = metadata(correlation, work.causation).encode();
        let written = encode(&events, &metadata)?;
        let last_event = written.last()?.event_id;
        let version = before.map_or(0, |(version, _)| version) + u64::try_from(written.len()).unwrap_or_default();
        let pending = self.store.append(append::Batch {
            command_id: append_id,
            fingerprint: fingerprint(append_id),
            writes: vec![StreamWrite {
                stream: work.key.stream(),
                expected: before
                    .map_or(Expectation::NoStream, |(version, event_id)| Expectation::At { version, event_id }),
                events: written,
            }],
        });
        let asked = asked(&events);
        let commands = if asked.is_empty() { Vec::new() } else { saga.pending() };
        let commands: Vec<_> = commands.into_iter().filter(|(id, _)| asked.contains(id)).collect();
        self.index.update(&work.key, &saga, version, work.at, asked.iter().copied());
        let loaded = Loaded { saga, version, last_event };
        self.shelf.put(&work.key, loaded);
        // A letter says what the saga is about, which is read from the shelf: a saga that has just begun is there only now.
        let letters: Vec<_> =
            commands.into_iter().filter_map(|(id, command)| self.letter(&work.key, id, command, append_id)).collect();
        Some(Flight { work, pending, asked, letters, events })
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
        self.letter_of(key, command_id, command, metadata(correlation, causation))
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

    /// Waits for appends, sends what they asked for, and lets those react again that were overtaken.
    pub(super) async fn settle(&mut self, mut flights: Vec<Flight>) -> Result<(), Stopped> {
        let mut attempts: HashMap<Key, u32> = HashMap::new();
        let mut wait = Duration::from_millis(1);
        while !flights.is_empty() {
            let mut again = Vec::new();
            for flight in flights.drain(..) {
                let outcome = flight.pending.await;
                match outcome {
                    Ok(Outcome::Appended(_)) => {
                        // Nothing is sent for another's appends, nor after the lease: whoever holds it sends what the log says.
                        self.term.check()?;
                        self.told(&flight.work, &flight.events);
                        for letter in flight.letters {
                            self.outbox.send(letter);
                        }
                        continue;
                    }
                    Err(Error::Never(why)) => {
                        tracing::error!(saga = %flight.work.key.stream(), why, "the store refuses a saga's events");
                        meters::left_alone("refused");
                        self.leave_alone(&flight.work.key, flight.work.at);
                        continue;
                    }
                    Err(error @ (Error::Closed | Error::Damaged { .. } | Error::LeaseLost | Error::Read(_))) => {
                        return Err(error.into());
                    }
                    Ok(_) | Err(Error::Unknown(_) | Error::NotNow(_) | Error::Overloaded) => {}
                }
                self.shelf.drop(&flight.work.key);
                for command_id in flight.asked {
                    self.index.not_asked(command_id);
                }
                let attempts = attempts.entry(flight.work.key.clone()).or_default();
                *attempts += 1;
                if *attempts <= ATTEMPTS || outcome.is_err() {
                    again.push(flight.work);
                } else {
                    tracing::error!(saga = %flight.work.key.stream(), "others write to a saga all the time");
                    self.leave_alone(&flight.work.key, flight.work.at);
                }
            }
            if !again.is_empty() {
                // Whoever came first may be the one who holds the lease now, whatever the clocks say.
                self.term.confirm().await?;
                tokio::select! {
                    () = self.cancel.cancelled() => {
                        return Err(Error::Unknown("it was told to stop".into()).into());
                    }
                    () = tokio::time::sleep(wait) => {}
                }
                wait = (wait * 2).min(AGAIN_CAP);
            }
            for work in again {
                flights.extend(self.attempt_again(work).await?);
            }
        }
        Ok(())
    }

    /// Somebody else's append came first, or an earlier one of ours whose outcome was unknown: read what is there.
    async fn attempt_again(&mut self, mut work: Work) -> Result<Option<Flight>, Stopped> {
        if let Cause::Start { look_first, .. } = &mut work.cause {
            *look_first = true;
        } else if let Some(loaded) = self.find(&work.key).await? {
            let since = self.index.since(&work.key).unwrap_or(work.at);
            self.adopt(&work.key, loaded, since).await?;
        }
        self.attempt(work).await
    }

    /// Counts what became durable, and lets go of sagas that ended.
    fn told(&mut self, work: &Work, events: &[event::Event]) {
        let kind = &*work.key.kind;
        for event in events {
            match event {
                event::Event::Ended(ended) => {
                    let id = work.key.subject;
                    tracing::debug!(kind, %id, outcome = ended.outcome, "a saga ended");
                    let since = self.begun_at(&work.key).unwrap_or(work.at);
                    meters::ended(kind, &ended.outcome, super::between(since, work.at));
                    self.shelf.drop(&work.key);
                }
                event::Event::Parked(parked) => {
                    meters::parked(kind, &parked.reason);
                    tracing::warn!(
                        saga = %work.key.stream(),
                        reason = parked.reason,
                        detail = parked.detail,
                        "a saga needs a person"
                    );
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

    /// Tells a person of a saga whose events cannot be read here.
    pub(super) async fn park_unreadable(
        &mut self,
        key: &Key,
        (version, event_id): (Version, Uuid),
        correlation: Uuid,
        why: String,
    ) -> Result<(), Stopped> {
        self.term.check()?;
        let Some(saga_id) = Self::saga_id(key) else {
            return Ok(());
        };
        let parked = event::Event::Parked(Parked { reason: "unreadable".into(), detail: why, step: None });
        let append_id = derived(saga_id, &format!("unreadable/{version}"));
        let metadata = metadata(correlation, append_id).encode();
        let Some(events) = encode(std::slice::from_ref(&parked), &metadata) else {
            return Ok(());
        };
        let pending = self.store.append(append::Batch {
            command_id: append_id,
            fingerprint: fingerprint(append_id),
            writes: vec![StreamWrite { stream: key.stream(), expected: Expectation::At { version, event_id }, events }],
        });
        if let Err(error) = pending.await {
            tracing::error!(saga = %key.stream(), %error, "an unreadable saga cannot be parked");
        }
        Ok(())
    }
}

/// What follows, as the saga sees it; a panic is its own and parks it.
fn react(saga: &Saga, work: &Work) -> Vec<event::Event> {
    let trigger = match &work.cause {
        Cause::Start { .. } => return Vec::new(),
        Cause::Recorded(batch) => Trigger::Recorded(batch),
        Cause::Due { timer, due_at, evidence } => {
            Trigger::Due { timer, due_at: *due_at, evidence: evidence.as_deref() }
        }
        Cause::Undeliverable { command_id, detail } => Trigger::Undeliverable { command_id: *command_id, detail },
    };
    let reacted = catch_unwind(AssertUnwindSafe(|| saga.react(trigger, work.at)));
    reacted.unwrap_or_else(|_| {
        meters::panicked();
        tracing::error!(saga = %work.key.stream(), "a saga panics and is parked");
        if saga.state().parked.is_some() {
            return Vec::new();
        }
        vec![event::Event::Parked(Parked {
            reason: "panicked".into(),
            detail: format!("it cannot react to {}", work.append_id),
            step: None,
        })]
    })
}

fn asked(events: &[event::Event]) -> Vec<Uuid> {
    let asked = events.iter().filter_map(|event| match event {
        event::Event::StepAsked(asked) => Some(asked.command_id),
        _ => None,
    });
    asked.collect()
}
