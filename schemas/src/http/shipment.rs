//! Shipments: requested, tracked, delivered, lost; and the view of a shipment.

use domain::ids::{LineId, LocationId, OrderId, ShipmentId};
use domain::money::Currency;
use domain::order;
use domain::text::Entered;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Names;
use super::address::Address;
use super::check::{Check, Invalid};
use super::instant::Span;
use super::line::{LineUnits, units};
use super::money::Money;
use super::status::{AfterLoss, ShipmentStatus};

/// A shipment to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestShipment {
    /// The shipment's id, if the caller makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub shipment_id: Option<ShipmentId>,
    /// Which units; all that are reserved if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 2000)]
    pub lines: Option<Vec<LineUnits>>,
    /// Where it leaves from; the order's own location if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, example = "main")]
    pub location: Option<Entered<LocationId>>,
    /// The carrier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100, example = "Royal Mail")]
    pub carrier: Option<String>,
    /// The carrier's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200, example = "AB123456789GB")]
    pub tracking: Option<String>,
}

/// Where a shipment is to be found at its carrier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateTracking {
    /// The carrier; unchanged if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100, example = "Royal Mail")]
    pub carrier: Option<String>,
    /// The carrier's number; as before if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200, example = "AB123456789GB")]
    pub tracking: Option<String>,
}

/// What arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmDelivery {
    /// Which units; all of the shipment if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 2000)]
    pub lines: Option<Vec<LineUnits>>,
    /// When, in the business's own time: ten years back to a day ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
}

/// What will not arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportLoss {
    /// Which units; all that were not delivered if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 2000)]
    pub lines: Option<Vec<LineUnits>>,
    /// What to do about them.
    #[serde(default = "later")]
    pub then: AfterLoss,
}

fn later() -> AfterLoss {
    AfterLoss::Later
}

/// What to do about all lost units of a shipment without a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideLoss {
    /// `refund` or `resend`.
    pub then: AfterLoss,
}

/// Lost units that arrived after all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportFound {
    /// Which units; all that are lost if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 2000)]
    pub lines: Option<Vec<LineUnits>>,
}

/// Why a shipment must not leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WithdrawShipment {
    /// Why.
    #[schema(min_length = 1, max_length = 500, example = "fraud")]
    pub reason: String,
}

/// A shipment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShipmentBody {
    /// The shipment.
    #[schema(value_type = uuid::Uuid)]
    pub shipment_id: ShipmentId,
    /// How far it is.
    pub status: ShipmentStatus,
    /// Its lines.
    pub lines: Vec<ShipmentLineBody>,
    /// Where it leaves from.
    #[schema(value_type = String, example = "main")]
    pub location: LocationId,
    /// Shipping charges due with it.
    pub shipping: Money,
    /// What had to be captured before it leaves.
    pub to_capture: Money,
    /// The carrier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// The carrier's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<String>,
    /// The shipping address; left out if there is none, or once it was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ship_to: Option<Address>,
    /// Why it was refused or withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The orders that send its lost goods again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<uuid::Uuid>)]
    pub resent: Vec<OrderId>,
}

/// A line of a shipment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShipmentLineBody {
    /// The line.
    #[schema(value_type = u32, example = 1)]
    pub line_id: LineId,
    /// Units.
    pub qty: u32,
    /// Their value.
    pub amount: Money,
    /// Shipped units that arrived.
    pub delivered: u32,
    /// Shipped units that got lost.
    pub lost: u32,
    /// Lost units without a decision.
    pub undecided: u32,
}

impl RequestShipment {
    /// The shipment's id: the caller's, or one made from the command's.
    #[must_use]
    pub fn shipment_id(&self, names: Names) -> ShipmentId {
        self.shipment_id.unwrap_or_else(|| ShipmentId(names.of("shipment")))
    }

    /// The command to make it.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, names: Names) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        let carrier = check.optional_text("/carrier", self.carrier.as_deref(), 100);
        let tracking = check.optional_text("/tracking", self.tracking.as_deref(), 200);
        let shipment_id = self.shipment_id(names);
        let lines = self.lines.map(|lines| units(&mut check, "/lines", &lines));
        check.finish(order::Command::RequestShipment {
            shipment_id,
            lines,
            location: self.location.map(|name| name.0),
            carrier,
            tracking,
        })
    }
}

impl UpdateTracking {
    /// The tracking command.
    ///
    /// # Errors
    /// With all fields that are out of bounds.
    pub fn try_into_command(self, shipment_id: ShipmentId) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        let carrier = check.optional_text("/carrier", self.carrier.as_deref(), 100);
        let tracking = check.optional_text("/tracking", self.tracking.as_deref(), 200);
        if carrier.is_none() && tracking.is_none() {
            check.fault("", "must name a carrier or a tracking number");
        }
        check.finish(order::Command::UpdateTracking { shipment_id, carrier, tracking })
    }
}

impl ConfirmDelivery {
    /// Notes an arrival that lies too far off.
    pub fn in_time(&self, now: Timestamp, check: &mut Check) {
        check.instant("/at", self.at, now, Span::Happened);
    }

    /// The command to confirm it.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, shipment_id: ShipmentId) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        let lines = self.lines.map(|lines| units(&mut check, "/lines", &lines));
        check.finish(order::Command::ConfirmDelivery { shipment_id, lines, at: self.at })
    }
}

impl ReportLoss {
    /// The command to report it.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, shipment_id: ShipmentId) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        let lines = self.lines.map(|lines| units(&mut check, "/lines", &lines));
        check.finish(order::Command::ReportLost { shipment_id, lines, sent: None, then: self.then.into() })
    }
}

impl DecideLoss {
    /// The command to decide it.
    ///
    /// # Errors
    /// If nothing is decided by it.
    pub fn try_into_command(self, shipment_id: ShipmentId) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        if self.then == AfterLoss::Later {
            check.fault("/then", "must be refund or resend");
        }
        check.finish(order::Command::DecideLoss { shipment_id, decision: None, sent: None, then: self.then.into() })
    }
}

impl ReportFound {
    /// The command to report it.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, shipment_id: ShipmentId) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        let lines = self.lines.map(|lines| units(&mut check, "/lines", &lines));
        check.finish(order::Command::ReportFound { shipment_id, lines })
    }
}

impl WithdrawShipment {
    /// The command to withdraw it.
    ///
    /// # Errors
    /// If the reason is out of bounds.
    pub fn try_into_command(self, shipment_id: ShipmentId) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        let reason = check.text("/reason", &self.reason, 500);
        check.finish(order::Command::WithdrawShipment { shipment_id, reason })
    }
}

impl ShipmentBody {
    /// The view of a shipment.
    #[must_use]
    pub fn new(id: ShipmentId, state: &order::state::Shipment, currency: Currency) -> Self {
        Self {
            shipment_id: id,
            status: state.status.into(),
            lines: state
                .lines
                .iter()
                .map(|(line_id, line)| ShipmentLineBody {
                    line_id: *line_id,
                    qty: line.qty,
                    amount: Money::new(line.amount, currency),
                    delivered: line.delivered,
                    lost: line.lost,
                    undecided: line.undecided(),
                })
                .collect(),
            location: state.location.clone(),
            shipping: Money::new(state.shipping, currency),
            to_capture: Money::new(state.to_capture, currency),
            carrier: state.carrier.clone(),
            tracking: state.tracking.clone(),
            ship_to: state.ship_to.as_ref().and_then(Address::shown),
            refused: state.refused.clone(),
            resent: state.resent.clone(),
        }
    }
}
