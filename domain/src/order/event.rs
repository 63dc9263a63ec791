//! What can have happened to an order. Kept for ever: add a variant or an optional field, never bend one
//! (the golden schemas in `schemas/` guard the stored form).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::line::{Line, LineQty, ShippingCharge, Totals};
use crate::ids::{
    CancellationId, CaptureId, Channel, CustomerRef, EditId, ExternalRef, HoldId, LineId, LocationId, NoteId, OrderId,
    PaymentId, RaiseId, RefundId, ReservationId, ReturnId, ShipmentId,
};
use crate::instrument::Instrument;
use crate::money::{Currency, Minor, Rounding};
use crate::payment::abilities::Abilities;
use crate::personal::Personal;
use crate::time::Timestamp;

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
    #[serde(default, skip_serializing_if = "is_none_s")]
    pub retry_for_s: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none_s(seconds: &u32) -> bool {
    *seconds == 0
}

/// `OrderPlaced`: a customer wants these lines on these terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Placed {
    /// The order.
    pub order_id: OrderId,
    /// Its number where it comes from, unique per channel for ever.
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
    /// Whether a hold was open: nothing is captured before it is released.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
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
    /// Of what was reserved or backordered, how much inventory has to let go; the counters are without it from here on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub release: Vec<LineQty>,
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
    /// Of what was reserved or backordered, how much inventory has to let go, by line.
    pub release: Vec<LineQty>,
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

/// What of an amount is moved at which payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentShare {
    /// The payment.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Minor,
}

/// `RefundGranted`: the customer gets this back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefundGranted {
    /// The refund.
    pub refund_id: RefundId,
    /// How often it was granted, this time included: once more after a provider would not pay it.
    #[serde(default = "once")]
    pub attempt: u32,
    /// How much.
    pub amount: Minor,
    /// Out of which payments, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PaymentShare>,
    /// For which lines, if for lines.
    pub lines: Vec<LineValue>,
    /// For shipping charges.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shipping: Minor,
    /// Whether somebody granted it; otherwise it follows from what happened to the order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
    /// The return that it follows from, if it follows from one.
    pub return_id: Option<ReturnId>,
    /// The cancellation that it follows from, if it follows from one.
    pub cancellation_id: Option<CancellationId>,
    /// The edit that it follows from, if it follows from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit_id: Option<EditId>,
    /// The shipment whose loss it follows from, if it follows from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipment_id: Option<ShipmentId>,
    /// Why.
    pub reason: String,
    /// A fingerprint of what was asked for: the same id with something else is another wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Uuid>,
}

fn once() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(amount: &Minor) -> bool {
    *amount == 0
}

/// `RefundDeclined`: the provider will not pay this part of a refund. It is not granted any more, and can be granted again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefundDeclined {
    /// The refund.
    pub refund_id: RefundId,
    /// The payment that it was to come out of.
    pub payment_id: PaymentId,
    /// The provider's code.
    pub code: String,
}

/// `RefundPaid`: somebody has given back by hand what was to come out of a payment that no provider made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefundPaid {
    /// The refund.
    pub refund_id: RefundId,
    /// How it can be found: the number of a transfer, say.
    pub reference: String,
}

/// `RefundWithdrawn`: what of a refund was still owed by hand is not granted any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefundWithdrawn {
    /// The refund.
    pub refund_id: RefundId,
    /// Why.
    pub reason: String,
}

/// How money comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Means {
    /// Through the payment provider.
    Provider {
        /// The provider's token; never a card number.
        #[schemars(with = "String")]
        instrument: Instrument,
    },
    /// Another way: cash, a transfer, a gift card. It is there as soon as it is recorded, and goes back by hand.
    External {
        /// How it can be found.
        reference: String,
    },
}

/// Why a payment was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Added {
    /// Somebody pays, once more or another way.
    ByHand,
    /// An edit made the order worth more.
    Edit,
    /// What another payment holds ends soon.
    Renewal,
}

