//! Fields about a person, which can be erased without touching the rest of history.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A personal field: known, or erased permanently. Stored in plain text until erasure is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Personal<T> {
    /// It is known.
    Known(T),
    /// It was erased.
    Erased,
}

impl<T> Personal<T> {
    /// The value, unless it was erased.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Erased => None,
        }
    }
}
