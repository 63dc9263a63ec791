//! Manual refunds: the body of `POST /v1/orders/{id}/refunds`, and the view of a refund.

use domain::ids::{CancellationId, EditId, LineId, PaymentId, RefundId, ReturnId, ShipmentId};
use domain::money::Currency;
use domain::order;
use domain::order::event::LineValue;
use domain::order::state::{Payment, Placed, Refund, RefundPart, RefundProgress};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Names;
use super::check::{Check, Invalid};
use super::money::Money;

/// Money to be given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantRefund {
    /// The refund's id, if the caller makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub refund_id: Option<RefundId>,
    /// How much; the sum of lines and shipping if left out. Where these are named it has to be their sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// For which lines.
    #[serde(default)]
    #[schema(max_items = 2000)]
    pub lines: Vec<RefundLine>,
    /// For shipping charges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping: Option<RefundShipping>,
    /// Why.
    #[schema(min_length = 1, max_length = 500, example = "goodwill")]
    pub reason: String,
}

/// The refund of shipping charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundShipping {
    /// How much.
    pub amount: Money,
}

/// The parts of a refund that are owed by hand are paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmRefundPaid {
    /// How the payment can be found, for example the number of a transfer.
    #[schema(min_length = 1, max_length = 200, example = "transfer 20261130-17")]
    pub reference: String,
}

/// The parts of a refund that are owed by hand are withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WithdrawRefund {
    /// Why.
    #[schema(min_length = 1, max_length = 500, example = "granted by mistake")]
    pub reason: String,
}

/// The failed and withdrawn parts of a refund are granted again; no fields are needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRefund {}

/// Units of a line and the amount refunded for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundLine {
    /// The line.
    #[schema(value_type = u32, minimum = 1, example = 1)]
    pub line_id: LineId,
    /// Units.
    #[schema(minimum = 1, maximum = 1_000_000, example = 1)]
    pub qty: u32,
    /// The amount refunded for them.
    pub amount: Money,
}

/// A refund that was granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefundBody {
    /// The refund.
    #[schema(value_type = uuid::Uuid)]
    pub refund_id: RefundId,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: String,
    /// The status of the part that is furthest from done, of those that are open or failed.
    pub status: RefundStatus,
    /// The payments that it is taken from, and the status of each part.
    pub parts: Vec<RefundPartBody>,
    /// Whether a request granted it; otherwise it follows from another event of the order.
    pub by_hand: bool,
    /// The lines that it was granted for, if it was granted for lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<RefundLine>,
    /// For shipping charges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping: Option<Money>,
    /// The return that it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub return_id: Option<ReturnId>,
    /// The cancellation that it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub cancellation_id: Option<CancellationId>,
    /// The edit that it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub edit_id: Option<EditId>,
    /// The shipment whose loss it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub shipment_id: Option<ShipmentId>,
}

/// How far a refund is, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    /// It is on its way.
    Pending,
    /// A person has to give it back.
    OwedByHand,
    /// The customer has it.
    Done,
    /// The provider will not pay it.
    Failed,
    /// It is no longer granted.
    Withdrawn,
}

