//! What a gateway can do beyond holding money, taking it once, letting all of it go and giving it back.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the gateway of an authorisation can do with it. Told with the authorisation, since it may hang on the means of payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Abilities {
    /// It lets a part of what is held go.
    pub partial_void: bool,
    /// It takes what is held in several captures; otherwise the first one that is done lets the rest go.
    pub several_captures: bool,
    /// It holds more money on the same authorisation.
    pub raise: bool,
    /// It holds the same money anew when the end of its authorisation is near.
    pub reauthorise: bool,
}

impl Abilities {
    /// Those of a gateway that can everything; of an authorisation that does not say what its gateway can, too.
    pub const ALL: Self = Self { partial_void: true, several_captures: true, raise: true, reauthorise: true };
    /// Those of a gateway that takes what it holds at once or not at all.
    pub const NONE: Self = Self { partial_void: false, several_captures: false, raise: false, reauthorise: false };
}

/// An ability that something was refused for the lack of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ability {
    /// More than one capture of an authorisation.
    SeveralCaptures,
    /// More money on the same authorisation.
    Raise,
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SeveralCaptures => "take several captures of one authorisation",
            Self::Raise => "hold more on the same authorisation",
        })
    }
}
