//! Returns: announced, received, declined; and the view of a return.

use domain::ids::{LineId, LocationId, ReturnId};
use domain::money::Currency;
use domain::order;
use domain::order::command::{ReceivedUnits, ReturnUnits};
use domain::text::Entered;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::{Check, Invalid};
use super::money::Money;
use super::status::{Disposition, ReturnStage};
use super::{MOST_LINES, Names};

/// A return to be announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestReturn {
    /// The return's id, if the caller makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub return_id: Option<ReturnId>,
    /// The units to return, and the reason; each line once.
    #[schema(min_items = 1, max_items = 2000)]
    pub lines: Vec<ReturnLine>,
}

/// Units to come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReturnLine {
    /// The line.
    #[schema(value_type = u32, minimum = 1, example = 1)]
    pub line_id: LineId,
    /// How many.
    #[schema(minimum = 1, maximum = 1_000_000, example = 1)]
    pub qty: u32,
    /// Why.
    #[schema(min_length = 1, max_length = 200, example = "too_small")]
    pub reason: String,
}

/// Returned goods. A return may arrive in several parcels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiveReturn {
    /// Which receipt of the return this is, counted from 1; the next one if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub receipt: Option<u32>,
    /// The returned units; each line once for each disposition and location.
    #[schema(min_items = 1, max_items = 2000)]
    pub lines: Vec<ReceivedLine>,
}

/// Units that came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceivedLine {
    /// The line.
    #[schema(value_type = u32, minimum = 1, example = 1)]
    pub line_id: LineId,
    /// How many.
    #[schema(minimum = 1, maximum = 1_000_000, example = 1)]
    pub qty: u32,
    /// What becomes of them.
    pub disposition: Disposition,
    /// The location; the order's own location by default. The SKU must already be kept there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, example = "main")]
    pub location: Option<Entered<LocationId>>,
}

/// A return that is not taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeclineReturn {
    /// Why.
    #[schema(min_length = 1, max_length = 500, example = "beyond 30 days")]
    pub reason: String,
}

/// A return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReturnBody {
    /// The return.
    #[schema(value_type = uuid::Uuid)]
    pub return_id: ReturnId,
    /// How far it is.
    pub stage: ReturnStage,
    /// The announced units.
    pub lines: Vec<ReturnLineBody>,
    /// How many parcels of it came.
    pub receipts: u32,
    /// The value of the returned goods.
    pub refund: Money,
    /// Why it was declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declined: Option<String>,
}

/// A line of a return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReturnLineBody {
    /// The line.
    #[schema(value_type = u32, example = 1)]
    pub line_id: LineId,
    /// Units announced.
    pub qty: u32,
    /// Announced units that have not arrived.
    pub open: u32,
    /// Why.
    pub reason: String,
}

impl RequestReturn {
    /// The return's id: the caller's, or one made from the command's.
    #[must_use]
    pub fn return_id(&self, names: Names) -> ReturnId {
        self.return_id.unwrap_or_else(|| ReturnId(names.of("return")))
    }

    /// The command to announce it.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, names: Names) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        if check.list("/lines", &self.lines, 1) {
            for (i, line) in self.lines.iter().enumerate() {
                check.units(format_args!("/lines/{i}/qty"), line.qty);
            }
            check.lines_once("/lines", self.lines.iter().map(|line| (line.line_id, ())));
        }
        let return_id = self.return_id(names);
        let lines = self.lines.iter().enumerate().take(MOST_LINES).map(|(i, line)| ReturnUnits {
            line_id: line.line_id,
            qty: line.qty,
            reason: check.text(format_args!("/lines/{i}/reason"), &line.reason, 200),
        });
        let lines = lines.collect();
        check.finish(order::Command::RequestReturn { return_id, lines })
    }
}

impl ReceiveReturn {
    /// The command to record it.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, return_id: ReturnId) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        if self.receipt == Some(0) {
            check.fault("/receipt", "must be at least 1");
        }
        if check.list("/lines", &self.lines, 1) {
            for (i, line) in self.lines.iter().enumerate() {
                check.units(format_args!("/lines/{i}/qty"), line.qty);
            }
            let place = |line: &ReceivedLine| {
                let disposition: order::event::Disposition = line.disposition.into();
                (disposition, line.location.as_ref().map(|name| name.0.clone()))
            };
            check.lines_once("/lines", self.lines.iter().map(|line| (line.line_id, place(line))));
        }
        let lines = self.lines.into_iter().map(|line| ReceivedUnits {
            line_id: line.line_id,
            qty: line.qty,
            disposition: line.disposition.into(),
            location: line.location.map(|name| name.0),
        });
        check.finish(order::Command::ReceiveReturn { return_id, receipt: self.receipt, lines: lines.collect() })
    }
}

impl DeclineReturn {
    /// The command to decline it.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, return_id: ReturnId) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        let reason = check.text("/reason", &self.reason, 500);
        check.finish(order::Command::DeclineReturn { return_id, reason })
    }
}

impl ReturnBody {
    /// The view of a return.
    #[must_use]
    pub fn new(id: ReturnId, state: &order::state::Return, currency: Currency) -> Self {
        Self {
            return_id: id,
            stage: state.stage.into(),
            lines: state
                .lines
                .iter()
                .map(|line| ReturnLineBody {
                    line_id: line.line_id,
                    qty: line.qty,
                    open: state.open.get(&line.line_id).copied().unwrap_or(0),
                    reason: line.reason.clone(),
                })
                .collect(),
            receipts: state.receipts,
            refund: Money::new(state.refund, currency),
            declined: state.declined.clone(),
        }
    }
}
