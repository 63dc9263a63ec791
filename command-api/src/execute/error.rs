//! Why a command has no outcome. A refusal is an outcome and not an error; an unknown outcome is never reported as a
//! refusal.

use std::time::Duration;

use event_store::Class;
use streams::Unreadable;

/// Why there is no outcome (yet).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The idempotency key stands for another request; nothing was written.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// An equal request is under way and took too long to wait for.
    #[error("an equal request is still being worked on")]
    InProgress,
    /// Too many commands are in progress; nothing was written. The same request may succeed later.
    #[error("too many commands at once")]
    Busy {
        /// When to come back.
        retry_after: Duration,
    },
    /// The state that the plan depended on has changed; nothing was decided. A new plan may succeed.
    #[error("what the command was planned on has changed meanwhile")]
    Outdated,
    /// No saga waits for the outcome of the command, or none that can be read here; nothing was written.
    #[error("no saga waits for the command")]
    NotAsked,
    /// The write may or may not be in the log; repeating the same command id finds out.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
    /// The store accepts no more commands; nothing was written.
    #[error("the store is closed")]
    Closed,
    /// The store cannot take it now; nothing was written.
    #[error("the store cannot take it now: {0}")]
    NotWritten(String),
    /// Its batch is larger than the store ever accepts; nothing was written, and the same request will never succeed.
    #[error("what it would write is too large: {0}")]
    TooLarge(String),
    /// A record that it depends on is damaged; nothing was written.
    #[error("{0}")]
    LogDamaged(String),
    /// The store cannot be read now.
    #[error("the store cannot be read: {0}")]
    Store(String),
    /// A record of one of its streams cannot be read, and was not set aside; nothing was written.
    #[error("{0}")]
    Unreadable(Box<Unreadable>),
    /// The record of the command's outcome could not be read and was set aside: the outcome is lost.
    #[error("the outcome of the command, at position {position}, could not be read and was set aside")]
    OutcomeSetAside {
        /// The position of the outcome.
        position: u64,
    },
    /// The plan is invalid: a bug in its author's code.
    #[error("the command is badly put: {0}")]
    Plan(String),
    /// The task that did the work ended without an answer: a bug. Whether something was written is unknown.
    #[error("the command ended without an answer")]
    Lost,
}

impl Error {
    /// What it means for a retry with the same command id.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::KeyReused | Self::TooLarge(_) | Self::OutcomeSetAside { .. } | Self::Plan(_) => Class::Never,
            Self::InProgress
            | Self::Busy { .. }
            | Self::Outdated
            | Self::NotAsked
            | Self::Closed
            | Self::NotWritten(_)
            | Self::LogDamaged(_)
            | Self::Store(_)
            | Self::Unreadable(_) => Class::NotNow,
            Self::Unknown(_) | Self::Lost => Class::Unknown,
        }
    }

    /// How it is counted.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::KeyReused => "key_reused",
            Self::InProgress => "in_progress",
            Self::Busy { .. } | Self::Outdated => "busy",
            Self::NotAsked => "not_asked",
            Self::Unknown(_) | Self::Lost => "unknown",
            Self::Closed => "closed",
            Self::NotWritten(_) => "not_written",
            Self::TooLarge(_) => "too_large",
            Self::Unreadable(_) | Self::OutcomeSetAside { .. } => "unreadable",
            Self::LogDamaged(_) => "damaged",
            Self::Store(_) | Self::Plan(_) => "failed",
        }
    }
}

impl From<event_store::Error> for Error {
    fn from(error: event_store::Error) -> Self {
        match error {
            event_store::Error::Never(why) => Self::TooLarge(why),
            event_store::Error::NotNow(why) => Self::NotWritten(why),
            event_store::Error::Unknown(why) => Self::Unknown(why),
            event_store::Error::Overloaded => Self::Busy { retry_after: Duration::from_secs(1) },
            event_store::Error::Closed => Self::Closed,
            damaged @ event_store::Error::Damaged { .. } => Self::LogDamaged(damaged.to_string()),
            other => Self::Store(other.to_string()),
        }
    }
}

impl From<Box<Unreadable>> for Error {
    fn from(unreadable: Box<Unreadable>) -> Self {
        Self::Unreadable(unreadable)
    }
}

impl From<streams::Error> for Error {
    fn from(error: streams::Error) -> Self {
        match error {
            streams::Error::Store(error) => error.into(),
            streams::Error::Unreadable(unreadable) => unreadable.into(),
        }
    }
}
