//! Where a payment stands: the fold of its stream. Its stage follows from its sums and from what is at the provider; it is never set.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::abilities::Abilities;
use super::event::Verb;
use crate::ids::{CaptureId, OrderId, PaymentId, RaiseId, RefundId};
use crate::instrument::Instrument;
use crate::money::{Currency, Minor};
use crate::order::event::{PaymentRecorded, PaymentStatus};
use crate::time::Timestamp;

/// A payment; absent until an authorisation is requested.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "almost every payment that is looked at is there")]
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
    /// It is being asked to hold more.
    Raising,
    /// It did not say whether it does.
    RaiseUnknown,
    /// It is being asked to give some back.
    Refunding,
    /// It did not say whether it has.
    RefundUnknown,
    /// Some of what was taken is given back.
    PartRefunded,
    /// All of it is.
    Refunded,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authorising => "authorising",
            Self::AuthoriseUnknown => "authorise_unknown",
            Self::Authorised => "authorised",
            Self::Declined => "declined",
            Self::Capturing => "capturing",
            Self::CaptureUnknown => "capture_unknown",
            Self::PartCaptured => "part_captured",
            Self::Captured => "captured",
            Self::Voiding => "voiding",
            Self::VoidUnknown => "void_unknown",
            Self::Voided => "voided",
            Self::Expired => "expired",
            Self::Raising => "raising",
            Self::RaiseUnknown => "raise_unknown",
            Self::Refunding => "refunding",
            Self::RefundUnknown => "refund_unknown",
            Self::PartRefunded => "part_refunded",
            Self::Refunded => "refunded",
        })
    }
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
    pub instrument: Instrument,
    /// How far it is.
    pub stage: Stage,
    /// What the provider held, raises included.
    pub authorised: Minor,
    /// What it took.
    pub captured: Minor,
    /// What it gave back.
    pub refunded: Minor,
    /// What it let go of without taking it: voided, expired, or left by its only capture.
    pub voided: Minor,
    /// Until when held money can be taken.
    pub capture_before: Option<Timestamp>,
    /// Which end of what is held was put on record when it was near.
    pub ending_noted: Option<Timestamp>,
    /// The provider's reference of the authorisation.
    pub provider_ref: Option<String>,
    /// Why it was declined.
    pub decline_code: Option<String>,
    /// The newest authorisation attempt.
    pub attempt: u32,
    /// The requests that are at the provider now, oldest first. One at a time for each thing asked. Captures and refunds may be there
    /// together, since each has a key of its own and all of them count against the sums from the moment they are asked for. An
    /// authorisation, a raise and a void are there alone of those that move held money: what is held is not known while one of them is out.
    pub live: Vec<Live>,
    /// What the gateway can do with the authorisation, if it said so.
    pub abilities: Option<Abilities>,
    /// How much may stay held as soon as nothing that moves held money is at the provider, if more than that shall be let go then.
    pub void_wanted: Option<Minor>,
    /// Whether the newest hold ended by itself.
    pub expired: bool,
    /// Its captures.
    pub captures: BTreeMap<CaptureId, Capture>,
    /// The raises of its authorisation.
    pub raises: BTreeMap<RaiseId, Raise>,
    /// Its refunds.
    pub refunds: BTreeMap<RefundId, Refund>,
    /// How many voids were tried.
    pub void_attempts: u32,
    /// Those of them that let something go.
    pub voids_done: BTreeSet<u32>,
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

/// How far a capture, a raise or a refund is.
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
    /// Whether somebody asked for it by hand.
    pub by_hand: bool,
}

/// A raise of an authorisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raise {
    /// How much more.
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

impl Payment {
    /// The payment, if it was asked for.
    #[must_use]
    pub fn requested(&self) -> Option<&Requested> {
        match self {
            Self::Absent => None,
            Self::Requested(payment) => Some(payment),
        }
    }

    /// What an order is told of it; `version` is its stream's. `None` if there is no payment.
    #[must_use]
    pub fn record(&self, version: u64) -> Option<PaymentRecorded> {
        let payment = self.requested()?;
        Some(PaymentRecorded {
            payment_id: payment.payment_id,
            payment_version: version,
            status: payment.status(),
            authorised: payment.authorised,
            captured: payment.captured,
            refunded: payment.refunded,
            refund_pending: payment.refund_pending(),
            voided: payment.voided,
            keeps: payment.keeps(),
            capture_before: payment.capture_before,
            abilities: payment.abilities,
            fact: None,
        })
    }
}

impl Requested {
    /// What the provider holds and nobody took or let go of.
    #[must_use]
    pub fn held(&self) -> Minor {
        self.authorised.saturating_sub(self.captured).saturating_sub(self.voided)
    }

    /// What stays held once a void that is at the provider, or waits, is done; `None` if there is none.
    #[must_use]
    pub fn keeps(&self) -> Option<Minor> {
        let void = self.at_provider(Verb::Void).map(|void| self.held().saturating_sub(void.amount));
        [void, self.void_wanted].into_iter().flatten().min()
    }

    /// What the gateway can do with the authorisation.
    #[must_use]
    pub fn can(&self) -> Abilities {
        self.abilities.unwrap_or(Abilities::ALL)
    }

