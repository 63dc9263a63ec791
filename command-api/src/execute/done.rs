//! The outcome of a command, first or repeated. Everything in it is durable, except for dry runs.

use std::fmt;
use std::sync::Arc;

use domain::stream::StreamName;
use domain::time::Timestamp;
use domain::{Class, outcome};
use schemas::Stored;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::fold::State;
use super::plan::Planned;

/// The outcome of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It took effect.
    Applied,
    /// It was already so.
    NothingToDo,
    /// It was refused.
    Refused(Refused),
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What kind of no it is.
    pub class: Class,
    /// The stable kebab-case code.
    pub code: String,
    /// What a person reads.
    pub message: String,
    /// Its numbers.
    pub details: Map<String, Value>,
}

impl Refused {
    /// A refusal with the numbers of what serialises as an object; a `code` among them is left out.
    pub(super) fn new(class: Class, code: &str, message: String, numbers: &impl Serialize) -> Self {
        let mut details = match serde_json::to_value(numbers) {
            Ok(Value::Object(details)) => details,
            _ => Map::new(),
        };
        details.remove("code");
        Self { class, code: code.to_owned(), message, details }
    }
}

impl From<Refused> for outcome::Verdict {
    fn from(refused: Refused) -> Self {
        let Refused { class, code, message, details } = refused;
        Self::Refused { class, code, message, details }
    }
}

impl From<outcome::Verdict> for Verdict {
    fn from(verdict: outcome::Verdict) -> Self {
        match verdict {
            outcome::Verdict::NothingToDo => Self::NothingToDo,
            outcome::Verdict::Refused { class, code, message, details } => {
                Self::Refused(Refused { class, code, message, details })
            }
        }
    }
}

/// The outcome of a command.
#[derive(Clone)]
pub struct Done {
    /// The verdict.
    pub verdict: Verdict,
    /// The command.
    pub command_id: Uuid,
    /// The last position that it wrote; of a dry run, the end of the log.
    pub position: u64,
    /// When that was recorded.
    pub recorded_at: Timestamp,
    /// Whether this was answered before: to an earlier request, or to an equal one at the same time.
    pub replayed: bool,
    /// If it took effect: the streams that it wrote, and those that it only read for the caller, at those versions.
    /// Otherwise: the streams that it was decided on. In order of category and id.
    pub streams: Vec<(StreamName, u64)>,
    /// The events that a dry run would write.
    pub events: Vec<Planned>,
    pub(super) states: Vec<(StreamName, State)>,
}

impl Done {
    /// The version at which a stream is answered for.
    #[must_use]
    pub fn version(&self, stream: &StreamName) -> Option<u64> {
        self.streams.iter().find(|(name, _)| name == stream).map(|(_, version)| *version)
    }

    /// An aggregate's state at that version, if the plan asked to see it.
    #[must_use]
    pub fn state<A: Stored>(&self, stream: &StreamName) -> Option<Arc<A>> {
        let (_, state) = self.states.iter().find(|(name, _)| name == stream)?;
        Arc::clone(state).downcast().ok()
    }

    /// The first stream of an aggregate's category, with its version and state. A repeated placement learns the id of
    /// its order in this way.
    #[must_use]
    pub fn first<A: Stored>(&self) -> Option<(&StreamName, u64, Arc<A>)> {
        let (name, version) = self.streams.iter().find(|(name, _)| name.category == A::CATEGORY)?;
        Some((name, *version, self.state::<A>(name)?))
    }

    /// The stream that a command addressed, with its version and state; if it was not written, the first stream of its
    /// category, because the id in a repeated placement differs from the stored one. A batch may write to a second
    /// aggregate of the same category, and the order of the streams in it has no meaning.
    #[must_use]
    pub fn about<'a, A: Stored>(&'a self, stream: &'a StreamName) -> Option<(&'a StreamName, u64, Arc<A>)> {
        match self.version(stream).zip(self.state::<A>(stream)) {
            Some((version, state)) => Some((stream, version, state)),
            None => self.first(),
        }
    }

    /// The outcome of a command that is not answered from streams.
    pub(crate) fn nothing(command_id: Uuid) -> Self {
        Self {
            verdict: Verdict::NothingToDo,
            command_id,
            position: 0,
            recorded_at: Timestamp::default(),
            replayed: false,
            streams: Vec::new(),
            events: Vec::new(),
            states: Vec::new(),
        }
    }

    /// The refusal, if it was refused.
    #[must_use]
    pub fn refused(&self) -> Option<&Refused> {
        match &self.verdict {
            Verdict::Refused(refused) => Some(refused),
            _ => None,
        }
    }

    /// How it is counted.
    pub(super) fn label(&self) -> &'static str {
        match &self.verdict {
            _ if self.replayed => "replayed",
            Verdict::Applied => "applied",
            Verdict::NothingToDo => "nothing_to_do",
            Verdict::Refused(_) => "refused",
        }
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Done")
            .field("verdict", &self.verdict)
            .field("command_id", &self.command_id)
            .field("position", &self.position)
            .field("replayed", &self.replayed)
            .field("streams", &self.streams)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}
