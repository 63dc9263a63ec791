//! Where a saga stands: the fold of its stream. The input is not kept here; the process holds it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::event::{Decision, Direction, Ended, Fact, Parked, StepOutcome, Unwinding};
use super::step::Output;
use crate::time::Timestamp;

/// Where a saga stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// What it is; `None` before it is started.
    pub about: Option<About>,
    /// Its steps, as far as they were asked for.
    pub steps: BTreeMap<String, StepState>,
    /// Why it is being undone, if it is.
    pub unwinding: Option<Unwinding>,
    /// What it noted.
    pub notes: BTreeMap<String, Value>,
    /// Its timers, and when they are due.
    pub timers: BTreeMap<String, Timestamp>,
    /// Why it cannot continue by itself, if it cannot.
    pub parked: Option<Parked>,
    /// How it ended, if it has.
    pub ended: Option<Ended>,
}

/// What a saga is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Which process.
    pub kind: String,
    /// The version of its definition.
    pub definition: u32,
    /// The subject's id.
    pub subject: Uuid,
    /// The order or return that the work belongs to.
    pub correlation: Uuid,
    /// The [fingerprint](super::event::Started::fingerprint) of its start.
    pub fingerprint: Uuid,
}

/// Where a step stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepState {
    /// Doing it.
    pub forth: Side,
    /// Undoing it.
    pub back: Side,
}

/// One direction of a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// The newest attempt, 0 before the first.
    pub attempt: u32,
    /// The newest attempt's command.
    pub command_id: Uuid,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// The newest evidence that was taken into account.
    pub seen: u64,
    /// How far it is.
    pub progress: Progress,
}

/// How far one direction of a step is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It was never asked for.
    #[default]
    Idle,
    /// It is asked for.
    Asked,
    /// It was requested, and its outcome is unknown.
    Unknown,
    /// It is done.
    Done(Output),
    /// It is certainly not done.
    NotDone {
        /// The refusal's code.
        code: String,
        /// The refusal's numbers.
        details: Value,
    },
}

impl Progress {
    /// Asked for and not settled.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Asked | Self::Unknown)
    }

    /// Done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }
}

impl StepState {
    /// The side of a direction.
    #[must_use]
    pub fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Do => &self.forth,
            Direction::Undo => &self.back,
        }
    }

    fn side_mut(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Do => &mut self.forth,
            Direction::Undo => &mut self.back,
        }
    }
}

impl State {
    /// How far doing a step is.
    #[must_use]
    pub fn progress(&self, step: &str) -> &Progress {
        self.side(step, Direction::Do).map_or(&Progress::Idle, |side| &side.progress)
    }

    /// Whether a step is done.
    #[must_use]
    pub fn is_done(&self, step: &str) -> bool {
        self.progress(step).is_done()
    }

    /// What a step that is done left.
    #[must_use]
    pub fn output(&self, step: &str) -> Option<&Output> {
        match self.progress(step) {
            Progress::Done(output) => Some(output),
            _ => None,
        }
    }

    /// One direction of a step, if it was ever asked for.
    #[must_use]
    pub fn side(&self, step: &str, direction: Direction) -> Option<&Side> {
        self.steps.get(step).map(|found| found.side(direction)).filter(|side| side.attempt > 0)
    }

    /// Moves past a decision.
    pub fn evolve(&mut self, decision: &Decision) {
        for fact in &decision.facts {
            self.apply(fact, decision.at);
        }
    }

    /// Moves past one fact of a decision that was made at a moment.
    pub(super) fn apply(&mut self, fact: &Fact, at: Timestamp) {
        match fact {
            Fact::Started(started) => {
                self.about = Some(About {
                    kind: started.kind.clone(),
                    definition: started.definition,
                    subject: started.subject,
                    correlation: started.correlation,
                    fingerprint: started.fingerprint(),
                });
            }
            Fact::StepAsked(asked) => {
                self.timers.remove(&retry_timer(&asked.step, asked.direction));
                if let Some(due_at) = asked.answer_by {
                    self.timers.insert(answer_timer(&asked.step, asked.direction), due_at);
                }
                let step = self.steps.entry(asked.step.clone()).or_default();
                let side = step.side_mut(asked.direction);
                side.attempt = asked.attempt;
                side.command_id = asked.command_id;
                side.asked_at = at;
                side.progress = Progress::Asked;
            }
            Fact::StepAnswered(answered) => {
                let step = self.steps.entry(answered.step.clone()).or_default();
                let side = step.side_mut(answered.direction);
                side.seen = side.seen.max(answered.seen.unwrap_or(0));
                side.progress = match &answered.outcome {
                    StepOutcome::Done { output } => Progress::Done(output.clone()),
                    StepOutcome::NotDone { code, details } => {
                        Progress::NotDone { code: code.clone(), details: details.clone() }
                    }
                    StepOutcome::Unknown { .. } => Progress::Unknown,
                };
                if !side.progress.is_open() {
                    self.timers.remove(&answer_timer(&answered.step, answered.direction));
                }
            }
            Fact::Unwinding(unwinding) => self.unwinding = Some(unwinding.clone()),
            Fact::Noted(noted) => {
                self.notes.insert(noted.note.clone(), noted.value.clone());
            }
            Fact::TimerSet(set) => {
                self.timers.insert(set.timer.clone(), set.due_at);
            }
            Fact::TimerCancelled(cancelled) => {
                self.timers.remove(&cancelled.timer);
            }
            Fact::TimerFired(fired) => {
                self.timers.remove(&fired.timer);
            }
            Fact::Parked(parked) => self.parked = Some(parked.clone()),
            Fact::Resumed(_) => self.parked = None,
            Fact::Ended(ended) => {
                self.ended = Some(ended.clone());
                self.parked = None;
                self.timers.clear();
            }
        }
    }
}

/// The name of the timer that tries a step again.
pub(super) fn retry_timer(step: &str, direction: Direction) -> String {
    format!("retry/{}/{step}", word(direction))
}

/// The name of the timer that looks for a step's answer.
pub(super) fn answer_timer(step: &str, direction: Direction) -> String {
    format!("answer/{}/{step}", word(direction))
}

/// What a timer of the engine's own is for; `None`: it is the process's.
pub(super) fn parse_timer(timer: &str) -> Option<(TimerFor, Direction, &str)> {
    let (purpose, rest) = timer.split_once('/')?;
    let (direction, step) = rest.split_once('/')?;
    let purpose = match purpose {
        "retry" => TimerFor::Retry,
        "answer" => TimerFor::Answer,
        _ => return None,
    };
    let direction = match direction {
        "do" => Direction::Do,
        "undo" => Direction::Undo,
        _ => return None,
    };
    Some((purpose, direction, step))
}

/// What a timer of the engine's own is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimerFor {
    /// To try a step again.
    Retry,
    /// To look for a step's answer.
    Answer,
}

/// `do` or `undo`.
pub(super) fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Do => "do",
        Direction::Undo => "undo",
    }
}
