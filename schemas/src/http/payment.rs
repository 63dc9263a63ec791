//! Payments: captured, voided, resolved by hand; and the view of a payment. The provider's token is never shown.

use domain::ids::{CaptureId, OrderId, PaymentId, RaiseId, RefundId};
use domain::money::Currency;
use domain::payment;
use domain::payment::abilities::Abilities;
use domain::payment::event::Verb as DomainVerb;
use domain::payment::state::Requested;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Names;
use super::check::{Check, Invalid};
use super::money::Money;
use super::status::{PaymentStage, Progress, Verdict};

/// Money to be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CapturePayment {
    /// The capture's id, if the caller makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub capture_id: Option<CaptureId>,
    /// How much.
    pub amount: Money,
}

/// Voids the authorised amount that is not captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoidPayment {
    /// How much of it may stay authorised; nothing by default. If the gateway cannot void a part, all of it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Money>,
}

/// Evidence about an outcome that the provider did not report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveOutcome {
    /// The operation that the provider was asked for.
    pub verb: Verb,
    /// Which capture; compulsory for `capture`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub capture_id: Option<CaptureId>,
    /// Which refund; compulsory for `refund`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub refund_id: Option<RefundId>,
    /// Which raise; compulsory for `raise`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub raise_id: Option<RaiseId>,
    /// Its outcome.
    pub verdict: Verdict,
    /// How that is known.
    #[schema(min_length = 1, max_length = 2000, example = "seen in the provider's dashboard")]
    pub evidence: String,
    /// The provider's reference, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub provider_ref: Option<String>,
    /// Whether an operation that was not done may be tried again.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub try_again: bool,
}

fn yes() -> bool {
    true
}

/// An operation of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Hold money.
    Authorise,
    /// Take money that is held.
    Capture,
    /// Release an authorised amount.
    Void,
    /// Hold more on the same authorisation.
    Raise,
    /// Give taken money back.
    Refund,
}

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PaymentBody {
    /// The payment.
    #[schema(value_type = uuid::Uuid)]
    pub payment_id: PaymentId,
    /// The version of its stream that this shows.
    #[schema(example = 3)]
    pub version: u64,
    /// The order that it is for.
    #[schema(value_type = uuid::Uuid)]
    pub order_id: OrderId,
    /// The currency of every amount.
    #[schema(value_type = String, example = "GBP")]
    pub currency: Currency,
    /// How far it is.
    pub status: PaymentStage,
    /// The requested amount.
    pub requested: Money,
    /// What the provider held.
    pub authorised: Money,
    /// What it took.
    pub captured: Money,
    /// What it gave back.
    pub refunded: Money,
    /// Released without capture.
    pub voided: Money,
    /// Until when held money can be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub capture_before: Option<Timestamp>,
    /// The operations that the authorisation supports, if the gateway reported them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abilities: Option<AbilitiesBody>,
    /// The provider's reference of the authorisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_ref: Option<String>,
    /// Why it was declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decline_code: Option<String>,
    /// The requests that are at the provider now, or wait for their turn.
    pub live: Vec<LiveBody>,
    /// Its captures.
    pub captures: Vec<CaptureBody>,
    /// The raises of its authorisation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub raises: Vec<RaiseBody>,
    /// Its refunds.
    pub refunds: Vec<PaymentRefundBody>,
}

/// A request that is at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveBody {
    /// The operation.
    pub verb: Verb,
    /// Which capture, raise or refund.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<uuid::Uuid>,
    /// Which attempt.
    pub attempt: u32,
    /// How much.
    pub amount: Money,
    /// Whether the provider did not report the outcome.
    pub unknown: bool,
}

/// A capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CaptureBody {
    /// The capture.
    #[schema(value_type = uuid::Uuid)]
    pub capture_id: CaptureId,
    /// How much.
    pub amount: Money,
    /// How far it is.
    pub progress: Progress,
    /// Which attempt.
    pub attempt: u32,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// A raise of the authorisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RaiseBody {
    /// The raise.
    #[schema(value_type = uuid::Uuid)]
    pub raise_id: RaiseId,
    /// How much more.
    pub amount: Money,
    /// How far it is.
    pub progress: Progress,
    /// Which attempt.
    pub attempt: u32,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// What can be done with the authorisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AbilitiesBody {
    /// Whether a part of the authorised amount can be voided.
    pub partial_void: bool,
    /// Whether it can be captured several times; otherwise the first successful capture releases the rest.
    pub several_captures: bool,
    /// Whether it can be raised.
    pub raise: bool,
    /// Whether the same money can be authorised again when the authorisation is about to end.
    pub reauthorise: bool,
}

/// A refund at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PaymentRefundBody {
    /// The refund.
    #[schema(value_type = uuid::Uuid)]
    pub refund_id: RefundId,
    /// How much.
    pub amount: Money,
    /// How far it is.
    pub progress: Progress,
    /// Which attempt.
    pub attempt: u32,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl CapturePayment {
    /// The capture's id: the caller's, or one made from the command's.
    #[must_use]
    pub fn capture_id(&self, names: Names) -> CaptureId {
        self.capture_id.unwrap_or_else(|| CaptureId(names.of("capture")))
    }

    /// The command to take it, of a payment in `currency`.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, names: Names, currency: Currency) -> Result<payment::Command, Invalid> {
        let mut check = Check::new();
        let amount = check.money("/amount", self.amount, currency, 1);
        check.own_id("/capture_id", self.capture_id);
        check.finish(payment::Command::CaptureByHand { capture_id: self.capture_id(names), amount })
    }
}

