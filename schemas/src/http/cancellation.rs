//! Cancelling units that have not shipped: the body of `POST /v1/orders/{id}/cancellations`, and the view of a
//! cancellation.

use domain::ids::CancellationId;
use domain::money::Currency;
use domain::order;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Names;
use super::check::{Check, Invalid};
use super::line::{LineUnits, units};
use super::money::Money;

/// The units to cancel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelOrder {
    /// The cancellation's id, if the caller makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub cancellation_id: Option<CancellationId>,
    /// Which units; everything that is open if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 2000)]
    pub lines: Option<Vec<LineUnits>>,
    /// Why.
    #[schema(min_length = 1, max_length = 500, example = "customer_request")]
    pub reason: String,
}

/// A cancellation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CancellationBody {
    /// The cancellation.
    #[schema(value_type = uuid::Uuid)]
    pub cancellation_id: CancellationId,
    /// The value cancelled.
    pub amount: Money,
    /// Why.
    pub reason: String,
    /// Whether nothing of the order was left by it.
    pub whole: bool,
    /// Whether stock has released the goods. The money is in the refunds that name the cancellation.
    pub closed: bool,
}

impl CancelOrder {
    /// The cancellation's id: the caller's, or one made from the command's.
    #[must_use]
    pub fn cancellation_id(&self, names: Names) -> CancellationId {
        self.cancellation_id.unwrap_or_else(|| CancellationId(names.of("cancellation")))
    }

    /// The command to cancel.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, names: Names) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        let reason = check.text("/reason", &self.reason, 500);
        check.own_id("/cancellation_id", self.cancellation_id);
        let cancellation_id = self.cancellation_id(names);
        let lines = self.lines.map(|lines| units(&mut check, "/lines", &lines));
        check.finish(order::Command::Cancel { cancellation_id, lines, reason })
    }
}

impl CancellationBody {
    /// The view of a cancellation.
    #[must_use]
    pub fn new(id: CancellationId, state: &order::state::Cancellation, currency: Currency) -> Self {
        Self {
            cancellation_id: id,
            amount: Money::new(state.amount, currency),
            reason: state.reason.clone(),
            whole: state.whole,
            closed: state.closed,
        }
    }
}
