//! Where an order stands: the fold of its stream. Everything that is shown of an order is read from here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::{
    Address, LineValue, Means, PaymentShare, PaymentStatus, PaymentTerms, RejectReason, ReturnLine, Visibility,
};
use super::line::{Line, ShippingCharge, Totals};
use crate::ids::{
    CancellationId, Channel, CustomerRef, EditId, ExternalRef, HoldId, LineId, LocationId, NoteId, OrderId, PaymentId,
    RefundId, ReservationId, ReturnId, ShipmentId,
};
use crate::money::{Currency, Minor, Rounding};
use crate::payment::abilities::Abilities;
use crate::payment::event::OnExpiry;
use crate::personal::Personal;
use crate::stock::Shortfall;
use crate::time::Timestamp;

/// An order; absent until it is placed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "almost every order that is looked at is placed")]
pub enum Order {
    /// There is none (yet).
    #[default]
    Absent,
    /// There is one.
    Placed(Placed),
}

/// How far an order is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Stock and money are being seen to.
    #[default]
    Pending,
    /// Both are held.
    Confirmed,
    /// Nothing is left to ship.
    Completed,
    /// It was not to be; everything was undone.
    Rejected,
    /// It was called off; everything was given back.
    Cancelled,
}

impl Status {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Completed => "completed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Rejected | Self::Cancelled)
    }
}

/// Where its stock stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StockStatus {
    /// Nothing is held.
    None,
    /// All that is open is held.
    Reserved,
    /// Some of what is open is held.
    PartReserved,
    /// All that is open, or what of it is not held, waits for stock to come.
    Backordered,
    /// What was held is let go.
    Released,
}

/// Where its goods stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FulfilmentStatus {
    /// Nothing left.
    Unfulfilled,
    /// Some left.
    PartShipped,
    /// All left.
    Shipped,
    /// Some arrived.
    PartDelivered,
    /// All arrived.
    Delivered,
    /// Nothing will leave.
    Cancelled,
}

/// Where its returns stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnStatus {
    /// None.
    None,
    /// Announced.
    Requested,
    /// Some came back.
    PartReturned,
    /// All that shipped came back.
    Returned,
}

/// A placed order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The order.
    pub order_id: OrderId,
    /// Its number where it comes from.
    pub external_ref: Option<ExternalRef>,
    /// Where it comes from.
    pub channel: Channel,
    /// Who orders.
    pub customer: Option<CustomerRef>,
    /// The currency of every amount.
    pub currency: Currency,
    /// How halves were rounded.
    pub rounding: Rounding,
    /// How it is paid.
    pub payment_terms: PaymentTerms,
    /// The location that its stock comes from.
    pub location: LocationId,
    /// How long stock stays reserved before confirmation, in seconds.
    pub reserve_for_s: u32,
    /// When it was placed in the business's own time, where that is not the time of recording.
    pub occurred_at: Option<Timestamp>,
    /// Where it goes.
    pub ship_to: Option<Personal<Address>>,
    /// Its labels.
    pub tags: Vec<String>,
    /// The order whose goods it sends again.
    pub replaces: Option<OrderId>,
    /// The reservation that it was placed on, and took over.
    pub basket: Option<ReservationId>,
    /// How far it is.
    pub status: Status,
    /// Why it was rejected.
    pub rejection: Option<Rejection>,
    /// Why it was cancelled.
    pub cancel_reason: Option<String>,
    /// Its lines, with their quantities and values.
    pub lines: BTreeMap<LineId, LineState>,
    /// What is charged for shipping.
    pub shipping: Vec<ShippingCharge>,
    /// What of the shipping charges is due with a shipment that is on its way or has left.
    pub shipping_shipped: Minor,
    /// What of the shipping charges was cancelled.
    pub shipping_cancelled: Minor,
    /// The sums of what was ordered, edits included.
    pub totals: Totals,
    /// The reservation that holds its stock.
    pub reservation_id: Option<ReservationId>,
    /// Whether inventory ever held or promised something for it.
    pub was_reserved: bool,
    /// The payment.
    pub payments: Vec<Payment>,
    /// The discount on the whole order, as it was placed: it is spread over the lines.
    pub discount: Minor,
    /// Holds that are open.
    pub holds: BTreeMap<HoldId, Hold>,
    /// Holds that were released.
    pub released_holds: BTreeMap<HoldId, ReleasedHold>,
    /// Its shipments.
    pub shipments: BTreeMap<ShipmentId, Shipment>,
    /// Its returns.
    pub returns: BTreeMap<ReturnId, Return>,
    /// Its cancellations.
    pub cancellations: BTreeMap<CancellationId, Cancellation>,
    /// Its edits.
    pub edits: BTreeMap<EditId, Edit>,
    /// Refunds granted, and how much each.
    pub refunds: BTreeMap<RefundId, Refund>,
    /// Its notes.
    pub notes: BTreeMap<NoteId, Note>,
    /// Lines of which edits ordered more; each time inventory holds the units under a reservation of their own.
    pub increases: u32,
    /// How often its tags, its address and its tracking numbers were changed.
    pub remarks: u32,
}

