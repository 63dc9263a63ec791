//! The provider's token for a means of payment. Any holder of the token can pay with it: it is stored and sent to the
//! provider, and printed output never shows it.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Replaces a token where it is shown.
pub const MASK: &str = "***";

/// A token. `Debug` and `Display` show [`MASK`].
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Instrument(String);

impl Instrument {
    /// The token itself: for the provider, never for people.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.0
    }
}

impl From<String> for Instrument {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl From<&str> for Instrument {
    fn from(token: &str) -> Self {
        Self(token.to_owned())
    }
}

impl fmt::Debug for Instrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Instrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Instrument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As any type: if asked for a string, a format may report the found type itself.
        deserializer.deserialize_any(Text)
    }
}

/// Takes a text. Of anything else it does not repeat what it is: a number may be the number of a card.
struct Text;

impl Text {
    fn not_a<T, E: Error>(kind: &'static str) -> Result<T, E> {
        Err(E::invalid_type(Unexpected::Other(kind), &Self))
    }
}

impl Visitor<'_> for Text {
    type Value = Instrument;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text as the instrument")
    }

    fn visit_str<E: Error>(self, token: &str) -> Result<Instrument, E> {
        Ok(token.into())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Instrument, E> {
        Self::not_a("a boolean")
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Instrument, E> {
        Self::not_a("a number")
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Instrument, E> {
        Self::not_a("a number")
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Instrument, E> {
        Self::not_a("a number")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_written_and_never_printed() {
        let token = Instrument::from("tok_canary");
        assert_eq!(format!("{token} {token:?} {:?}", Some(&token)), "*** *** Some(***)");
        assert_eq!(serde_json::to_string(&token).ok().as_deref(), Some("\"tok_canary\""));
        assert_eq!(serde_json::from_str::<Instrument>("\"tok_canary\"").ok(), Some(token));
        for given in ["4111111111111111", "-4111", "4111.5", "[\"4111\"]", "{\"4111\": 1}", "true"] {
            let error = serde_json::from_str::<Instrument>(given).map_err(|error| error.to_string());
            let why = error.err().unwrap_or_default();
            assert!(why.contains("instrument") && !why.contains("4111"), "{why}");
        }
    }
}