impl VoidPayment {
    /// The void command for a payment in `currency`.
    ///
    /// # Errors
    /// With all fields that are out of bounds.
    pub fn try_into_command(self, currency: Currency) -> Result<payment::Command, Invalid> {
        let mut check = Check::new();
        let keep = self.keep.map_or(0, |keep| check.money("/keep", keep, currency, 0));
        check.finish(payment::Command::Void { keep })
    }
}

impl TryFrom<ResolveOutcome> for payment::Command {
    type Error = Invalid;

    fn try_from(body: ResolveOutcome) -> Result<Self, Invalid> {
        let mut check = Check::new();
        let evidence = check.prose("/evidence", &body.evidence, 2_000);
        let provider_ref = check.optional_text("/provider_ref", body.provider_ref.as_deref(), 200);
        let (wants_capture, wants_refund) = (body.verb == Verb::Capture, body.verb == Verb::Refund);
        if wants_capture != body.capture_id.is_some() {
            check.fault("/capture_id", "is required for capture, and only allowed for it");
        }
        if (body.verb == Verb::Raise) != body.raise_id.is_some() {
            check.fault("/raise_id", "is required for raise, and only allowed for it");
        }
        if wants_refund != body.refund_id.is_some() {
            check.fault("/refund_id", "is required for refund, and only allowed for it");
        }
        let verb = match body.verb {
            Verb::Authorise => DomainVerb::Authorise,
            Verb::Void => DomainVerb::Void,
            Verb::Raise => DomainVerb::Raise { raise_id: body.raise_id.unwrap_or_default() },
            Verb::Capture => DomainVerb::Capture { capture_id: body.capture_id.unwrap_or_default() },
            Verb::Refund => DomainVerb::Refund { refund_id: body.refund_id.unwrap_or_default() },
        };
        if !body.try_again && body.verdict != Verdict::NotDone {
            check.fault("/try_again", "can be false only with the verdict not_done");
        }
        let (verdict, try_again) = (body.verdict.into(), body.try_again);
        check.finish(Self::ResolveOutcome { verb, verdict, evidence, provider_ref, try_again })
    }
}

impl From<Abilities> for AbilitiesBody {
    fn from(can: Abilities) -> Self {
        let Abilities { partial_void, several_captures, raise, reauthorise } = can;
        Self { partial_void, several_captures, raise, reauthorise }
    }
}

impl PaymentBody {
    /// The view of a payment at a version of its stream.
    #[must_use]
    pub fn new(payment: &Requested, version: u64) -> Self {
        let money = |amount| Money::new(amount, payment.currency);
        Self {
            payment_id: payment.payment_id,
            version,
            order_id: payment.order_id,
            currency: payment.currency,
            status: payment.stage.into(),
            requested: money(payment.requested),
            authorised: money(payment.authorised),
            captured: money(payment.captured),
            refunded: money(payment.refunded),
            voided: money(payment.voided),
            capture_before: payment.capture_before,
            abilities: payment.abilities.map(Into::into),
            provider_ref: payment.provider_ref.clone(),
            decline_code: payment.decline_code.clone(),
            live: payment.live.iter().map(|live| LiveBody::new(live, payment.currency)).collect(),
            captures: payment
                .captures
                .iter()
                .map(|(id, capture)| CaptureBody {
                    capture_id: *id,
                    amount: money(capture.amount),
                    progress: capture.progress.into(),
                    attempt: capture.attempt,
                    code: capture.code.clone(),
                })
                .collect(),
            raises: payment
                .raises
                .iter()
                .map(|(id, raise)| RaiseBody {
                    raise_id: *id,
                    amount: money(raise.amount),
                    progress: raise.progress.into(),
                    attempt: raise.attempt,
                    code: raise.code.clone(),
                })
                .collect(),
            refunds: payment
                .refunds
                .iter()
                .map(|(id, refund)| PaymentRefundBody {
                    refund_id: *id,
                    amount: money(refund.amount),
                    progress: refund.progress.into(),
                    attempt: refund.attempt,
                    code: refund.code.clone(),
                })
                .collect(),
        }
    }
}

impl LiveBody {
    fn new(live: &payment::state::Live, currency: Currency) -> Self {
        let (verb, id) = match live.verb {
            DomainVerb::Authorise => (Verb::Authorise, None),
            DomainVerb::Void => (Verb::Void, None),
            DomainVerb::Capture { capture_id } => (Verb::Capture, Some(capture_id.0)),
            DomainVerb::Raise { raise_id } => (Verb::Raise, Some(raise_id.0)),
            DomainVerb::Refund { refund_id } => (Verb::Refund, Some(refund_id.0)),
        };
        Self { verb, id, attempt: live.attempt, amount: Money::new(live.amount, currency), unknown: live.unknown }
    }
}