/// Why an order was rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Why.
    pub reason: RejectReason,
    /// The provider's code, say.
    pub detail: Option<String>,
    /// What was short.
    pub shortfalls: Vec<Shortfall>,
}

/// A line with its counters. `ordered = cancelled + reserved + backordered + unassigned + shipped`, where the units of a requested
/// shipment count as reserved until it is dispatched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineState {
    /// The line as last edited; its `qty` is `ordered`.
    pub line: Line,
    /// Units that will not ship.
    pub cancelled: u32,
    /// Units that inventory holds (for lines that are not kept in stock: that are confirmed).
    pub reserved: u32,
    /// Units promised once stock comes.
    pub backordered: u32,
    /// Of the reserved, those in a requested shipment.
    pub shipping: u32,
    /// Units that left.
    pub shipped: u32,
    /// Of those, units that arrived.
    pub delivered: u32,
    /// Of those shipped, units that got lost.
    pub lost: u32,
    /// Units that got lost and whose money goes back, whether they turned up later or not.
    pub lost_refunded: u32,
    /// Units announced to come back.
    pub return_requested: u32,
    /// Units that came back.
    pub returned: u32,
    /// Of those, units back on the shelf.
    pub restocked: u32,
    /// Of those, units that cannot be sold.
    pub written_off: u32,
    /// Value of the cancelled units.
    pub cancelled_value: Minor,
    /// Value of the units in requested shipments.
    pub shipping_value: Minor,
    /// Value of the units that left.
    pub shipped_value: Minor,
    /// Value of the units that came back.
    pub returned_value: Minor,
    /// Value of the units that got lost and whose money goes back.
    pub lost_value: Minor,
    /// Of what came back, how much did before money was refunded by the line: that money is for other units, and comes on top.
    pub back_before: Minor,
    /// Where the line's value is counted from.
    pub basis: Basis,
}

/// Where a line's value is counted from: what was cancelled, shipped or on its way when the line was last edited or a shipment of it
/// was refused. The parts after it are cumulative over what was left then, so that none is ever negative and the last takes the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// Units.
    pub units: u32,
    /// Their value.
    pub value: Minor,
}

/// A payment of an order, as the order knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Which.
    pub payment_id: PaymentId,
    /// How it comes: `None` for the instrument that the order was placed with.
    pub means: Option<Means>,
    /// The payment that it takes the place of.
    pub replaces: Option<PaymentId>,
    /// How much was asked for.
    pub requested: Minor,
    /// Where it stands.
    pub status: PaymentStatus,
    /// Held at the provider in all, or come another way.
    pub authorised: Minor,
    /// Taken in all.
    pub captured: Minor,
    /// Given back in all.
    pub refunded: Minor,
    /// Let go without being taken.
    pub voided: Minor,
    /// Until when the provider lets what is held be taken.
    pub capture_before: Option<Timestamp>,
    /// What the gateway can do with it.
    pub abilities: Abilities,
    /// What was told of the end of what it holds, once that is near.
    pub ending: Option<Ending>,
    /// Whether what it held has ended.
    pub expired: bool,
    /// The version of its stream that the sums are of.
    pub version: u64,
    /// The versions of its stream that were told.
    pub told: BTreeSet<u64>,
    /// The most of it that the order will still take, once it gave up the rest.
    pub keep: Option<Minor>,
    /// What stays held once a void that the payment reported is done.
    pub keeps: Option<Minor>,
    /// A void by hand of which the payment has not reported yet.
    pub released: Option<ByHand>,
    /// A fingerprint of what was asked for.
    pub asked: Option<Uuid>,
}

/// A void by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByHand {
    /// How much of what is held stays.
    pub keep: Minor,
    /// The version of the payment before it: what the payment reports of a later one knows of the void.
    pub payment_version: u64,
}

/// The end of what a payment holds, near or there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// How many seconds before it that counts as near.
    pub lead_s: u32,
    /// What shall follow where it is still needed.
    pub then: OnExpiry,
}

/// An open hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Why.
    pub reason: String,
    /// More about it.
    pub note: Option<Personal<String>>,
    /// When it is released by itself, if it is.
    pub until: Option<Timestamp>,
}

/// A hold that was released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedHold {
    /// What it was.
    pub hold: Hold,
    /// What came of it.
    pub resolution: String,
}

/// An edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// What it changed of the order's total.
    pub balance_change: Minor,
    /// The fingerprint of what was asked.
    pub asked: Option<Uuid>,
}

/// How far a shipment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShipmentStatus {
    /// It waits to be paid for.
    Requested,
    /// It shall not leave, and its units are not back yet.
    Withdrawn,
    /// It left.
    Dispatched,
    /// It will not leave.
    Refused,
    /// All of it arrived.
    Delivered,
    /// What did not arrive is lost.
    Lost,
}

