//! A decision in the making: each fact is folded as it is written, so that the next is decided on it.

use serde_json::Value;
use uuid::Uuid;

use super::Saga;
use crate::ids::derived;
use crate::saga::event::{Direction, Fact, Parked, Resumed, StepAsked, TimerCancelled, TimerSet, Unwinding};
use crate::saga::process::Process;
use crate::saga::state::{State, retry_timer, word};
use crate::saga::step::{Ask, Settles, Step};
use crate::time::Timestamp;

/// Facts in the making, and the state that they lead to.
pub(super) struct Draft<'a> {
    pub(super) id: Uuid,
    pub(super) process: &'a dyn Process,
    pub(super) state: State,
    pub(super) at: Timestamp,
    pub(super) facts: Vec<Fact>,
}

/// The step of a name.
pub(super) fn find<'s>(steps: &'s [Step], name: &str) -> Option<&'s Step> {
    steps.iter().find(|step| step.name == name)
}

impl<'a> Draft<'a> {
    pub(super) fn new(saga: &'a Saga, at: Timestamp) -> Self {
        Self { id: saga.id, process: saga.process.as_ref(), state: saga.state.clone(), at, facts: Vec::new() }
    }

    pub(super) fn push(&mut self, fact: Fact) {
        self.state.apply(&fact, self.at);
        self.facts.push(fact);
    }

    pub(super) fn set_timer(&mut self, timer: String, due_at: Timestamp) {
        if self.state.timers.get(&timer) != Some(&due_at) {
            self.push(Fact::TimerSet(TimerSet { timer, due_at }));
        }
    }

    pub(super) fn park(&mut self, reason: &str, detail: String, step: Option<&str>) {
        if self.state.parked.is_none() {
            self.push(Fact::Parked(Parked { reason: reason.to_owned(), detail, step: step.map(str::to_owned) }));
        }
    }

    pub(super) fn resume(&mut self, reason: &str) {
        if self.state.parked.is_some() {
            self.push(Fact::Resumed(Resumed { reason: reason.to_owned() }));
        }
    }

    pub(super) fn resume_step(&mut self, step: &str, reason: &str) {
        let here = |parked: &Parked| parked.step.as_deref().is_none_or(|at| at == step);
        if self.state.parked.as_ref().is_some_and(here) {
            self.resume(reason);
        }
    }

    pub(super) fn ask(&mut self, step: &Step, direction: Direction) {
        let attempt = self.state.side(step.name, direction).map_or(0, |side| side.attempt) + 1;
        let ask = Ask { step: step.name, direction, attempt, asked_at: self.at };
        if self.process.command(&self.state, ask).is_none() {
            let detail = format!("{} ({}) lacks what it needs", step.name, word(direction));
            return self.park("inconsistent", detail, Some(step.name));
        }
        let answer_by = match step.settles {
            Settles::ByCommand => None,
            Settles::ByEvidence { look_after_s, .. } => Some(self.at.plus_seconds(look_after_s)),
        };
        self.push(Fact::StepAsked(StepAsked {
            step: step.name.to_owned(),
            direction,
            attempt,
            command_id: command_id(self.id, step.name, direction, attempt),
            answer_by,
        }));
    }

    pub(super) fn unwind(&mut self, reason: &str, details: Option<Value>) {
        if self.state.unwinding.is_some() {
            return;
        }
        self.push(Fact::Unwinding(Unwinding { reason: reason.to_owned(), details }));
        for step in self.process.steps(&self.state) {
            let timer = retry_timer(step.name, Direction::Do);
            if self.state.timers.contains_key(&timer) {
                self.push(Fact::TimerCancelled(TimerCancelled { timer }));
            }
        }
        let waits = self.state.parked.as_ref().and_then(|parked| parked.step.as_deref());
        if waits.is_none_or(|step| !self.state.progress(step).is_open()) {
            self.resume("unwinding");
        }
    }

    /// Whether a pivot is done, or (unless `settled`) may be.
    pub(super) fn past_pivot(&self, settled: bool) -> bool {
        self.process.steps(&self.state).iter().any(|step| {
            let progress = self.state.progress(step.name);
            step.pivot && (progress.is_done() || (!settled && progress.is_open()))
        })
    }
}

fn command_id(saga: Uuid, step: &str, direction: Direction, attempt: u32) -> Uuid {
    derived(saga, &format!("{step}/{}/{attempt}", word(direction)))
}
