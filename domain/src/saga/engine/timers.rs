//! What follows from a timer: a step is tried again, an answer is looked for, or the process's own time is over.

use super::draft::{Draft, find};
use crate::saga::event::{Direction, Fact, StepOutcome, TimerFired};
use crate::saga::process::Batch;
use crate::saga::state::{Progress, TimerFor, answer_timer, parse_timer};
use crate::saga::step::{Settles, Step, When};
use crate::time::Timestamp;

impl Draft<'_> {
    pub(super) fn due(&mut self, timer: &str, due_at: Timestamp, evidence: Option<&Batch>) {
        if self.state.timers.get(timer) != Some(&due_at) {
            return;
        }
        self.push(Fact::TimerFired(TimerFired { timer: timer.to_owned(), due_at }));
        let steps = self.process.steps(&self.state);
        match parse_timer(timer) {
            Some((TimerFor::Retry, direction, name)) => {
                let abandoned = |step: &Step| {
                    self.state.unwinding.is_some() && step.when == When::Forward && direction == Direction::Do
                };
                if let Some(step) = find(&steps, name).filter(|step| !abandoned(step)) {
                    self.ask(step, direction);
                }
            }
            Some((TimerFor::Answer, direction, name)) => {
                if let Some(batch) = evidence {
                    self.listen(batch);
                }
                if let Some(step) = find(&steps, name) {
                    self.still_unknown(step, direction);
                }
            }
            None => {
                let mut notices = Vec::new();
                self.process.fired(&self.state, timer, &mut notices);
                for notice in notices {
                    self.notice(notice, None);
                }
            }
        }
    }

    /// There was no answer in time: the outcome is *unknown*, checked again with growing pauses, and finally the saga
    /// is parked.
    pub(super) fn still_unknown(&mut self, step: &Step, direction: Direction) {
        let Settles::ByEvidence { look_after_s, park_after_s, .. } = step.settles else {
            return;
        };
        let Some(side) = self.state.side(step.name, direction) else {
            return;
        };
        if !side.progress.is_open() {
            return;
        }
        let asked_at = side.asked_at;
        let last = asked_at.plus_seconds(park_after_s);
        let early = self.at < asked_at.plus_seconds(look_after_s);
        if !early && side.progress == Progress::Asked {
            let detail = format!("no answer within {look_after_s} s");
            self.answer(step.name, direction, None, StepOutcome::Unknown { detail });
        }
        if self.at >= last {
            let detail = format!("the outcome of {} is unknown since {asked_at}", step.name);
            return self.park("outcome_unknown", detail, Some(step.name));
        }
        let waited = self.at.micros().saturating_sub(asked_at.micros()).max(0);
        let next = Timestamp::from_micros(self.at.micros().saturating_add(waited))
            .max(asked_at.plus_seconds(look_after_s))
            .min(last);
        self.set_timer(answer_timer(step.name, direction), next);
    }
}
