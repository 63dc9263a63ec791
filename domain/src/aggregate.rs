//! What every aggregate is: a state, and the two functions that are its whole rule book.

use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Something that decides: its state is the fold of its stream.
pub trait Aggregate:
    Clone + Default + fmt::Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The category of its streams.
    const CATEGORY: &'static str;
    /// The version of the fold. It grows whenever `evolve` or the state's shape changes, so that no snapshot of an older fold is used.
    const FOLD: u32;
    /// What can be asked of it.
    type Command: Clone + fmt::Debug + Send + Sync + 'static;
    /// What can have happened to it.
    type Event: Clone + fmt::Debug + PartialEq + Send + Sync + 'static;
    /// Why it can say no.
    type Refusal: Refusal;

    /// Answers every pair of state and command. An empty list means that it is already so.
    fn decide(&self, command: &Self::Command) -> Result<Vec<Self::Event>, Self::Refusal>;

    /// Whether the command is the first of its stream, unless it was sent before. Such a stream can be taken for empty without a look into
    /// the log, where the append requires that it has no event.
    #[must_use]
    fn begins(_command: &Self::Command) -> bool {
        false
    }

    /// Moves past one fact; history is never refused. In place, since an order of a thousand lines should not be moved about for each fact.
    fn evolve(&mut self, event: &Self::Event);
}

/// Why a command is refused. Serialises as an object whose `code` is [`Refusal::code`] and whose other fields are the numbers.
pub trait Refusal:
    fmt::Display + fmt::Debug + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The stable kebab-case code.
    fn code(&self) -> &'static str;
    /// What kind of no it is.
    fn class(&self) -> Class;
}

/// The kinds of refusal that callers distinguish. Recorded with the refusal, so that the answer never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// There is no such thing.
    Absent,
    /// The state does not allow it (now).
    Conflict,
    /// The command itself is invalid, in any state.
    Invalid,
    /// The caller named the version that it knows, and there is a newer one. Said by the executor, by no aggregate.
    Stale,
}
