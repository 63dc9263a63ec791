//! The outcome of a command that changed nothing: recorded, so that the answer stays the answer, and sagas and auditors can read it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::aggregate::Class;

/// The verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It was refused.
    Refused {
        /// What kind of no it was.
        class: Class,
        /// The stable kebab-case code.
        code: String,
        /// What a person reads.
        message: String,
        /// The numbers of the refusal.
        details: Map<String, Value>,
    },
    /// It was already so.
    NothingToDo,
}

/// A stream as it was when the command was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestsOn {
    /// The stream's category.
    pub category: String,
    /// The stream's id.
    pub id: String,
    /// Its version, 0 if it had no event.
    pub version: u64,
}

/// `CommandSettled`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Settled {
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The streams that it was decided on, in order of category; the first five hundred of them.
    pub rests_on: Vec<RestsOn>,
}

/// A fact about a command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Event {
    Settled(Settled),
}
