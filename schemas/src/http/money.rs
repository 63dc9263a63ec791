//! Money on the wire: minor units with their currency. Never a floating-point number.

use domain::money::{Currency, Minor};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An amount in minor units of a currency: `{"amount": 1234, "currency": "GBP"}` is £12.34.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Minor units: pence, cents; yen for JPY.
    #[schema(
        minimum = -1_000_000_000_000_000_i64,
        maximum = 1_000_000_000_000_000_i64,
        example = 1234
    )]
    pub amount: i64,
    /// ISO 4217.
    #[schema(value_type = String, pattern = "^[A-Z]{3}$", example = "GBP")]
    pub currency: Currency,
}

impl Money {
    /// So much of it.
    #[must_use]
    pub fn new(amount: Minor, currency: Currency) -> Self {
        Self { amount, currency }
    }
}
