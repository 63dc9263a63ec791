//! The events of sagas: one vocabulary for all kinds. They are stored permanently: add events, never change one.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::time::Timestamp;

/// A fact about a saga.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Event {
    Started(Started),
    StepAsked(StepAsked),
    StepAnswered(StepAnswered),
    Unwinding(Unwinding),
    Noted(Noted),
    TimerSet(TimerSet),
    TimerCancelled(TimerCancelled),
    TimerFired(TimerFired),
    Parked(Parked),
    Resumed(Resumed),
    Ended(Ended),
}

/// `SagaStarted`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Started {
    /// Which process: `checkout`, `fulfilment` …
    pub kind: String,
    /// The version of its definition.
    pub definition: u32,
    /// The subject's id.
    pub subject: Uuid,
    /// The order or return that the work belongs to.
    pub correlation: Uuid,
    /// What the process needs to know, as its kind defines it.
    pub input: Value,
}

/// Without the input: a token of a means of payment may be in it.
impl fmt::Debug for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, definition, subject, correlation, input: _ } = self;
        let mut told = f.debug_struct("Started");
        told.field("kind", kind).field("definition", definition).field("subject", subject);
        told.field("correlation", correlation).finish_non_exhaustive()
    }
}

impl Started {
    /// A fingerprint of all that the start says, kept by [`super::State`]: two starts of one saga are the same start if these are equal.
    #[must_use]
    pub fn fingerprint(&self) -> Uuid {
        // Maps of JSON are sorted by key, so that equal values have equal texts.
        let content = format!("{}/{}/{}/{}", self.kind, self.definition, self.correlation, self.input);
        Uuid::new_v5(&self.subject, content.as_bytes())
    }
}

/// Forwards or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Do it.
    Do,
    /// Undo it.
    Undo,
}

/// `SagaStepAsked`: a service is asked for a step. Sent again with the same id until it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepAsked {
    /// The step.
    pub step: String,
    /// Do or undo.
    pub direction: Direction,
    /// Which attempt, from 1; grows only after a proven *not done*.
    pub attempt: u32,
    /// The command's id: derived from tenant, saga, step, direction and attempt.
    pub command_id: Uuid,
    /// When it was asked, so that the same command can be made again.
    pub asked_at: Timestamp,
    /// When to look for the answer elsewhere if none has come: a timer that the answer cancels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_by: Option<Timestamp>,
}

/// The outcome of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum StepOutcome {
    /// It is done; with what later steps need of it.
    Done {
        /// Named values.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        output: BTreeMap<String, Value>,
    },
    /// It is certainly not done.
    NotDone {
        /// The refusal's code.
        code: String,
        /// The refusal's numbers.
        details: Value,
    },
    /// The outcome is unknown and is being queried.
    Unknown {
        /// What is known about the cause.
        detail: String,
    },
}

/// `SagaStepAnswered`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepAnswered {
    /// The step.
    pub step: String,
    /// Do or undo.
    pub direction: Direction,
    /// Which attempt.
    pub attempt: u32,
    /// For evidence out of another stream: that stream's version there, so that older evidence is not taken for newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<u64>,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: StepOutcome,
}

/// `SagaUnwinding`: the finished steps are compensated, in reverse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unwinding {
    /// A stable code: `out_of_stock`, `payment_declined`, `expired`, `cancelled` …
    pub reason: String,
    /// The refusal's numbers.
    pub details: Option<Value>,
}

/// `SagaNoted`: something happened that a later decision needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Noted {
    /// What the process calls it.
    pub note: String,
    /// What it needs of it.
    pub value: Value,
}

/// `SagaTimerSet`; a timer of the same name is moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimerSet {
    /// Its name within the saga.
    pub timer: String,
    /// When it fires, by the store's clock.
    pub due_at: Timestamp,
}

/// `SagaTimerCancelled`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimerCancelled {
    /// Its name within the saga.
    pub timer: String,
}

/// `SagaTimerFired`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimerFired {
    /// Its name within the saga.
    pub timer: String,
    /// When it was due.
    pub due_at: Timestamp,
}

/// `SagaParked`: it cannot continue by itself; a person or late evidence has to help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parked {
    /// A stable code.
    pub reason: String,
    /// What a person reads: the last error, the attempts.
    pub detail: String,
    /// The step that it hangs at.
    pub step: Option<String>,
}

/// `SagaResumed`: evidence came or a person helped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resumed {
    /// Why.
    pub reason: String,
}

/// `SagaEnded`; its timers are cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ended {
    /// `done`, or the reason for which it was undone.
    pub outcome: String,
    /// Whether it was undone.
    pub undone: bool,
}