/// `PaymentAdded`: one more payment of the order. Through the provider it is asked for from here on; another way it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentAdded {
    /// The payment.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Minor,
    /// How it comes.
    #[serde(flatten)]
    pub means: Means,
    /// Why.
    pub added: Added,
    /// The payment that it takes the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<PaymentId>,
    /// A fingerprint of what was asked for: the same id with something else is another wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Uuid>,
}

/// `PaymentReleased`: somebody lets go of what a payment holds, but for what is to be kept. The order counts on no more than that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentReleased {
    /// The payment.
    pub payment_id: PaymentId,
    /// How much of what is held stays.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub keep: Minor,
}

/// `SurplusReleased`: more is held than the order will take. Of each payment that is named, no more than this is held on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SurplusReleased {
    /// The payments, each with what of it is still needed.
    pub keep: Vec<PaymentShare>,
}

/// Where an order's money stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Nothing is held or taken.
    #[default]
    None,
    /// Money is held.
    Authorised,
    /// Some of it is taken.
    PartCaptured,
    /// All of it is taken.
    Captured,
    /// Some of what was taken is given back.
    PartRefunded,
    /// All of what was taken is given back.
    Refunded,
    /// The hold on the money was given up.
    Voided,
    /// The means of payment was declined.
    Declined,
    /// The provider did not say; being asked about.
    Unknown,
}

/// `PaymentRecorded`: where a payment stands. An order cannot read a payment's stream (payments may live elsewhere), yet how much can
/// be shipped and refunded is its own decision: hence this fact on its own stream, one for each fact of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentRecorded {
    /// The payment.
    pub payment_id: PaymentId,
    /// The version of the payment's stream that the sums are of; sums of an older one never follow those of a newer one.
    pub payment_version: u64,
    /// Where it stands.
    pub status: PaymentStatus,
    /// Held at the provider in all.
    pub authorised: Minor,
    /// Taken in all.
    pub captured: Minor,
    /// Given back in all.
    pub refunded: Minor,
    /// Asked to be given back and not settled yet.
    pub refund_pending: Minor,
    /// Let go without being taken.
    #[serde(default)]
    pub voided: Minor,
    /// Until when the provider lets what is held be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture_before: Option<Timestamp>,
    /// What the gateway can do with it, if it says so; everything if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abilities: Option<Abilities>,
    /// What happened to the payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact: Option<PaymentFact>,
}

/// What happened to a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentFact {
    /// The version of the payment's stream that it has. Each is told once.
    pub version: u64,
    /// What it was.
    #[serde(flatten)]
    pub what: Happened,
}

/// What can have happened to a payment, as far as an order has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "happened", rename_all = "snake_case")]
pub enum Happened {
    /// Money is held.
    Authorised,
    /// It is not.
    Declined {
        /// The provider's code.
        code: String,
    },
    /// More is held.
    Raised {
        /// The raise.
        raise_id: RaiseId,
    },
    /// No more is, surely.
    RaiseFailed {
        /// The raise.
        raise_id: RaiseId,
        /// The provider's code.
        code: String,
    },
    /// What is held can soon not be taken any more.
    Ending,
    /// Some of it was taken.
    Captured {
        /// The capture.
        capture_id: CaptureId,
    },
    /// It was not, surely.
    CaptureFailed {
        /// The capture.
        capture_id: CaptureId,
        /// The provider's code.
        code: String,
        /// Whether it shall not be tried again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        last: bool,
    },
    /// Some of it, or all, was let go.
    Voided,
    /// It was not, surely.
    VoidFailed {
        /// The provider's code.
        code: String,
    },
    /// What was held ended.
    Expired,
    /// Some of what was taken was given back.
    Refunded {
        /// The refund.
        refund_id: RefundId,
    },
    /// It was not, surely.
    RefundFailed {
        /// The refund.
        refund_id: RefundId,
        /// The provider's code.
        code: String,
        /// Whether it shall not be tried again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        last: bool,
    },
    /// The provider did not say what came of something.
    Unknown {
        /// What was asked of it.
        asked: crate::payment::event::Verb,
    },
}
