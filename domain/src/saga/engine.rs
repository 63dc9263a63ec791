//! The engine of all kinds: the decision that follows from a trigger. It compensates in reverse order and only steps that
//! ran, waits for steps in flight, goes only forwards past the pivot, and parks the saga when it cannot continue. It
//! must never act on a guess.

mod advance;
mod answers;
mod draft;
#[cfg(test)]
mod tests;
mod timers;

use std::sync::Arc;

use uuid::Uuid;

use self::draft::{Draft, find};
use super::event::{After, Decision, Direction, Fact, Started};
use super::kinds::{Unloadable, process};
use super::process::{Process, Trigger};
use super::state::{State, TimerFor, parse_timer};
use super::step::{Ask, Settles};
use crate::Command;
use crate::ids::{Tenant, derived};
use crate::stream::StreamName;
use crate::time::Timestamp;

/// A saga: its process and where it stands.
#[derive(Clone, Debug)]
pub struct Saga {
    id: Uuid,
    process: Arc<dyn Process>,
    state: State,
}

impl Saga {
    /// The id that a saga's commands and appends are derived from.
    #[must_use]
    pub fn id_of(tenant: &Tenant, kind: &str, subject: Uuid) -> Uuid {
        derived(subject, &format!("saga/{tenant}/{kind}"))
    }

    /// Starts one after a command's events; `at` is when they were recorded.
    ///
    /// # Errors
    /// If its kind, definition or input is not known here.
    pub fn begin(
        tenant: &Tenant,
        started: Started,
        command_id: Uuid,
        at: Timestamp,
    ) -> Result<(Self, Decision), Unloadable> {
        let process = process(&started)?;
        let mut saga =
            Self { id: Self::id_of(tenant, &started.kind, started.subject), process, state: State::default() };
        let mut draft = Draft::new(&saga, at);
        draft.push(Fact::Started(started));
        for (timer, due_at) in saga.process.timers() {
            draft.set_timer(timer.to_owned(), due_at);
        }
        draft.advance();
        let decision = Decision { after: After::Command(command_id), at, facts: draft.facts };
        saga.evolve(&decision);
        Ok((saga, decision))
    }

    /// Loads one from its decisions; `None` if there are none.
    ///
    /// # Errors
    /// If its kind, definition or input is not known here.
    pub fn load<'a>(
        tenant: &Tenant,
        decisions: impl IntoIterator<Item = &'a Decision>,
    ) -> Result<Option<Self>, Unloadable> {
        let mut decisions = decisions.into_iter();
        let Some(first) = decisions.next() else {
            return Ok(None);
        };
        let Some(started) = first.started() else {
            return Err(Unloadable::NotStarted);
        };
        let mut saga = Self {
            id: Self::id_of(tenant, &started.kind, started.subject),
            process: process(started)?,
            state: State::default(),
        };
        saga.state.evolve(first);
        for decision in decisions {
            saga.state.evolve(decision);
        }
        Ok(Some(saga))
    }

    /// Moves past a decision.
    pub fn evolve(&mut self, decision: &Decision) {
        self.state.evolve(decision);
    }

    /// Whether `started` repeats the start of this saga. If not, two causes claim one saga: that is a conflict, and
    /// must be visible.
    #[must_use]
    pub fn is_started_by(&self, started: &Started) -> bool {
        self.state.about.as_ref().is_some_and(|about| about.fingerprint == started.fingerprint())
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What follows from a trigger, if anything does. The same trigger again: nothing.
    #[must_use]
    pub fn react(&self, trigger: Trigger<'_>, at: Timestamp) -> Option<Decision> {
        if self.state.about.is_none() || self.state.ended.is_some() {
            return None;
        }
        let mut draft = Draft::new(self, at);
        match trigger {
            Trigger::Recorded(batch) => draft.recorded(batch),
            Trigger::Due { timer, due_at, evidence } => draft.due(timer, due_at, evidence),
            Trigger::Undeliverable { command_id, detail } => {
                draft.undeliverable(command_id, detail);
            }
        }
        draft.advance();
        let Draft { facts, .. } = draft;
        (!facts.is_empty()).then(|| Decision { after: trigger.after(), at, facts })
    }

    /// The steps without an answer, in the order of their commands. Sent again after a crash, with the same ids.
    #[must_use]
    pub fn pending(&self) -> Vec<(Uuid, Command)> {
        let mut asked: Vec<_> = self
            .state
            .steps
            .iter()
            .flat_map(|(name, step)| {
                [Direction::Do, Direction::Undo].map(|direction| (name.as_str(), direction, step.side(direction)))
            })
            .filter(|(_, _, side)| side.progress.is_open())
            .collect();
        asked.sort_by_key(|(_, _, side)| side.asked_at);
        asked
            .into_iter()
            .filter_map(|(step, direction, side)| {
                let ask = Ask { step, direction, attempt: side.attempt, asked_at: side.asked_at };
                Some((side.command_id, self.process.command(&self.state, ask)?))
            })
            .collect()
    }

    /// Whether it waits for the outcome of this command.
    #[must_use]
    pub fn waits_for(&self, command_id: Uuid) -> bool {
        let steps = self.state.steps.values();
        let mut sides = steps.flat_map(|step| [Direction::Do, Direction::Undo].map(|direction| step.side(direction)));
        sides.any(|side| side.command_id == command_id && side.progress.is_open())
    }

    /// Where to look when this timer fires, if it waits for an answer that another stream has.
    #[must_use]
    pub fn evidence(&self, timer: &str) -> Option<StreamName> {
        let (TimerFor::Answer, _, step) = parse_timer(timer)? else {
            return None;
        };
        let step = find(&self.process.steps(&self.state), step)?.clone();
        match step.settles {
            Settles::ByEvidence { stream, .. } => Some(stream),
            Settles::ByCommand => None,
        }
    }
}
