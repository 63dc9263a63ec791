//! What can have happened to an order. It stays: add a variant or an optional field, never bend one
//! (the golden schemas in `schemas/` guard the stored form).

mod goods;
mod money;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::basket::Basket;
use super::line::{Line, LineQty, LineRelease, ShippingCharge, Totals};
use crate::ids::{
    CancellationId, Channel, CustomerRef, EditId, ExternalRef, HoldId, LineId, LocationId, NoteId, OrderId, PaymentId,
    ReservationId,
};
use crate::instrument::Instrument;
use crate::money::{Currency, Minor, Rounding};
use crate::payment::abilities::Abilities;
use crate::personal::Personal;
use crate::stored::is_default;
use crate::time::Timestamp;

pub use goods::*;
pub use money::*;

/// A fact about an order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Event {
    Placed(Box<Placed>),
    Confirmed(Confirmed),
    Rejected(Rejected),
    Completed(Completed),
    Edited(Edited),
    LinesReserved(LinesReserved),
    LinesBackordered(LinesBackordered),
    LinesUnreserved(LinesUnreserved),
    LinesCancelled(LinesCancelled),
    CancellationClosed(CancellationClosed),
    Cancelled(Cancelled),
    HoldPlaced(HoldPlaced),
    HoldReleased(HoldReleased),
    ShippingAddressChanged(ShippingAddressChanged),
    NoteAdded(NoteAdded),
    TagsSet(TagsSet),
    ShipmentRequested(ShipmentRequested),
    ShipmentDispatched(ShipmentDispatched),
    ShipmentRefused(ShipmentRefused),
    TrackingUpdated(TrackingUpdated),
    ShipmentDelivered(ShipmentDelivered),
    ShipmentLost(ShipmentLost),
    ReturnRequested(ReturnRequested),
    ReturnDeclined(ReturnDeclined),
    ReturnReceived(ReturnReceived),
    ShipmentWithdrawn(ShipmentWithdrawn),
    LossDecided(LossDecided),
    ShipmentFound(ShipmentFound),
    StockWanted(StockWanted),
    RefundGranted(RefundGranted),
    RefundDeclined(RefundDeclined),
    RefundPaid(RefundPaid),
    RefundWithdrawn(RefundWithdrawn),
    PaymentAdded(PaymentAdded),
    PaymentReleased(PaymentReleased),
    SurplusReleased(SurplusReleased),
    PaymentRecorded(PaymentRecorded),
}

/// Where an order goes. Personal as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Address {
    /// Who receives it.
    pub name: String,
    /// Street, house, floor: one entry a line.
    pub lines: Vec<String>,
    /// Town.
    pub city: String,
    /// Postal code, if the country has them.
    pub postcode: Option<String>,
    /// ISO 3166-1 alpha-2 country code, or the country's name where only that is known.
    pub country: String,
}

/// When the money is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Capture {
    /// What ships is captured before it ships (the default).
    #[default]
    AtShipment,
    /// Everything is captured as soon as the order is confirmed.
    AtConfirmation,
    /// Not here: the order ships unpaid, by explicit policy.
    PayLater,
}

/// How an order is paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentTerms {
    /// When the money is taken.
    pub capture: Capture,
    /// The provider's token for the means of payment; never a card number.
    #[schemars(with = "String")]
    pub instrument: Instrument,
    /// How long after a decline the order stays pending, so that it can be paid another way; in seconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry_for_s: u32,
}

/// `OrderPlaced`: a customer wants these lines on these terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Placed {
    /// The order.
    pub order_id: OrderId,
    /// Its number where it comes from, unique in its channel.
    pub external_ref: Option<ExternalRef>,
    /// Where it comes from.
    pub channel: Channel,
    /// Who orders.
    pub customer: Option<CustomerRef>,
    /// The currency of every amount of the order.
    pub currency: Currency,
    /// How halves were rounded.
    pub rounding: Rounding,
    /// What is ordered.
    pub lines: Vec<Line>,
    /// What is charged for shipping.
    pub shipping: Vec<ShippingCharge>,
    /// Where it goes.
    pub ship_to: Option<Personal<Address>>,
    /// The sums.
    pub totals: Totals,
    /// How it is paid.
    pub payment: PaymentTerms,
    /// The location that its stock comes from.
    pub location: LocationId,
    /// How long stock stays reserved before confirmation, in seconds.
    pub reserve_for_s: u32,
    /// When it was placed in the business's own time, where that is not the time of recording (imports).
    pub occurred_at: Option<Timestamp>,
    /// Free labels; `simulated` marks what an import made up.
    pub tags: Vec<String>,
    /// The order whose goods it sends again, for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<OrderId>,
    /// The reservation that it takes over; ended in the same batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basket: Option<Basket>,
}

/// `OrderConfirmed`: stock and money are held. From here on, undoing is a cancellation or a return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Confirmed {
    /// The payment, `None` for a free order and for `pay_later`.
    pub payment_id: Option<PaymentId>,
    /// The reservation, `None` if no line is kept in stock.
    pub reservation_id: Option<ReservationId>,
    /// What the payment authorised. Nothing else tells the order so.
    pub authorised: Minor,
    /// The version of the payment's stream at which it stood so.
    #[serde(default)]
    pub payment_version: u64,
    /// Until when the provider lets that be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture_before: Option<Timestamp>,
    /// What the gateway can do with it, if it says so; everything if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abilities: Option<Abilities>,
}

