//! Money: integer minor units of one currency. The only place that rounds; a part is never computed twice.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An amount in minor units (pence, cents; yen for JPY). Between -10^15 and 10^15, which the edge sees to.
pub type Minor = i64;

/// The largest amount that any command may name or lead to.
pub const LARGEST: Minor = 1_000_000_000_000_000;

/// An ISO 4217 currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(iso_currency::Currency);

/// A text that is no currency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a currency: use an ISO 4217 code such as GBP")]
pub struct NotACurrency(String);

impl Currency {
    /// Pounds sterling.
    pub const GBP: Self = Self(iso_currency::Currency::GBP);
    /// Euros.
    pub const EUR: Self = Self(iso_currency::Currency::EUR);
    /// Yen, which have no minor unit.
    pub const JPY: Self = Self(iso_currency::Currency::JPY);
    /// Kuwaiti dinars, which have three decimals.
    pub const KWD: Self = Self(iso_currency::Currency::KWD);

    /// Its three letters.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many decimals its minor unit stands for: 2 for GBP, 0 for JPY, 3 for KWD.
    #[must_use]
    pub fn exponent(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

impl Default for Currency {
    fn default() -> Self {
        Self::GBP
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = NotACurrency;

    fn from_str(text: &str) -> Result<Self, NotACurrency> {
        iso_currency::Currency::from_code(text)
            .map(Self)
            .ok_or_else(|| NotACurrency(text.chars().take(16).collect()))
    }
}

impl TryFrom<String> for Currency {
    type Error = NotACurrency;

    fn try_from(text: String) -> Result<Self, NotACurrency> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

impl JsonSchema for Currency {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[A-Z]{3}$" })
    }
}

/// An amount with its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Money {
    /// In minor units.
    pub amount: Minor,
    /// Of this currency.
    pub currency: Currency,
}

/// How halves are rounded. Recorded with each order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the even neighbour (the default): no drift over many lines.
    #[default]
    HalfEven,
    /// Away from zero.
    HalfUp,
}
