//! Why a payment says no.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::abilities::Ability;
use super::event::{Verb, Verdict};
use crate::aggregate::Class;
use crate::money::Minor;
use crate::payment::state::Stage;
use crate::time::Timestamp;

/// Why a payment says no. Serialises with its kebab-case `code` and its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Refusal {
    /// There is none.
    #[error("there is no such payment")]
    NotFound,
    /// Its stage does not allow it.
    #[error("the payment is {stage} and does not allow that")]
    PaymentState {
        /// Its stage.
        stage: Stage,
    },
    /// What came of an earlier request has to be known first.
    #[error("the provider has not said what came of an earlier request: the payment is {stage}")]
    PaymentUnknown {
        /// Its stage.
        stage: Stage,
    },
    /// More is to be taken than is held.
    #[error("{wanted} are to be taken and {capturable} can be")]
    ExceedsAuthorised {
        /// What is to be taken.
        wanted: Minor,
        /// What can be.
        capturable: Minor,
        /// What the provider held in all.
        authorised: Minor,
        /// What is taken.
        captured: Minor,
        /// What is asked to be taken and not settled yet.
        pending: Minor,
        /// What was let go.
        voided: Minor,
    },
    /// The hold on the money has ended.
    #[error("the hold on the money has ended")]
    AuthorisationExpired {
        /// What was let go.
        expired: Minor,
    },
    /// The gateway of the authorisation does not do that.
    #[error("the gateway does not {ability}")]
    GatewayCannot {
        /// What it would have to be able to.
        ability: Ability,
    },
    /// More is to be given back than is left of what was taken.
    #[error("{wanted} are to be given back and {refundable} can be")]
    ExceedsRefundable {
        /// What is to be given back.
        wanted: Minor,
        /// What can be.
        refundable: Minor,
        /// What is taken.
        captured: Minor,
        /// What is given back.
        refunded: Minor,
        /// What is asked to be given back and not settled yet.
        pending: Minor,
    },
    /// An amount is not above zero, or above the largest.
    #[error("{amount} is not an amount that can be moved")]
    InvalidAmount {
        /// The amount.
        amount: Minor,
    },
    /// The same id with other content: an id belongs to what was asked with it first.
    #[error("that id was used to ask for something else")]
    IntentChanged,
    /// It has as many of these as it may have.
    #[error("a payment has at most {most} {what}")]
    TooMany {
        /// Of what.
        what: Part,
        /// The most there may be.
        most: u32,
    },
    /// It is not time for that yet.
    #[error("it is not time for that before {at}")]
    TooEarly {
        /// When it is.
        at: Timestamp,
    },
    /// An attempt that is not the next one.
    #[error("attempt {wanted} is asked for and {newest} is the newest")]
    AttemptSkipped {
        /// The attempt asked for.
        wanted: u32,
        /// The newest there is.
        newest: u32,
    },
    /// An outcome of something that was never asked.
    #[error("the provider was never asked for that")]
    NeverAsked {
        /// What it is said to be the outcome of.
        asked: Verb,
    },
    /// The provider speaks of another amount than it was asked for.
    #[error("{asked} were asked for and the outcome speaks of {told}")]
    AmountMismatch {
        /// What was asked for.
        asked: Minor,
        /// What it speaks of.
        told: Minor,
    },
    /// The outcome is known already, and it is the other one. A person has to look.
    #[error("the outcome is settled already, otherwise")]
    OutcomeSettled {
        /// What it is.
        settled: Verdict,
    },
    /// No evidence is given.
    #[error("an unknown outcome is resolved by evidence only")]
    EvidenceMissing,
    /// The provider's reference is not given.
    #[error("what the provider did has a reference, which is needed later")]
    ProviderRefMissing,
}

/// What belongs to a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// A capture that was asked for by hand.
    Capture,
    /// A raise of its authorisation.
    Raise,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capture => "captures that are asked for by hand",
            Self::Raise => "raises of its authorisation",
        })
    }
}

impl crate::Refusal for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::PaymentState { .. } => "payment-state",
            Self::PaymentUnknown { .. } => "payment-unknown",
            Self::ExceedsAuthorised { .. } => "exceeds-authorised",
            Self::AuthorisationExpired { .. } => "authorisation-expired",
            Self::GatewayCannot { .. } => "gateway-cannot",
            Self::ExceedsRefundable { .. } => "exceeds-refundable",
            Self::InvalidAmount { .. } => "invalid-amount",
            Self::IntentChanged => "intent-changed",
            Self::TooMany { .. } => "too-many",
            Self::TooEarly { .. } => "too-early",
            Self::AttemptSkipped { .. } => "attempt-skipped",
            Self::NeverAsked { .. } => "never-asked",
            Self::AmountMismatch { .. } => "amount-mismatch",
            Self::OutcomeSettled { .. } => "outcome-settled",
            Self::EvidenceMissing => "evidence-missing",
            Self::ProviderRefMissing => "provider-ref-missing",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NotFound => Class::Absent,
            Self::InvalidAmount { .. } | Self::IntentChanged | Self::EvidenceMissing | Self::ProviderRefMissing => {
                Class::Invalid
            }
            Self::PaymentState { .. }
            | Self::PaymentUnknown { .. }
            | Self::ExceedsAuthorised { .. }
            | Self::AuthorisationExpired { .. }
            | Self::GatewayCannot { .. }
            | Self::ExceedsRefundable { .. }
            | Self::TooMany { .. }
            | Self::TooEarly { .. }
            | Self::AttemptSkipped { .. }
            | Self::NeverAsked { .. }
            | Self::AmountMismatch { .. }
            | Self::OutcomeSettled { .. } => Class::Conflict,
        }
    }
}
