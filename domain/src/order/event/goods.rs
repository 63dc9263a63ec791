//! What can have happened to an order's goods: shipments, losses, returns.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::line::LineQty;
use super::{Address, LineValue, PaymentShare};
use crate::ids::{CancellationId, EditId, LineId, LocationId, OrderId, ReturnId, ShipmentId};
use crate::money::Minor;
use crate::personal::Personal;
use crate::time::Timestamp;

/// `ShipmentRequested`: these units shall leave once they are paid for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShipmentRequested {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// What shall leave, with its value.
    pub lines: Vec<LineValue>,
    /// Where it leaves from.
    pub location: LocationId,
    /// Shipping charges due with it: all of them with the first shipment.
    pub shipping: Minor,
    /// What has to be captured before it leaves: 0 if that is done already, or is `pay_later`.
    pub to_capture: Minor,
    /// From which payments that is captured, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captures: Vec<PaymentShare>,
    /// Where it goes: a later change of the order's address leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ship_to: Option<Personal<Address>>,
    /// Who carries it.
    pub carrier: Option<String>,
    /// The carrier's number.
    pub tracking: Option<String>,
    /// A fingerprint of what was asked for: the same id with something else is another wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Uuid>,
}

/// `ShipmentDispatched`: it left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShipmentDispatched {
    /// The shipment.
    pub shipment_id: ShipmentId,
}

/// `ShipmentRefused`: it will not leave; its units are reserved as before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShipmentRefused {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// Why.
    pub reason: String,
}

/// `ShipmentWithdrawn`: it shall not leave. Its units are back once stock has put them back, which `ShipmentRefused` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShipmentWithdrawn {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// The cancellation that withdrew it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation_id: Option<CancellationId>,
    /// The units of it that the cancellation takes: stock lets go of them as it puts them back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub release: Vec<LineUnits>,
    /// Why.
    pub reason: String,
}

/// `TrackingUpdated`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrackingUpdated {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// Who carries it.
    pub carrier: Option<String>,
    /// The carrier's number.
    pub tracking: Option<String>,
}

/// Units of a line, wherever they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LineUnits {
    /// The line.
    pub line_id: LineId,
    /// Units.
    pub qty: u32,
}

/// `ShipmentDelivered`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShipmentDelivered {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// What was delivered.
    pub lines: Vec<LineUnits>,
    /// When, in the business's own time.
    pub at: Option<Timestamp>,
}

/// `ShipmentLost`: these units will not arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShipmentLost {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// What is lost.
    pub lines: Vec<LineUnits>,
}

/// What is done about units that got lost on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AfterLoss {
    /// Their money goes back.
    Refund,
    /// Others are sent, for the same money.
    Resend,
    /// Somebody decides that later.
    #[default]
    Later,
}

/// `LossDecided`: what is done about units that got lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LossDecided {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// Which decision about this shipment it is, counted from 1.
    pub decision: u32,
    /// What is done: never `later`.
    pub then: AfterLoss,
    /// The units, with their value where their money goes back and 0 where others are sent.
    pub lines: Vec<LineValue>,
    /// The order that sends others, for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
}

/// `ShipmentFound`: units that were lost arrived after all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShipmentFound {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// What arrived.
    pub lines: Vec<LineUnits>,
}

/// `StockWanted`: inventory had not got all that an edit asked for, and the order wants fewer units meanwhile: these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockWanted {
    /// The edit.
    pub edit_id: EditId,
    /// Which attempt to hold them this is, counted from 2: the edit itself is the first.
    pub attempt: u32,
    /// The units.
    pub reserve: Vec<LineQty>,
}

/// A line of a return, as announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReturnLine {
    /// The line.
    pub line_id: LineId,
    /// Units.
    pub qty: u32,
    /// Why.
    pub reason: String,
}

/// `ReturnRequested`: these units shall come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReturnRequested {
    /// The return.
    pub return_id: ReturnId,
    /// What shall come back.
    pub lines: Vec<ReturnLine>,
}

/// `ReturnDeclined`: it will not be taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReturnDeclined {
    /// The return.
    pub return_id: ReturnId,
    /// Why.
    pub reason: String,
}

/// What becomes of a unit that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// Back on the shelf.
    Restock,
    /// Came back, cannot be sold.
    Damaged,
    /// Announced, and not in the parcel: not refunded.
    Missing,
}

/// A line of a return, as it was received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceivedLine {
    /// The line.
    pub line_id: LineId,
    /// Units.
    pub qty: u32,
    /// What becomes of them.
    pub disposition: Disposition,
    /// Where they came in.
    pub location: LocationId,
}

/// `ReturnReceived`: this came back. What was announced and is neither received nor missing stays announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReturnReceived {
    /// The return.
    pub return_id: ReturnId,
    /// Which receipt of the return this is, counted from 1: a return may come in several parcels.
    pub receipt: u32,
    /// What came back.
    pub lines: Vec<ReceivedLine>,
    /// What it was sold for, by line.
    pub refund: Vec<LineValue>,
    /// A fingerprint of what was asked for: the same id with something else is another wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Uuid>,
}
