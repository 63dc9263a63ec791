//! What can have happened to an order's money: refunds, payments, and what its payments report.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::LineValue;
use crate::ids::{CancellationId, CaptureId, EditId, PaymentId, RaiseId, RefundId, ReturnId, ShipmentId};
use crate::instrument::Instrument;
use crate::money::Minor;
use crate::order::state::RefundPart;
use crate::payment::abilities::Abilities;
use crate::payment::event::OnExpiry;
use crate::stored::is_default;
use crate::time::Timestamp;

/// What of an amount is moved at which payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentShare {
    /// The payment.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Minor,
}

/// `RefundGranted`: the customer gets this back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefundGranted {
    /// The refund.
    pub refund_id: RefundId,
    /// How often it was granted, this time included: once more after a provider would not pay it.
    #[serde(default = "once")]
    pub attempt: u32,
    /// How much.
    pub amount: Minor,
    /// Out of which payments, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PaymentShare>,
    /// For which lines, if for lines.
    pub lines: Vec<LineValue>,
    /// For shipping charges.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shipping: Minor,
    /// Whether somebody granted it; otherwise it follows from what happened to the order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
    /// The return that it follows from, if it follows from one.
    pub return_id: Option<ReturnId>,
    /// The cancellation that it follows from, if it follows from one.
    pub cancellation_id: Option<CancellationId>,
    /// The edit that it follows from, if it follows from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit_id: Option<EditId>,
    /// The shipment whose loss it follows from, if it follows from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipment_id: Option<ShipmentId>,
    /// Why.
    pub reason: String,
    /// A fingerprint of what was asked for: the same id with something else is another wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Uuid>,
}

fn once() -> u32 {
    1
}

/// `RefundDeclined`: the provider will not pay this part of a refund. It is not granted any more, and can be granted again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefundDeclined {
    /// The refund.
    pub refund_id: RefundId,
    /// The payment that it was to come out of.
    pub payment_id: PaymentId,
    /// The refund as that payment knows it: a refund that is granted again may come out of one payment in two parts.
    pub at_payment: RefundId,
    /// The provider's code.
    pub code: String,
}

impl RefundDeclined {
    /// Whether it is about this part.
    #[must_use]
    pub fn is_of(&self, part: &RefundPart) -> bool {
        part.payment_id == self.payment_id && part.at_payment == self.at_payment
    }
}

/// `RefundPaid`: somebody has given back by hand what was to come out of a payment that no provider made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefundPaid {
    /// The refund.
    pub refund_id: RefundId,
    /// How it can be found: the number of a transfer, say.
    pub reference: String,
}

/// `RefundWithdrawn`: what of a refund was still owed by hand is not granted any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefundWithdrawn {
    /// The refund.
    pub refund_id: RefundId,
    /// Why.
    pub reason: String,
}

/// How money comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Means {
    /// Through the payment provider.
    Provider {
        /// The provider's token; never a card number.
        #[schemars(with = "String")]
        instrument: Instrument,
    },
    /// Another way: cash, a transfer, a gift card. It is there as soon as it is recorded, and goes back by hand.
    External {
        /// How it can be found.
        reference: String,
    },
}

/// Why a payment was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Added {
    /// Somebody pays, once more or another way.
    ByHand,
    /// An edit made the order worth more.
    Edit,
    /// What another payment holds ends soon.
    Renewal,
}

/// `PaymentAdded`: one more payment of the order. Through the provider it is asked for from here on; another way it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentAdded {
    /// The payment.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Minor,
    /// How it comes.
    #[serde(flatten)]
    pub means: Means,
    /// Why.
    pub added: Added,
    /// The payment that it takes the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<PaymentId>,
    /// A fingerprint of what was asked for: the same id with something else is another wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Uuid>,
}

/// `PaymentReleased`: somebody voids what a payment holds, but for what is to be kept. The order counts on no more than that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentReleased {
    /// The payment.
    pub payment_id: PaymentId,
    /// How much of what is held stays.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keep: Minor,
    /// The version of the payment's stream before the void.
    pub payment_version: u64,
}

