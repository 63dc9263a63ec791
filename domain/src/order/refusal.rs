//! Why an order says no.

use serde::{Deserialize, Serialize};

use crate::aggregate::Class;
use crate::order::state::Status;

/// Why an order says no. Serialises with its kebab-case `code` and its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Refusal {
    /// There is none.
    #[error("there is no such order")]
    NotFound,
    /// Its stage does not allow it.
    #[error("the order is {status:?} and does not allow that")]
    OrderState {
        /// Its stage.
        status: Status,
    },
}

impl crate::Refusal for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::OrderState { .. } => "order-state",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NotFound => Class::Absent,
            Self::OrderState { .. } => Class::Conflict,
        }
    }
}