/// The part of a refund that is taken from one payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefundPartBody {
    /// The payment.
    #[schema(value_type = uuid::Uuid)]
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Money,
    /// How far it is.
    pub status: RefundStatus,
    /// Why it is not paid: the provider's code, or the reason for which it was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How it can be found, if a person paid it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl GrantRefund {
    /// The currency that its amounts are in, if it names one.
    #[must_use]
    pub fn currency(&self) -> Option<Currency> {
        let line = || self.lines.first().map(|line| line.amount);
        let shipping = || self.shipping.map(|shipping| shipping.amount);
        self.amount.or_else(line).or_else(shipping).map(|amount| amount.currency)
    }

    /// The refund's id: the caller's, or one made from the command's.
    #[must_use]
    pub fn refund_id(&self, names: Names) -> RefundId {
        self.refund_id.unwrap_or_else(|| RefundId(names.of("refund")))
    }

    /// The command to grant it, on an order whose amounts are in `currency`.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, names: Names, currency: Currency) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        let reason = check.text("/reason", &self.reason, 500);
        check.own_id("/refund_id", self.refund_id);
        if self.amount.is_none() && self.lines.is_empty() && self.shipping.is_none() {
            check.fault("/amount", "is required if neither lines nor shipping are named");
        }
        let amount = self.amount.map(|amount| check.money("/amount", amount, currency, 1));
        if check.list("/lines", &self.lines, 0) {
            for (i, line) in self.lines.iter().enumerate() {
                check.units(format_args!("/lines/{i}/qty"), line.qty);
                check.money(format_args!("/lines/{i}/amount"), line.amount, currency, 1);
            }
            check.lines_once("/lines", self.lines.iter().map(|line| (line.line_id, ())));
        }
        let shipping = self.shipping.map(|it| check.money("/shipping/amount", it.amount, currency, 1));
        let lines = self.lines.iter().map(|line| LineValue {
            line_id: line.line_id,
            qty: line.qty,
            amount: line.amount.amount,
        });
        check.finish(order::Command::GrantRefund(order::command::GrantRefund {
            refund_id: self.refund_id(names),
            amount,
            lines: lines.collect(),
            shipping: shipping.unwrap_or(0),
            reason,
        }))
    }
}

impl ConfirmRefundPaid {
    /// The command to confirm it.
    ///
    /// # Errors
    /// If the reference is out of bounds.
    pub fn try_into_command(self, refund_id: RefundId) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        let reference = check.text("/reference", &self.reference, 200);
        check.finish(order::Command::ConfirmRefundPaid { refund_id, reference })
    }
}

impl WithdrawRefund {
    /// The command to withdraw it.
    ///
    /// # Errors
    /// If the reason is out of bounds.
    pub fn try_into_command(self, refund_id: RefundId) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        let reason = check.text("/reason", &self.reason, 500);
        check.finish(order::Command::WithdrawRefund { refund_id, reason })
    }
}

impl RefundBody {
    /// The view of a refund of an order.
    #[must_use]
    pub fn new(id: RefundId, state: &Refund, order: &Placed) -> Self {
        let money = |amount| Money::new(amount, order.currency);
        let line = |line: &LineValue| RefundLine { line_id: line.line_id, qty: line.qty, amount: money(line.amount) };
        let parts: Vec<_> = state.parts.iter().map(|part| RefundPartBody::new(part, order)).collect();
        let has = |status| parts.iter().any(|part| part.status == status);
        let open = [RefundStatus::Pending, RefundStatus::OwedByHand, RefundStatus::Failed, RefundStatus::Done];
        Self {
            refund_id: id,
            amount: money(state.amount),
            reason: state.reason.clone(),
            status: open.into_iter().find(|status| has(*status)).unwrap_or(RefundStatus::Withdrawn),
            by_hand: state.by_hand,
            lines: state.lines.iter().map(line).collect(),
            shipping: (state.shipping > 0).then(|| money(state.shipping)),
            return_id: state.return_id,
            cancellation_id: state.cancellation_id,
            edit_id: state.edit_id,
            shipment_id: state.shipment_id,
            parts,
        }
    }
}

impl RefundPartBody {
    fn new(part: &RefundPart, order: &Placed) -> Self {
        let by_hand = order.payment_of(part.payment_id).is_some_and(Payment::is_external);
        let (status, code, reference) = match &part.progress {
            RefundProgress::Pending if by_hand => (RefundStatus::OwedByHand, None, None),
            RefundProgress::Pending => (RefundStatus::Pending, None, None),
            RefundProgress::Done { reference } => (RefundStatus::Done, None, reference.clone()),
            RefundProgress::Failed { code } => (RefundStatus::Failed, Some(code.clone()), None),
            RefundProgress::Withdrawn { reason } => (RefundStatus::Withdrawn, Some(reason.clone()), None),
        };
        let amount = Money::new(part.amount, order.currency);
        Self { payment_id: part.payment_id, amount, status, code, reference }
    }
}
