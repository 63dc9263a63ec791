//! Why stock says no.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{LocationId, Sku};

/// How much of a SKU was wanted and how much there was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shortfall {
    /// The SKU.
    pub sku: Sku,
    /// Where.
    pub location: LocationId,
    /// Units wanted.
    pub wanted: u32,
    /// Units that could be promised.
    pub available: u32,
}

/// Why stock says no. Serialises with its kebab-case `code` and its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Refusal {
    /// There is not enough.
    #[error("{} of {} are wanted and {} can be promised", .0.wanted, .0.sku, .0.available)]
    OutOfStock(Shortfall),
}

impl crate::Refusal for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::OutOfStock(_) => "out-of-stock",
        }
    }

    fn class(&self) -> crate::Class {
        crate::Class::Conflict
    }
}
