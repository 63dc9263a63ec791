//! The parts of a saga's declaration: its steps, their time limits, and its reactions. Plain data.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::event::{Direction, StepOutcome};
use crate::stream::StreamName;
use crate::time::Timestamp;

/// Named values that a step leaves for later ones.
pub type Output = BTreeMap<String, Value>;

/// One step of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name within the process.
    pub name: &'static str,
    /// Steps that have to be done before it; names that are no steps (now) hold nothing up. Steps that do not wait for each other run side by side.
    pub after: &'static [&'static str],
    /// When it is run.
    pub when: When,
    /// How it is known that it is done.
    pub settles: Settles,
    /// Whether it can be undone.
    pub undo: bool,
    /// Whether it is compensated as soon as the saga unwinds, whatever else is in flight: goods never wait for money.
    pub at_once: bool,
    /// Whether everything from here on goes forwards only.
    pub pivot: bool,
    /// How often doing it is tried.
    pub retry: Retry,
    /// How often undoing it is tried; more often than doing it.
    pub undo_retry: Retry,
}

/// When a step is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// On the way forwards.
    Forward,
    /// After everything was undone.
    Closing,
}

/// How it is known that a step is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settles {
    /// By the answer to its command.
    ByCommand,
    /// By a later event in a stream, because the effect is at a provider. After `look_after_s` without it the outcome
    /// is unknown and the stream is read; after `park_after_s` the saga is parked.
    ByEvidence {
        /// Where the evidence is.
        stream: StreamName,
        /// Seconds until the outcome counts as unknown.
        look_after_s: u32,
        /// Seconds until the saga is parked.
        park_after_s: u32,
    },
}

/// Exponential, capped, with full jitter that is derived from the command's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all.
    pub attempts: u32,
    /// The longest first wait, in milliseconds.
    pub first_ms: u32,
    /// The longest wait.
    pub cap_ms: u32,
}

impl Retry {
    /// For doing: a few minutes in all.
    pub const DO: Self = Self { attempts: 12, first_ms: 500, cap_ms: 60_000 };
    /// For undoing, and for what has to go forwards: hours.
    pub const LONG: Self = Self { attempts: 40, first_ms: 500, cap_ms: 600_000 };

    /// When to try again after attempt `attempt`, made with `command_id`, failed; `None` if it was the last.
    #[must_use]
    pub fn next(&self, attempt: u32, command_id: Uuid, at: Timestamp) -> Option<Timestamp> {
        if attempt >= self.attempts {
            return None;
        }
        let doublings = attempt.saturating_sub(1).min(20);
        let longest = (u64::from(self.first_ms) << doublings).min(u64::from(self.cap_ms));
        let (_, low) = command_id.as_u64_pair();
        let wait = 1 + low % longest.max(1);
        let micros = i64::try_from(wait * 1_000).unwrap_or(i64::MAX);
        Some(Timestamp::from_micros(at.micros().saturating_add(micros)))
    }
}

impl Step {
    /// A step on the way forwards that its command's answer settles.
    #[must_use]
    pub fn new(name: &'static str, after: &'static [&'static str]) -> Self {
        Self {
            name,
            after,
            when: When::Forward,
            settles: Settles::ByCommand,
            undo: false,
            at_once: false,
            pivot: false,
            retry: Retry::DO,
            undo_retry: Retry::LONG,
        }
    }

    /// It can be undone.
    #[must_use]
    pub fn undoable(self) -> Self {
        Self { undo: true, ..self }
    }

    /// It can be undone, and that waits for nothing.
    #[must_use]
    pub fn undoable_at_once(self) -> Self {
        Self { undo: true, at_once: true, ..self }
    }

    /// From here on forwards only.
    #[must_use]
    pub fn pivot(self) -> Self {
        Self { pivot: true, retry: Retry::LONG, ..self }
    }

    /// It has to be done some time: it is tried for hours.
    #[must_use]
    pub fn patient(self) -> Self {
        Self { retry: Retry::LONG, ..self }
    }

    /// Run at another time.
    #[must_use]
    pub fn when(self, when: When) -> Self {
        Self { when, ..self }
    }

    /// Settled by what happens later in `stream`.
    #[must_use]
    pub fn by_evidence(self, stream: StreamName) -> Self {
        Self { settles: Settles::ByEvidence { stream, look_after_s: 60, park_after_s: 1_800 }, ..self }
    }

    /// How often this direction is tried.
    #[must_use]
    pub fn budget(&self, direction: Direction) -> Retry {
        match direction {
            Direction::Do => self.retry,
            Direction::Undo => self.undo_retry,
        }
    }
}

/// What follows from a proven *not done*.
#[derive(Clone, Debug, PartialEq)]
pub enum Then {
    /// It is as good as done, with this output.
    Done(Output),
    /// Retry later; when the budget is spent, park the saga.
    Retry,
    /// Retry when a [`Notice::Nudge`] says that the reason of the refusal has ended; no timer runs.
    Wait,
    /// Compensate the finished steps (past the pivot: park the saga).
    Unwind {
        /// A stable code.
        reason: String,
        /// The refusal's numbers.
        details: Option<Value>,
    },
    /// Park the saga now.
    Park {
        /// A stable code.
        reason: String,
    },
}

/// A reaction of a saga to an observed event.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A step's outcome is evident.
    Answer {
        /// The step.
        step: &'static str,
        /// Do or undo.
        direction: Direction,
        /// Only if it is this attempt that runs.
        attempt: Option<u32>,
        /// The version of the evidence in its stream.
        seen: Option<u64>,
        /// The outcome.
        outcome: StepOutcome,
    },
    /// The finished steps are to be compensated, unless the pivot was already requested.
    Unwind {
        /// A stable code.
        reason: &'static str,
        /// More about it.
        details: Option<Value>,
    },
    /// Remember it.
    Note {
        /// Its name.
        note: &'static str,
        /// What it is.
        value: Value,
    },
    /// Set or move a timer.
    SetTimer {
        /// Its name.
        timer: &'static str,
        /// When it fires.
        due_at: Timestamp,
    },
    /// Set or move a timer, from now.
    SetTimerIn {
        /// Its name.
        timer: &'static str,
        /// Seconds from now until it fires.
        after_s: u32,
    },
    /// What the step was refused for is over: try it again now.
    Nudge {
        /// The step.
        step: &'static str,
    },
}

/// What a command is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    /// The step.
    pub step: &'a str,
    /// Do or undo.
    pub direction: Direction,
    /// Which attempt.
    pub attempt: u32,
    /// When it was asked first.
    pub asked_at: Timestamp,
}