    /// Whether the gateway can let go of what is held beyond `keep` and go on holding that.
    #[must_use]
    pub fn can_keep(&self, keep: Minor) -> bool {
        keep == 0 || self.can().partial_void
    }

    /// What is held at the most once all that is at the provider is settled: what is to come is there, what is to be let go is gone,
    /// and nothing is taken.
    #[must_use]
    pub fn most_held(&self) -> Minor {
        self.live.iter().fold(self.held(), |held, live| match live.verb {
            Verb::Authorise | Verb::Raise { .. } => held.saturating_add(live.amount),
            Verb::Void => held.saturating_sub(live.amount),
            Verb::Capture { .. } | Verb::Refund { .. } => held,
        })
    }

    /// What is asked to be taken and not settled yet.
    #[must_use]
    pub fn capture_pending(&self) -> Minor {
        let pending = self.captures.values();
        pending
            .filter(|capture| capture.progress == Progress::Requested)
            .fold(0, |sum, capture| sum.saturating_add(capture.amount))
    }

    /// What can still be asked to be taken.
    #[must_use]
    pub fn capturable(&self) -> Minor {
        self.held().saturating_sub(self.capture_pending())
    }

    /// What is asked to be given back and not settled yet.
    #[must_use]
    pub fn refund_pending(&self) -> Minor {
        let pending = self.refunds.values();
        pending
            .filter(|refund| refund.progress == Progress::Requested)
            .fold(0, |sum, refund| sum.saturating_add(refund.amount))
    }

    /// What can still be asked to be given back.
    #[must_use]
    pub fn refundable(&self) -> Minor {
        self.captured.saturating_sub(self.refunded).saturating_sub(self.refund_pending())
    }

    /// The request at the provider for this, if there is one.
    #[must_use]
    pub fn at_provider(&self, verb: Verb) -> Option<&Live> {
        self.live.iter().find(|live| live.verb == verb)
    }

    /// The oldest request at the provider that moves held money: an authorisation, a raise, a capture or a void.
    #[must_use]
    pub fn moving_held(&self) -> Option<&Live> {
        let mut live = self.live.iter();
        live.find(|live| !matches!(live.verb, Verb::Refund { .. }))
    }

    /// Whether the provider did not say what came of something.
    #[must_use]
    pub fn unknown(&self) -> bool {
        self.live.iter().any(|live| live.unknown)
    }

    /// How far it is, by its sums and by what is at the provider. What is unknown shows before what is under way, and a request that
    /// moves held money before one that gives back.
    #[must_use]
    pub fn stage_now(&self) -> Stage {
        let foremost = |unknown: bool| {
            let live = self.live.iter().filter(|live| live.unknown == unknown);
            live.map(|live| live.verb).min()
        };
        match (foremost(true), foremost(false)) {
            (Some(Verb::Authorise), _) => Stage::AuthoriseUnknown,
            (Some(Verb::Capture { .. }), _) => Stage::CaptureUnknown,
            (Some(Verb::Void), _) => Stage::VoidUnknown,
            (Some(Verb::Raise { .. }), _) => Stage::RaiseUnknown,
            (Some(Verb::Refund { .. }), _) => Stage::RefundUnknown,
            (None, Some(Verb::Authorise)) => Stage::Authorising,
            (None, Some(Verb::Capture { .. })) => Stage::Capturing,
            (None, Some(Verb::Void)) => Stage::Voiding,
            (None, Some(Verb::Raise { .. })) => Stage::Raising,
            (None, Some(Verb::Refund { .. })) => Stage::Refunding,
            (None, None) => self.settled_stage(),
        }
    }

    /// How far it is once nothing is at the provider.
    fn settled_stage(&self) -> Stage {
        if self.authorised == 0 {
            Stage::Declined
        } else if self.refunded > 0 {
            if self.refunded == self.captured { Stage::Refunded } else { Stage::PartRefunded }
        } else if self.captured > 0 {
            // What was let go is not to be taken any more.
            if self.held() == 0 { Stage::Captured } else { Stage::PartCaptured }
        } else if self.held() > 0 {
            Stage::Authorised
        } else if self.expired {
            Stage::Expired
        } else {
            Stage::Voided
        }
    }

    /// What an order shows of its stage. While money is being taken, or the rest of it let go, it is as before.
    #[must_use]
    pub fn status(&self) -> PaymentStatus {
        let stage = match self.stage {
            Stage::Capturing | Stage::Raising => self.settled_stage(),
            Stage::Voiding if self.captured > 0 || self.most_held() > 0 => self.settled_stage(),
            stage => stage,
        };
        match stage {
            Stage::Authorising => PaymentStatus::None,
            Stage::Authorised | Stage::Capturing | Stage::Raising => PaymentStatus::Authorised,
            Stage::Declined => PaymentStatus::Declined,
            Stage::PartCaptured => PaymentStatus::PartCaptured,
            Stage::Captured => PaymentStatus::Captured,
            Stage::Voiding | Stage::Voided | Stage::Expired => PaymentStatus::Voided,
            Stage::Refunding | Stage::PartRefunded => PaymentStatus::PartRefunded,
            Stage::Refunded => PaymentStatus::Refunded,
            Stage::AuthoriseUnknown
            | Stage::CaptureUnknown
            | Stage::VoidUnknown
            | Stage::RaiseUnknown
            | Stage::RefundUnknown => PaymentStatus::Unknown,
        }
    }
}
