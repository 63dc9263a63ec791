//! What can be asked of a payment.

use serde::{Deserialize, Serialize};

use super::abilities::Abilities;
use super::event::{OnExpiry, Verb, Verdict};
use crate::ids::{CaptureId, OrderId, PaymentId, RaiseId, RefundId};
use crate::instrument::Instrument;
use crate::money::{Minor, Money};
use crate::time::Timestamp;

/// A wish about a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Hold money. Again after a decline: a new attempt; again while it is under way or done: nothing.
    RequestAuthorisation {
        /// The payment.
        payment_id: PaymentId,
        /// The order that it is for.
        order_id: OrderId,
        /// How much.
        amount: Money,
        /// The provider's token for the means of payment.
        instrument: Instrument,
        /// Which attempt the caller means; a later one is made only after a proven *not done*.
        attempt: u32,
    },
    /// Take money that is held.
    Capture {
        /// The capture.
        capture_id: CaptureId,
        /// How much.
        amount: Minor,
    },
    /// (saga) Take what is held and nobody lets go of, at most `most`: somebody may have taken or let go of some by hand meanwhile.
    CaptureUpTo {
        /// The capture.
        capture_id: CaptureId,
        /// How much at the most.
        most: Minor,
    },
    /// (operator) Take money that is held, as [`Command::Capture`] does; at most 500 for each payment.
    CaptureByHand {
        /// The capture.
        capture_id: CaptureId,
        /// How much.
        amount: Minor,
    },
    /// Hold no more than `keep` of what is neither taken nor asked to be taken. While something that moves held money is at the provider
    /// the wish waits for that to be settled, and of several wishes the smallest counts; where no more than `keep` is held, nothing happens.
    /// Nothing happens either where the gateway cannot let a part go: the money stays until none of it is needed.
    Void {
        /// How much may stay held; 0 lets all of it go.
        keep: Minor,
    },
    /// Hold more on the same authorisation, where the gateway can.
    Raise {
        /// The raise.
        raise_id: RaiseId,
        /// How much more.
        amount: Minor,
    },
    /// Give taken money back.
    Refund {
        /// The refund.
        refund_id: RefundId,
        /// How much.
        amount: Minor,
        /// Why.
        reason: String,
    },
    /// (payment worker) What came of a request at the provider.
    RecordOutcome(RecordOutcome),
    /// (operator, reconciliation) What evidence says of an unknown outcome.
    ResolveOutcome {
        /// What was asked.
        verb: Verb,
        /// What came of it.
        verdict: Verdict,
        /// How that is known.
        evidence: String,
        /// The provider's reference, if there is one.
        provider_ref: Option<String>,
        /// Of what was not done: whether it may be tried again.
        #[serde(default = "may_be")]
        try_again: bool,
    },
    /// (watch) Put on record that what is held can soon not be taken any more; refused where that is not near.
    NoteEnding {
        /// What time it is.
        now: Timestamp,
        /// How long before the end it is near.
        lead_s: u32,
        /// What shall follow.
        then: OnExpiry,
    },
    /// (watch) What is held cannot be taken any more; refused before the end that the provider told. That it was near is put on record
    /// with it where nobody did so before.
    ExpireAuthorisation {
        /// What time it is.
        now: Timestamp,
        /// How long before the end it was near.
        lead_s: u32,
        /// What shall follow.
        then: OnExpiry,
    },
}

/// What came of a request at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordOutcome {
    /// What was asked.
    pub verb: Verb,
    /// Which attempt.
    pub attempt: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// How that is known, if it was unknown before and was asked about.
    pub evidence: Option<String>,
}

/// Three-valued: what is not known is said to be not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The provider did it.
    Done {
        /// The provider's reference.
        provider_ref: String,
        /// How much.
        amount: Minor,
        /// Until when held money can be taken; of a raise, if that changes.
        capture_before: Option<Timestamp>,
        /// What the provider keeps.
        fee: Option<Minor>,
        /// Of an authorisation: what the gateway can do with it, if it says so.
        #[serde(default)]
        abilities: Option<Abilities>,
    },
    /// The provider did not do it, surely.
    NotDone {
        /// The provider's code.
        code: String,
    },
    /// Nobody knows yet.
    Unknown {
        /// What is known about why.
        detail: String,
    },
}

fn may_be() -> bool {
    true
}