impl ShipmentStatus {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Withdrawn => "withdrawn",
            Self::Dispatched => "dispatched",
            Self::Refused => "refused",
            Self::Delivered => "delivered",
            Self::Lost => "lost",
        }
    }
}

/// A shipment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipment {
    /// How far it is.
    pub status: ShipmentStatus,
    /// Units and value by line.
    pub lines: BTreeMap<LineId, ShipmentLine>,
    /// Where it leaves from.
    pub location: LocationId,
    /// Shipping charges due with it.
    pub shipping: Minor,
    /// What had to be captured before it leaves.
    pub to_capture: Minor,
    /// From which payments, and whether that is done.
    pub captures: Vec<ShipmentCapture>,
    /// Where it goes.
    pub ship_to: Option<Personal<Address>>,
    /// The cancellation that withdrew it, and has its units.
    pub cancellation_id: Option<CancellationId>,
    /// How often somebody decided what is done about its lost units.
    pub decisions: u32,
    /// The orders that send others for its lost units.
    pub resent: Vec<OrderId>,
    /// Who carries it.
    pub carrier: Option<String>,
    /// The carrier's number.
    pub tracking: Option<String>,
    /// Why it was refused.
    pub refused: Option<String>,
    /// The fingerprint of what was asked.
    pub asked: Option<Uuid>,
}

/// What is captured from a payment before a shipment leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentCapture {
    /// From where, and how much.
    pub share: PaymentShare,
    /// Whether the order knows that it is taken.
    pub done: bool,
}

/// A line of a shipment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentLine {
    /// Units.
    pub qty: u32,
    /// Their value.
    pub amount: Minor,
    /// Of those, units that arrived.
    pub delivered: u32,
    /// Of those, units that got lost.
    pub lost: u32,
    /// Of those lost, units of which somebody decided what is done about them.
    pub decided: u32,
}

/// How far a return is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnStage {
    /// Announced.
    Requested,
    /// Will not be taken back.
    Declined,
    /// Some of it came.
    PartReceived,
    /// It came, or what did not is missing.
    Received,
}

impl ReturnStage {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Declined => "declined",
            Self::PartReceived => "part_received",
            Self::Received => "received",
        }
    }
}

/// A return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// How far it is.
    pub stage: ReturnStage,
    /// What was announced.
    pub lines: Vec<ReturnLine>,
    /// Units still announced, by line.
    pub open: BTreeMap<LineId, u32>,
    /// How many receipts there were.
    pub receipts: u32,
    /// What is owed for what came back.
    pub refund: Minor,
    /// Why it was declined.
    pub declined: Option<String>,
    /// The fingerprint of what was asked with each receipt.
    pub asked: BTreeMap<u32, Uuid>,
}

/// A cancellation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancellation {
    /// Units cancelled, by line.
    pub lines: BTreeMap<LineId, u32>,
    /// The value cancelled.
    pub amount: Minor,
    /// Why.
    pub reason: String,
    /// Whether nothing of the order was left by it.
    pub whole: bool,
    /// Whether everything it had to give back is given back.
    pub closed: bool,
    /// The fingerprint of what was asked.
    pub asked: Option<Uuid>,
}

/// A refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// How much.
    pub amount: Minor,
    /// How often it was granted.
    pub attempt: u32,
    /// Out of which payments, and how far each is.
    pub parts: Vec<RefundPart>,
    /// For which lines.
    pub lines: Vec<LineValue>,
    /// For shipping charges.
    pub shipping: Minor,
    /// Whether somebody granted it.
    pub by_hand: bool,
    /// Why.
    pub reason: String,
    /// The return that it follows from.
    pub return_id: Option<ReturnId>,
    /// The cancellation that it follows from.
    pub cancellation_id: Option<CancellationId>,
    /// The edit that it follows from.
    pub edit_id: Option<EditId>,
    /// The shipment whose loss it follows from.
    pub shipment_id: Option<ShipmentId>,
    /// A fingerprint of what was asked for.
    pub asked: Option<Uuid>,
}

/// What of a refund comes out of one payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundPart {
    /// The payment.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Minor,
    /// The refund as its payment knows it.
    pub at_payment: RefundId,
    /// How far it is.
    pub progress: RefundProgress,
}

/// How far a part of a refund is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "progress", rename_all = "snake_case")]
pub enum RefundProgress {
    /// It is asked for, or owed by hand.
    Pending,
    /// The customer has it.
    Done {
        /// How that can be found, where somebody paid it by hand.
        reference: Option<String>,
    },
    /// The provider will not pay it.
    Failed {
        /// Its code.
        code: String,
    },
    /// It is not granted any more.
    Withdrawn {
        /// Why.
        reason: String,
    },
}

/// A note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What it says.
    pub text: Personal<String>,
    /// Who may read it.
    pub visibility: Visibility,
    /// Whether Daybook itself says it.
    pub reported: bool,
}
