//! Where a payment stands: the fold of its stream.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::Verb;
use crate::ids::{CaptureId, OrderId, PaymentId, RefundId};
use crate::money::{Currency, Minor};
use crate::time::Timestamp;

/// A payment; absent until an authorisation is requested.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "almost every payment that is looked at is there"
)]
pub enum Payment {
    /// There is none (yet).
    #[default]
    Absent,
    /// There is one.
    Requested(Requested),
}

/// How far a payment is (SAGAS part 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The provider is being asked to hold the money.
    #[default]
    Authorising,
    /// It did not say whether it does.
    AuthoriseUnknown,
    /// It does.
    Authorised,
    /// It does not.
    Declined,
    /// It is being asked to take some.
    Capturing,
    /// It did not say whether it has.
    CaptureUnknown,
    /// Some is taken.
    PartCaptured,
    /// All is taken.
    Captured,
    /// It is being asked to let go.
    Voiding,
    /// It did not say whether it has.
    VoidUnknown,
    /// It has, before anything was taken.
    Voided,
    /// The hold ended before anything was taken.
    Expired,
    /// It is being asked to give some back.
    Refunding,
    /// It did not say whether it has.
    RefundUnknown,
    /// Some of what was taken is given back.
    PartRefunded,
    /// All of it is.
    Refunded,
}

/// A payment that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requested {
    /// The payment.
    pub payment_id: PaymentId,
    /// The order that it is for.
    pub order_id: OrderId,
    /// The currency of every amount.
    pub currency: Currency,
    /// What was asked to be held.
    pub requested: Minor,
    /// The provider's token for the means of payment.
    pub instrument: String,
    /// How far it is.
    pub stage: Stage,
    /// What the provider held.
    pub authorised: Minor,
    /// What it took.
    pub captured: Minor,
    /// What it gave back.
    pub refunded: Minor,
    /// What it let go of without taking it: voided or expired.
    pub voided: Minor,
    /// Until when held money can be taken.
    pub capture_before: Option<Timestamp>,
    /// The provider's reference of the authorisation.
    pub provider_ref: Option<String>,
    /// Why it was declined.
    pub decline_code: Option<String>,
    /// The newest authorisation attempt.
    pub attempt: u32,
    /// The one request that is at the provider now.
    pub live: Option<Live>,
    /// Its captures.
    pub captures: BTreeMap<CaptureId, Capture>,
    /// Its refunds.
    pub refunds: BTreeMap<RefundId, Refund>,
    /// How many voids were tried.
    pub void_attempts: u32,
}

/// A request that is at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// What was asked.
    pub verb: Verb,
    /// Which attempt.
    pub attempt: u32,
    /// How much.
    pub amount: Minor,
    /// Whether the provider did not say what came of it.
    pub unknown: bool,
}

/// How far a capture or a refund is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It is at the provider, or waits for its turn.
    Requested,
    /// It is done.
    Done,
    /// It is not done, surely.
    Failed,
}

/// A capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// How much.
    pub amount: Minor,
    /// How far it is.
    pub progress: Progress,
    /// Which attempt.
    pub attempt: u32,
    /// Why it failed.
    pub code: Option<String>,
}

/// A refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// How much.
    pub amount: Minor,
    /// How far it is.
    pub progress: Progress,
    /// Which attempt.
    pub attempt: u32,
    /// Why it failed.
    pub code: Option<String>,
}
