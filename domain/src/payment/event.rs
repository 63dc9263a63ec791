//! What can have happened to a payment. Kept for ever: add a variant or an optional field, never bend one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::abilities::Abilities;
use crate::ids::{CaptureId, OrderId, PaymentId, RaiseId, RefundId};
use crate::instrument::Instrument;
use crate::money::{Minor, Money};
use crate::stored::is_default;
use crate::time::Timestamp;

/// A fact about a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Event {
    AuthorisationRequested(AuthorisationRequested),
    Authorised(Authorised),
    Declined(Declined),
    AuthorisationEnding(AuthorisationEnding),
    AuthorisationExpired(AuthorisationExpired),
    OutcomeUnknown(OutcomeUnknown),
    CaptureRequested(CaptureRequested),
    Captured(Captured),
    CaptureFailed(CaptureFailed),
    RemainderReleased(RemainderReleased),
    VoidWanted(VoidWanted),
    VoidRequested(VoidRequested),
    Voided(Voided),
    VoidFailed(VoidFailed),
    RaiseRequested(RaiseRequested),
    AuthorisationRaised(AuthorisationRaised),
    RaiseFailed(RaiseFailed),
    RefundRequested(RefundRequested),
    RefundSettled(RefundSettled),
    RefundFailed(RefundFailed),
    OutcomeResolved(OutcomeResolved),
}

/// What is asked of a provider. The order of the variants is the order in which a payment's stage shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Verb {
    /// Hold money.
    Authorise,
    /// Take money that is held.
    Capture {
        /// Which capture.
        capture_id: CaptureId,
    },
    /// Let held money go.
    Void,
    /// Hold more on the same authorisation.
    Raise {
        /// Which raise.
        raise_id: RaiseId,
    },
    /// Give taken money back.
    Refund {
        /// Which refund.
        refund_id: RefundId,
    },
}

/// `AuthorisationRequested`: money shall be held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthorisationRequested {
    /// The payment.
    pub payment_id: PaymentId,
    /// The order that it is for.
    pub order_id: OrderId,
    /// How much.
    pub amount: Money,
    /// The provider's token for the means of payment.
    #[schemars(with = "String")]
    pub instrument: Instrument,
    /// Which attempt, from 1; grows only after a proven *not done*.
    pub attempt: u32,
}

/// `PaymentAuthorised`: the provider holds the money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Authorised {
    /// Which attempt.
    pub attempt: u32,
    /// The provider's reference.
    pub provider_ref: String,
    /// How much it holds.
    pub amount: Minor,
    /// Until when it can be taken, if the provider says so.
    pub capture_before: Option<Timestamp>,
    /// What the gateway can do with it, if it says so; everything if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abilities: Option<Abilities>,
}

/// `PaymentDeclined`: the provider will not hold the money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Declined {
    /// Which attempt.
    pub attempt: u32,
    /// The provider's code.
    pub code: String,
    /// Whether it shall not be tried again: somebody said so with the evidence.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
}

/// What an order does about the end of an authorisation that it still needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExpiry {
    /// The same money is held again where the gateway can, and where it will not, the order is put on hold.
    #[default]
    Reauthorise,
    /// The order is put on hold.
    Hold,
}

impl OnExpiry {
    /// Whether it goes without saying.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// `AuthorisationEnding`: what is held can soon not be taken any more. Once for each end, and before it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthorisationEnding {
    /// Until when it can be taken.
    pub capture_before: Timestamp,
    /// How many seconds before that it counts as soon.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lead_s: u32,
    /// What shall follow where it is still needed.
    #[serde(default, skip_serializing_if = "OnExpiry::is_usual")]
    pub then: OnExpiry,
}

/// `AuthorisationExpired`: what was held and not taken is free again. Its end was put on record before, at the latest in the same batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthorisationExpired {
    /// How much was let go.
    pub amount: Minor,
}

/// `PaymentOutcomeUnknown`: the provider did not say whether it did it. Left by evidence only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutcomeUnknown {
    /// What was asked.
    #[serde(flatten)]
    pub verb: Verb,
    /// Which attempt.
    pub attempt: u32,
    /// What is known about why.
    pub detail: Option<String>,
}

