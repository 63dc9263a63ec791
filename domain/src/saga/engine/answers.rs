//! Applies an answer, or evidence: a step is done, not done, or unknown. A settled step is never unsettled.

use serde_json::{Value, json};
use uuid::Uuid;

use super::draft::{Draft, find};
use crate::Event;
use crate::outcome::{self, Verdict};
use crate::saga::event::{Direction, Fact, Noted, StepAnswered, StepOutcome};
use crate::saga::process::{Answered, Batch, PaymentSeen, Refused};
use crate::saga::state::{Progress, answer_timer, retry_timer, word};
use crate::saga::step::{Notice, Output, Settles, Step, Then, When};

impl Draft<'_> {
    /// The side whose newest attempt this command is, if it is not settled.
    pub(super) fn asked_with(&self, command_id: Uuid) -> Option<(String, Direction)> {
        self.state.steps.iter().find_map(|(name, step)| {
            [Direction::Do, Direction::Undo]
                .into_iter()
                .find(|direction| {
                    let side = step.side(*direction);
                    side.command_id == command_id && side.progress.is_open()
                })
                .map(|direction| (name.clone(), direction))
        })
    }

    pub(super) fn recorded(&mut self, batch: &Batch) {
        if !batch.partial
            && let Some((step, direction)) = self.asked_with(batch.command_id)
        {
            self.command_answered(&step, direction, batch);
        }
        self.listen(batch);
    }

    pub(super) fn listen(&mut self, batch: &Batch) {
        let mut notices = Vec::new();
        self.process.listen(&self.state, batch, &mut notices);
        for notice in notices {
            self.notice(notice, batch.payment.as_ref());
        }
    }

    pub(super) fn command_answered(&mut self, name: &str, direction: Direction, batch: &Batch) {
        let steps = self.process.steps(&self.state);
        let Some(step) = find(&steps, name) else {
            return;
        };
        let verdict = batch.events.iter().find_map(|recorded| match &recorded.event {
            Event::Outcome(outcome::Event::Settled(settled)) => Some(&settled.verdict),
            _ => None,
        });
        match (verdict, &step.settles) {
            (Some(Verdict::Refused { code, details, message, .. }), _) => {
                let mut details = details.clone();
                details.entry("message").or_insert_with(|| json!(message));
                let details = Value::Object(details);
                self.not_done(step, direction, None, code, details, batch.payment.as_ref());
            }
            (_, Settles::ByCommand) => {
                let nothing_to_do = verdict.is_some();
                let answered = Answered { step: name, direction, nothing_to_do, batch };
                let then = self.process.answered(&self.state, answered);
                self.follow(step, direction, None, ("nothing-to-do", json!({})), then);
            }
            (Some(Verdict::NothingToDo), Settles::ByEvidence { .. }) => {
                self.set_timer(answer_timer(name, direction), self.at);
            }
            (None, Settles::ByEvidence { .. }) => {}
        }
    }

    pub(super) fn answer(&mut self, step: &str, direction: Direction, seen: Option<u64>, outcome: StepOutcome) {
        let attempt = self.state.side(step, direction).map_or(0, |side| side.attempt);
        self.push(Fact::StepAnswered(StepAnswered { step: step.to_owned(), direction, attempt, seen, outcome }));
    }

    pub(super) fn done(&mut self, step: &str, direction: Direction, seen: Option<u64>, output: Output) {
        self.answer(step, direction, seen, StepOutcome::Done { output });
        self.resume_step(step, "answered");
    }

    pub(super) fn not_done(
        &mut self,
        step: &Step,
        direction: Direction,
        seen: Option<u64>,
        code: &str,
        details: Value,
        payment: Option<&PaymentSeen>,
    ) {
        let then =
            self.process.refused(&self.state, Refused { step: step.name, direction, code, details: &details, payment });
        self.follow(step, direction, seen, (code, details), then);
    }

    /// A step is done, or it is not and the process says what follows.
    fn follow(
        &mut self,
        step: &Step,
        direction: Direction,
        seen: Option<u64>,
        (code, details): (&str, Value),
        then: Then,
    ) {
        if let Then::Done(output) = then {
            return self.done(step.name, direction, seen, output);
        }
        let outcome = StepOutcome::NotDone { code: code.to_owned(), details: details.clone() };
        self.answer(step.name, direction, seen, outcome);
        self.resume_step(step.name, "answered");
        let abandoned = self.state.unwinding.is_some() && step.when == When::Forward && direction == Direction::Do;
        if abandoned {
            return;
        }
        match then {
            Then::Unwind { reason, details } if self.may_unwind(step, direction) => {
                self.unwind(&reason, details);
            }
            Then::Unwind { reason, .. } | Then::Park { reason } => {
                self.park(&reason, format!("{} was refused: {code}", step.name), Some(step.name));
            }
            Then::Wait => {}
            Then::Retry | Then::Done(_) => self.retry_later(step, direction, code, details),
        }
    }

    pub(super) fn may_unwind(&self, step: &Step, direction: Direction) -> bool {
        direction == Direction::Do && step.when == When::Forward && !self.past_pivot(true)
    }

    pub(super) fn retry_later(&mut self, step: &Step, direction: Direction, code: &str, details: Value) {
        let Some(side) = self.state.side(step.name, direction) else {
            return;
        };
        let (attempt, command_id) = (side.attempt, side.command_id);
        if let Some(due_at) = step.budget(direction).next(attempt, command_id, self.at) {
            return self.set_timer(retry_timer(step.name, direction), due_at);
        }
        let refused = Refused { step: step.name, direction, code, details: &details, payment: None };
        match self.process.exhausted(&self.state, refused) {
            Some((reason, details)) if self.may_unwind(step, direction) => self.unwind(&reason, details),
            _ => {
                let reason = match direction {
                    Direction::Do => "retries_exhausted",
                    Direction::Undo => "undo_failed",
                };
                let detail =
                    format!("{} ({}) was refused {attempt} times, last with {code}", step.name, word(direction));
                self.park(reason, detail, Some(step.name));
            }
        }
    }

    pub(super) fn notice(&mut self, notice: Notice, payment: Option<&PaymentSeen>) {
        match notice {
            Notice::Answer { step, direction, attempt, seen, outcome } => {
                self.evident(step, direction, attempt, seen, outcome, payment)
            }
            Notice::Unwind { reason, details } => {
                if !self.past_pivot(false) {
                    self.unwind(reason, details);
                }
            }
            Notice::Note { note, value } => {
                if self.state.notes.get(note) != Some(&value) {
                    let note = note.to_owned();
                    self.push(Fact::Noted(Noted { note, value }));
                }
            }
            Notice::SetTimer { timer, due_at } => self.set_timer(timer.to_owned(), due_at),
            Notice::SetTimerIn { timer, after_s } => {
                if self.state.unwinding.is_none() && self.state.ended.is_none() {
                    self.set_timer(timer.to_owned(), self.at.plus_seconds(after_s));
                }
            }
            Notice::Nudge { step } => self.nudge(step),
        }
    }

    pub(super) fn evident(
        &mut self,
        name: &str,
        direction: Direction,
        attempt: Option<u32>,
        seen: Option<u64>,
        outcome: StepOutcome,
        payment: Option<&PaymentSeen>,
    ) {
        let Some(side) = self.state.side(name, direction) else {
            return;
        };
        let other = attempt.is_some_and(|attempt| attempt != side.attempt);
        let old = seen.is_some_and(|version| version <= side.seen);
        if other || old || !side.progress.is_open() {
            return;
        }
        match outcome {
            StepOutcome::Done { output } => self.done(name, direction, seen, output),
            StepOutcome::NotDone { code, details } => {
                let steps = self.process.steps(&self.state);
                if let Some(step) = find(&steps, name) {
                    self.not_done(step, direction, seen, &code, details, payment);
                }
            }
            StepOutcome::Unknown { .. } if side.progress == Progress::Unknown => {}
            StepOutcome::Unknown { .. } => self.answer(name, direction, seen, outcome),
        }
    }

    /// What a step was refused for is over.
    pub(super) fn nudge(&mut self, name: &str) {
        let steps = self.process.steps(&self.state);
        let Some(step) = find(&steps, name) else {
            return;
        };
        let refused = matches!(self.state.progress(name), Progress::NotDone { .. });
        let abandoned = self.state.unwinding.is_some() && step.when == When::Forward;
        if refused && !abandoned {
            self.resume_step(name, "nudged");
            // Also while another step is parked, as a retry timer does: nothing else would ask again.
            self.ask(step, Direction::Do);
        }
    }

    pub(super) fn undeliverable(&mut self, command_id: Uuid, detail: &str) {
        if let Some((step, direction)) = self.asked_with(command_id) {
            let detail = format!("{} ({}) cannot be delivered: {detail}", step, word(direction));
            self.park("undeliverable", detail, Some(&step));
        }
    }
}
