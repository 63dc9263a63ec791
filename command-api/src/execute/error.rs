//! Why a command has no outcome. A refusal is an outcome and no error; what is unknown is never said to be *no*.

use std::time::Duration;

/// Why there is no outcome (yet).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The idempotency key stands for another request; nothing was written.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// An equal request is under way and took too long to wait for.
    #[error("an equal request is still being worked on")]
    InProgress,
    /// Too much is going on at once; nothing was written. The same request again may succeed.
    #[error("too many commands at once")]
    Busy {
        /// When to come back.
        retry_after: Duration,
    },
    /// The write may or may not be in the log; the same command id again tells.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
    /// The store takes no more commands; nothing was written.
    #[error("the store is closed")]
    Closed,
    /// The store did not take it; nothing was written.
    #[error("the store did not take it: {0}")]
    NotWritten(String),
    /// The store cannot be read.
    #[error("the store cannot be read: {0}")]
    Store(String),
    /// What is stored cannot be understood here.
    #[error("the stream {stream} cannot be read at version {version}: {reason}")]
    Unreadable {
        /// The stream.
        stream: String,
        /// The version of the event that cannot be understood.
        version: u64,
        /// Why.
        reason: String,
    },
    /// The plan is no plan: a bug in who made it.
    #[error("the command is badly put: {0}")]
    Plan(String),
    /// The task that did the work ended without an answer: a bug. Whether something was written is unknown.
    #[error("the command ended without an answer")]
    Lost,
}

impl Error {
    /// How it is counted.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::KeyReused => "key_reused",
            Self::InProgress => "in_progress",
            Self::Busy { .. } => "busy",
            Self::Unknown(_) | Self::Lost => "unknown",
            Self::Closed => "closed",
            Self::NotWritten(_) => "not_written",
            Self::Store(_) | Self::Unreadable { .. } | Self::Plan(_) => "failed",
        }
    }
}

impl From<event_store::Error> for Error {
    fn from(error: event_store::Error) -> Self {
        match error {
            event_store::Error::No(why) => Self::NotWritten(why),
            event_store::Error::Unknown(why) => Self::Unknown(why),
            event_store::Error::Overloaded => Self::Busy { retry_after: Duration::from_secs(1) },
            event_store::Error::Closed => Self::Closed,
            other => Self::Store(other.to_string()),
        }
    }
}
