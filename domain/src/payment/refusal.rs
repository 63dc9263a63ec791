//! Why a payment says no.

use serde::{Deserialize, Serialize};

use crate::aggregate::Class;
use crate::payment::state::Stage;

/// Why a payment says no. Serialises with its kebab-case `code` and its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Refusal {
    /// There is none.
    #[error("there is no such payment")]
    NotFound,
    /// Its stage does not allow it.
    #[error("the payment is {stage:?} and does not allow that")]
    PaymentState {
        /// Its stage.
        stage: Stage,
    },
}

impl crate::Refusal for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::PaymentState { .. } => "payment-state",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NotFound => Class::Absent,
            Self::PaymentState { .. } => Class::Conflict,
        }
    }
}
