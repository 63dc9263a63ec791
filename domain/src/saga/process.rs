//! What each kind of process declares, and what it reacts to. A process is its input with its rules; where it stands is
//! [`State`]. It never keeps anything that is not in its events.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::event::{After, Direction};
use super::state::State;
use super::step::{Ask, Notice, Output, Step, Then};
use crate::ids::PaymentId;
use crate::time::Timestamp;
use crate::{Command, Event, payment};

/// A kind of process, with the input of one.
pub trait Process: fmt::Debug + Send + Sync {
    /// Its steps, as they follow from the current state. A step that was sent once stays in the list.
    fn steps(&self, state: &State) -> Vec<Step>;

    /// The command for a step; the same one each time it is asked for the same attempt. `None` if what it needs is not there.
    fn command(&self, state: &State, ask: Ask<'_>) -> Option<Command>;

    /// Timers that are set when it starts.
    fn timers(&self) -> Vec<(&'static str, Timestamp)> {
        Vec::new()
    }

    /// What it makes of events of its correlation.
    fn listen(&self, _state: &State, _batch: &Batch, _notices: &mut Vec<Notice>) {}

    /// What follows from the answer to a command that settles its step and was not refused: nearly always that it is done.
    fn answered(&self, _state: &State, _asked: Answered<'_>) -> Then {
        Then::Done(Output::new())
    }

    /// What follows from a proven *not done*.
    fn refused(&self, _state: &State, _refused: Refused<'_>) -> Then {
        Then::Retry
    }

    /// What follows once a step was refused for the last time: the reason to unwind for; with `None` the saga is
    /// parked.
    fn exhausted(&self, _state: &State, _refused: Refused<'_>) -> Option<(String, Option<Value>)> {
        None
    }

    /// What follows from one of its own timers.
    fn fired(&self, _state: &State, _timer: &str, _notices: &mut Vec<Notice>) {}

    /// Whether it is over when nothing is left to do.
    fn complete(&self, _state: &State) -> bool {
        true
    }

    /// What it ends with if nothing was undone.
    fn outcome(&self, _state: &State) -> String {
        "done".into()
    }
}

/// An answer to a command that was not refused.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The step.
    pub step: &'a str,
    /// Do or undo.
    pub direction: Direction,
    /// Whether it was so already.
    pub nothing_to_do: bool,
    /// The answer.
    pub batch: &'a Batch,
}

/// A proven *not done*.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// The step.
    pub step: &'a str,
    /// Do or undo.
    pub direction: Direction,
    /// The refusal's code.
    pub code: &'a str,
    /// Its numbers.
    pub details: &'a Value,
    /// The payment's state, if the batch has it.
    pub payment: Option<&'a PaymentSeen>,
}

/// What a saga reacts to.
#[derive(Clone, Copy, Debug)]
pub enum Trigger<'a> {
    /// Something was recorded: the answer to one of its commands, or events of its correlation.
    Recorded(&'a Batch),
    /// A timer is due. Where the timer waits for an answer, what the stream of [`super::Saga::evidence`] holds comes with it.
    Due {
        /// The timer's name.
        timer: &'a str,
        /// When it was due.
        due_at: Timestamp,
        /// All events of that stream.
        evidence: Option<&'a Batch>,
    },
    /// A command cannot be delivered at all: nothing was done.
    Undeliverable {
        /// The command.
        command_id: Uuid,
        /// Why.
        detail: &'a str,
    },
}

impl Trigger<'_> {
    /// How a decision names it.
    #[must_use]
    pub fn after(&self) -> After {
        match *self {
            Self::Recorded(batch) => After::Command(batch.command_id),
            Self::Due { timer, due_at, .. } => After::Timer { timer: timer.to_owned(), due_at },
            Self::Undeliverable { command_id, .. } => After::Undeliverable(command_id),
        }
    }
}

/// Events that were recorded together, as far as they concern the saga.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The command that wrote them; nil for evidence that was looked up.
    pub command_id: Uuid,
    /// Some of them cannot be read: they answer no command.
    pub partial: bool,
    /// The events.
    pub events: Vec<Recorded>,
    /// Where the payment stands after them, if one of them is a payment's.
    pub payment: Option<PaymentSeen>,
}

/// An event in its place.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The stream's id within its category.
    pub stream: Arc<str>,
    /// Its version there.
    pub version: u64,
    /// The event.
    pub event: Event,
}

/// A payment at a version of its stream.
#[derive(Clone, Debug)]
pub struct PaymentSeen {
    /// Which.
    pub payment_id: PaymentId,
    /// The version.
    pub version: u64,
    /// The fold up to there.
    pub payment: Arc<payment::Payment>,
}

/// An event that may start a saga.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The stream's id within its category.
    pub stream: &'a str,
    /// Its version there.
    pub version: u64,
    /// The event's id.
    pub event_id: Uuid,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The event.
    pub event: &'a Event,
}
