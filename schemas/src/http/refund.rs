//! Refunds that somebody grants: the body of `POST /v1/orders/{id}/refunds`, and what is shown of one.

use domain::ids::{CancellationId, LineId, RefundId, ReturnId};
use domain::money::Currency;
use domain::order;
use domain::order::event::LineValue;
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
    /// How much; the sum of the lines if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// For which lines.
    #[serde(default)]
    #[schema(max_items = 2000)]
    pub lines: Vec<RefundLine>,
    /// Why.
    #[schema(min_length = 1, max_length = 500, example = "goodwill")]
    pub reason: String,
}

/// Units of a line and what is given back for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundLine {
    /// The line.
    #[schema(value_type = u32, minimum = 1, example = 1)]
    pub line_id: LineId,
    /// Units.
    #[schema(minimum = 1, maximum = 1_000_000, example = 1)]
    pub qty: u32,
    /// What is given back for them.
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
    /// The return that it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub return_id: Option<ReturnId>,
    /// The cancellation that it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub cancellation_id: Option<CancellationId>,
}

impl GrantRefund {
    /// The currency that its amounts are in, if it names one.
    #[must_use]
    pub fn currency(&self) -> Option<Currency> {
        let line = || self.lines.first().map(|line| line.amount);
        self.amount.or_else(line).map(|amount| amount.currency)
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
        if self.amount.is_none() && self.lines.is_empty() {
            check.fault("/amount", "is compulsory where no lines are named");
        }
        let amount = self.amount.map(|amount| check.money("/amount", amount, currency, 1));
        if check.list("/lines", &self.lines, 0) {
            for (i, line) in self.lines.iter().enumerate() {
                check.units(format_args!("/lines/{i}/qty"), line.qty);
                check.money(format_args!("/lines/{i}/amount"), line.amount, currency, 0);
            }
            check.lines_once("/lines", self.lines.iter().map(|line| (line.line_id, ())));
        }
        let lines = self.lines.iter().map(|line| LineValue {
            line_id: line.line_id,
            qty: line.qty,
            amount: line.amount.amount,
        });
        check.finish(order::Command::GrantRefund(order::command::GrantRefund {
            refund_id: self.refund_id(names),
            amount,
            lines: lines.collect(),
            return_id: None,
            cancellation_id: None,
            reason,
        }))
    }
}

impl RefundBody {
    /// What is shown of a refund.
    #[must_use]
    pub fn new(id: RefundId, state: &order::state::Refund, currency: Currency) -> Self {
        Self {
            refund_id: id,
            amount: Money::new(state.amount, currency),
            reason: state.reason.clone(),
            return_id: state.return_id,
            cancellation_id: state.cancellation_id,
        }
    }
}