/// `CaptureRequested`: money that is held shall be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaptureRequested {
    /// The capture.
    pub capture_id: CaptureId,
    /// How much.
    pub amount: Minor,
    /// Which attempt.
    pub attempt: u32,
    /// Whether somebody asked for it by hand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
}

/// `PaymentCaptured`: it is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Captured {
    /// The capture.
    pub capture_id: CaptureId,
    /// How much.
    pub amount: Minor,
    /// What the provider keeps of it, if it says so.
    pub fee: Option<Minor>,
    /// The provider's reference.
    pub provider_ref: String,
}

/// `CaptureFailed`: it was not taken, surely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaptureFailed {
    /// The capture.
    pub capture_id: CaptureId,
    /// The provider's code.
    pub code: String,
    /// Whether it shall not be tried again: somebody said so with the evidence.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
}

/// `RemainderReleased`: the gateway takes one capture of an authorisation, and let the rest go with the one that is done. In the same batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RemainderReleased {
    /// How much was let go.
    pub amount: Minor,
}

/// `VoidWanted`: no more than `keep` shall be held as soon as the request that is at the provider now is settled. Answered in the batch
/// that settles it: by `PaymentDeclined` (nothing is held), `VoidRequested` (more than that is), or `PaymentVoided` of 0 (no more is, or the
/// gateway cannot let a part go).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VoidWanted {
    /// How much may stay held.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keep: Minor,
}

/// `VoidRequested`: what is held, not taken and not needed shall be let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VoidRequested {
    /// How much shall be let go.
    pub amount: Minor,
    /// How much stays held.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keep: Minor,
    /// Which attempt.
    pub attempt: u32,
}

/// `PaymentVoided`: it is let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Voided {
    /// How much was let go.
    pub amount: Minor,
    /// How much is still held.
    #[serde(default, skip_serializing_if = "is_default")]
    pub kept: Minor,
}

/// `VoidFailed`: it was not let go, surely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VoidFailed {
    /// Which attempt.
    pub attempt: u32,
    /// The provider's code.
    pub code: String,
    /// Whether it shall not be tried again: somebody said so with the evidence.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
}

/// `RaiseRequested`: more shall be held on the same authorisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RaiseRequested {
    /// The raise.
    pub raise_id: RaiseId,
    /// How much more.
    pub amount: Minor,
    /// Which attempt.
    pub attempt: u32,
}

/// `AuthorisationRaised`: the provider holds more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthorisationRaised {
    /// The raise.
    pub raise_id: RaiseId,
    /// How much more.
    pub amount: Minor,
    /// The provider's reference.
    pub provider_ref: String,
    /// Until when all that is held can be taken, if that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture_before: Option<Timestamp>,
}

/// `RaiseFailed`: no more is held, surely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RaiseFailed {
    /// The raise.
    pub raise_id: RaiseId,
    /// The provider's code.
    pub code: String,
    /// Whether it shall not be tried again: somebody said so with the evidence.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
}

/// `RefundRequested`: taken money shall be given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefundRequested {
    /// The refund.
    pub refund_id: RefundId,
    /// How much.
    pub amount: Minor,
    /// Why.
    pub reason: String,
    /// Which attempt.
    pub attempt: u32,
}

/// `RefundSettled`: it is given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefundSettled {
    /// The refund.
    pub refund_id: RefundId,
    /// How much.
    pub amount: Minor,
    /// The provider's reference.
    pub provider_ref: String,
}

/// `RefundFailed`: it was not given back, surely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefundFailed {
    /// The refund.
    pub refund_id: RefundId,
    /// The provider's code.
    pub code: String,
    /// Whether it shall not be tried again: somebody said so with the evidence.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
}

/// What evidence says of an unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was done.
    Done,
    /// It was not done.
    NotDone,
}

/// `OutcomeResolved`: an unknown outcome is known by evidence; the event of the outcome itself follows in the same batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutcomeResolved {
    /// What was asked.
    #[serde(flatten)]
    pub verb: Verb,
    /// What came of it.
    pub verdict: Verdict,
    /// How that is known: the provider's answer to a query, an operator's reason.
    pub evidence: String,
}
