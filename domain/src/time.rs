//! Instants, to the microsecond: what both databases keep. Instants come in from outside; nothing here reads a clock.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch; RFC 3339 in UTC where it is written as text. Between the years 1970 and 9999.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

/// The last instant that can be written: 9999-12-31T23:59:59.999999Z.
const LAST: i64 = 253_402_300_799_999_999;

/// A text that is no instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an instant: use RFC 3339 such as 2011-09-06T16:57:00Z, between 1970 and 9999")]
pub struct NotAnInstant(String);

impl Timestamp {
    /// From microseconds since the Unix epoch, clamped to 1970 to 9999.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(if micros < 0 {
            0
        } else if micros > LAST {
            LAST
        } else {
            micros
        })
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This instant and `seconds` more, at most the last one.
    #[must_use]
    pub const fn plus_seconds(self, seconds: u32) -> Self {
        Self::from_micros(self.0.saturating_add(seconds as i64 * 1_000_000))
    }

    /// This instant and `seconds` less, at least the first one.
    #[must_use]
    pub const fn minus_seconds(self, seconds: u32) -> Self {
        Self::from_micros(self.0.saturating_sub(seconds as i64 * 1_000_000))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = DateTime::from_timestamp_micros(self.0).unwrap_or_default();
        f.write_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl FromStr for Timestamp {
    type Err = NotAnInstant;

    fn from_str(text: &str) -> Result<Self, NotAnInstant> {
        let micros = DateTime::parse_from_rfc3339(text).map_err(|_| NotAnInstant(text.to_owned()))?.timestamp_micros();
        if (0..=LAST).contains(&micros) { Ok(Self(micros)) } else { Err(NotAnInstant(text.to_owned())) }
    }
}

impl TryFrom<String> for Timestamp {
    type Error = NotAnInstant;

    fn try_from(text: String) -> Result<Self, NotAnInstant> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(at: Timestamp) -> Self {
        at.to_string()
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}