/// `SurplusReleased`: more is held than the order will take. Of each payment that is named, no more than this is held on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SurplusReleased {
    /// The payments, each with what of it is still needed.
    pub keep: Vec<PaymentShare>,
}

/// Where an order's money stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Nothing is held or taken.
    #[default]
    None,
    /// Money is held.
    Authorised,
    /// Some of it is taken.
    PartCaptured,
    /// All of it is taken.
    Captured,
    /// Some of what was taken is given back.
    PartRefunded,
    /// All of what was taken is given back.
    Refunded,
    /// The hold on the money was given up.
    Voided,
    /// The means of payment was declined.
    Declined,
    /// The provider did not say; being asked about.
    Unknown,
}

/// `PaymentRecorded`: where a payment stands. An order cannot read a payment's stream (payments may live elsewhere), yet how much can
/// be shipped and refunded is its own decision: hence this fact on its own stream, one for each fact of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentRecorded {
    /// The payment.
    pub payment_id: PaymentId,
    /// The version of the payment's stream that the sums are of; sums of an older one never follow those of a newer one.
    pub payment_version: u64,
    /// Where it stands.
    pub status: PaymentStatus,
    /// Held at the provider in all.
    pub authorised: Minor,
    /// Taken in all.
    pub captured: Minor,
    /// Given back in all.
    pub refunded: Minor,
    /// Asked to be given back and not settled yet.
    pub refund_pending: Minor,
    /// Let go without being taken.
    #[serde(default)]
    pub voided: Minor,
    /// What stays held once a void that is under way or waits is done; `None` if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeps: Option<Minor>,
    /// Until when the provider lets what is held be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture_before: Option<Timestamp>,
    /// What the gateway can do with it, if it says so; everything if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abilities: Option<Abilities>,
    /// What happened to the payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact: Option<PaymentFact>,
}

/// What happened to a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentFact {
    /// The version of the payment's stream that it has. Each is told once.
    pub version: u64,
    /// What it was.
    #[serde(flatten)]
    pub what: Happened,
}

/// What can have happened to a payment, as far as an order has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "happened", rename_all = "snake_case")]
pub enum Happened {
    /// Money is held.
    Authorised,
    /// It is not.
    Declined {
        /// The provider's code.
        code: String,
    },
    /// More is held.
    Raised {
        /// The raise.
        raise_id: RaiseId,
    },
    /// No more is, surely.
    RaiseFailed {
        /// The raise.
        raise_id: RaiseId,
        /// The provider's code.
        code: String,
    },
    /// What is held can soon not be taken any more.
    Ending {
        /// Which end.
        capture_before: Timestamp,
        /// How many seconds before the end that counts as soon.
        #[serde(default, skip_serializing_if = "is_default")]
        lead_s: u32,
        /// What shall follow where it is still needed.
        #[serde(default, skip_serializing_if = "OnExpiry::is_usual")]
        then: OnExpiry,
    },
    /// Some of it was taken.
    Captured {
        /// The capture.
        capture_id: CaptureId,
    },
    /// It was not, surely.
    CaptureFailed {
        /// The capture.
        capture_id: CaptureId,
        /// The provider's code.
        code: String,
        /// Whether it shall not be tried again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        last: bool,
    },
    /// Some of it, or all, was let go.
    Voided,
    /// It was not, surely.
    VoidFailed {
        /// The provider's code.
        code: String,
    },
    /// What was held ended.
    Expired,
    /// Some of what was taken was given back.
    Refunded {
        /// The refund.
        refund_id: RefundId,
    },
    /// It was not, surely.
    RefundFailed {
        /// The refund.
        refund_id: RefundId,
        /// The provider's code.
        code: String,
        /// Whether it shall not be tried again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        last: bool,
    },
    /// The provider did not say what came of something.
    Unknown {
        /// What was asked of it.
        asked: crate::payment::event::Verb,
    },
}
