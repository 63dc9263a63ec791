//! The events of sagas: one vocabulary for all kinds. A saga reacts to one thing with one decision, which is one event of its
//! stream and holds every fact that follows. Decisions are stored permanently: add facts, never change one.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::time::Timestamp;

/// Everything that follows for a saga from one thing that happened. What was answered is said here and not derived from
/// the stream that answers: a saga is folded from its own stream alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// What it follows from.
    pub after: After,
    /// When it was decided, by the store's clock; what is asked for is asked for at this moment.
    pub at: Timestamp,
    /// What follows, in order; at least one.
    pub facts: Vec<Fact>,
}

impl Decision {
    /// A fact that no reaction of the saga led to.
    #[must_use]
    pub fn intervention(at: Timestamp, fact: Fact) -> Self {
        Self { after: After::Intervention, at, facts: vec![fact] }
    }

    /// The start, if the saga begins with this.
    #[must_use]
    pub fn started(&self) -> Option<&Started> {
        match self.facts.first() {
            Some(Fact::Started(started)) => Some(started),
            _ => None,
        }
    }

    /// The end, if the saga ends with this.
    #[must_use]
    pub fn ended(&self) -> Option<&Ended> {
        match self.facts.last() {
            Some(Fact::Ended(ended)) => Some(ended),
            _ => None,
        }
    }

    /// Whether it is parked after this, if this changes it.
    #[must_use]
    pub fn parks(&self) -> Option<bool> {
        self.facts.iter().rev().find_map(|fact| match fact {
            Fact::Parked(_) => Some(true),
            Fact::Resumed(_) => Some(false),
            _ => None,
        })
    }

    /// The commands that are asked for, in order.
    pub fn asked(&self) -> impl Iterator<Item = Uuid> {
        self.facts.iter().filter_map(|fact| match fact {
            Fact::StepAsked(asked) => Some(asked.command_id),
            _ => None,
        })
    }
}

/// What a decision follows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// The events of a command: the answer to one of the saga's, or events of its correlation.
    Command(Uuid),
    /// A timer of the saga.
    Timer {
        /// Its name within the saga.
        timer: String,
        /// When it was due.
        due_at: Timestamp,
    },
    /// A command of the saga that cannot be delivered.
    Undeliverable(Uuid),
    /// No reaction of the saga: a person, or the runner, wrote it.
    Intervention,
}

/// A fact about a saga.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Fact {
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

/// It begins: the first fact of its stream.
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

/// A service is asked for a step at the moment of the decision. Sent again with the same id until it is answered.
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

/// What came of a step.
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

/// The finished steps are compensated, in reverse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unwinding {
    /// A stable code: `out_of_stock`, `payment_declined`, `expired`, `cancelled` …
    pub reason: String,
    /// The refusal's numbers.
    pub details: Option<Value>,
}

/// Something happened that a later decision needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Noted {
    /// What the process calls it.
    pub note: String,
    /// What it needs of it.
    pub value: Value,
}

/// A timer is set; one of the same name is moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimerSet {
    /// Its name within the saga.
    pub timer: String,
    /// When it fires, by the store's clock.
    pub due_at: Timestamp,
}

/// A timer is cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimerCancelled {
    /// Its name within the saga.
    pub timer: String,
}

/// The timer fired that the decision follows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimerFired {
    /// Its name within the saga.
    pub timer: String,
    /// When it was due.
    pub due_at: Timestamp,
}

/// It cannot continue by itself; a person or late evidence has to help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parked {
    /// A stable code.
    pub reason: String,
    /// What a person reads: the last error, the attempts.
    pub detail: String,
    /// The step that it hangs at.
    pub step: Option<String>,
}

/// Evidence came or a person helped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resumed {
    /// Why.
    pub reason: String,
}

/// It ends; its timers are cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ended {
    /// `done`, or the reason for which it was undone.
    pub outcome: String,
    /// Whether it was undone.
    pub undone: bool,
}