/// Why an order was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// Not enough stock.
    OutOfStock,
    /// The means of payment was declined.
    PaymentDeclined,
    /// The reservation ended before the order could be confirmed.
    Expired,
    /// Taken for fraud.
    Fraud,
}

/// `OrderRejected`: it will not be; everything is undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejected {
    /// Why.
    pub reason: RejectReason,
    /// The provider's code, say.
    pub detail: Option<String>,
    /// For `out_of_stock`: what was wanted and what there was, by SKU.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shortfalls: Vec<crate::stock::Shortfall>,
    /// For `payment_declined`: where the payment stands. Nothing else tells the order so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<PaymentRecorded>,
}

/// `OrderCompleted`: nothing is left to ship.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Completed {}

/// One change of an edit, resolved: what the line is from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum LineChange {
    /// A new line.
    Added {
        /// The line.
        line: Line,
    },
    /// A line with a new quantity, price or discount; its quantities already cancelled or shipped stay.
    Changed {
        /// The line as it is from now on.
        line: Line,
    },
}

/// `OrderEdited`: the lines changed, and with them what is owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Edited {
    /// The edit.
    pub edit_id: EditId,
    /// What changed.
    pub changes: Vec<LineChange>,
    /// The sums before.
    pub totals_before: Totals,
    /// The sums after.
    pub totals_after: Totals,
    /// `totals_after.total − totals_before.total`.
    pub balance_change: Minor,
    /// Units of stocked lines that inventory is to hold and does not yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserve: Vec<LineQty>,
    /// What inventory has to release, held and backordered units apart; the counters are without it from here on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub release: Vec<LineRelease>,
    /// Why.
    pub reason: String,
    /// A fingerprint of the changes that were asked for and of the reason: the same id with others is another edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Uuid>,
}

/// `LinesReserved`: inventory holds these units for the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinesReserved {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// What is held.
    pub lines: Vec<LineQty>,
    /// Whether these units were backordered before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_backorder: bool,
}

/// `LinesBackordered`: inventory has promised these units once stock comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinesBackordered {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// What is waited for.
    pub lines: Vec<LineQty>,
}

/// `LinesUnreserved`: inventory holds these units no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinesUnreserved {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// What is not held any more, out of reserved first, then of backordered.
    pub lines: Vec<LineQty>,
    /// Why.
    pub reason: String,
}

/// Units of a line and what they are worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LineValue {
    /// The line.
    pub line_id: LineId,
    /// Units.
    pub qty: u32,
    /// Their value in minor units, cumulative so that the last unit takes the rest.
    pub amount: Minor,
}

/// `LinesCancelled`: these units will not ship.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinesCancelled {
    /// The cancellation.
    pub cancellation_id: CancellationId,
    /// What is cancelled. Taken out of unassigned first, then backordered, then reserved.
    pub lines: Vec<LineValue>,
    /// Shipping charges that are cancelled with it: all of them if nothing is left to ship and nothing has.
    pub shipping: Minor,
    /// The value of it all.
    pub amount: Minor,
    /// What inventory has to release, held and backordered units apart.
    pub release: Vec<LineRelease>,
    /// Why.
    pub reason: String,
    /// Whether nothing of the order is left: neither to ship nor shipped.
    pub whole: bool,
    /// A fingerprint of what was asked for: the same id with something else is another wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Uuid>,
}

/// `CancellationClosed`: what the cancellation had to give back is given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CancellationClosed {
    /// The cancellation.
    pub cancellation_id: CancellationId,
}

/// `OrderCancelled`: nothing shipped, nothing will, and everything that was held or taken has been given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancelled {
    /// Why.
    pub reason: String,
}

/// `HoldPlaced`: no capture and no shipping until it is released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldPlaced {
    /// The hold.
    pub hold_id: HoldId,
    /// Why: `fraud_check`, `address`, `customer_request` …
    pub reason: String,
    /// More about it.
    pub note: Option<Personal<String>>,
    /// When it is released by itself, if nobody has released it before; without it, it stays until somebody does.
    pub until: Option<Timestamp>,
}

/// `HoldReleased`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldReleased {
    /// The hold.
    pub hold_id: HoldId,
    /// What came of it.
    pub resolution: String,
}

/// `ShippingAddressChanged`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShippingAddressChanged {
    /// The new address.
    pub ship_to: Personal<Address>,
}

/// Who may read a note.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// The shop's people.
    #[default]
    Internal,
    /// The customer as well.
    Customer,
}

/// `NoteAdded`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoteAdded {
    /// The note.
    pub note_id: NoteId,
    /// What it says.
    pub text: Personal<String>,
    /// Who may read it.
    pub visibility: Visibility,
    /// Whether Daybook itself says it: such notes are not counted among those that callers may add.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reported: bool,
}

/// `TagsSet`: the order's labels are these, instead of those it had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TagsSet {
    /// All of them.
    pub tags: Vec<String>,
}
