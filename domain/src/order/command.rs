//! What can be asked of an order. Everything from outside comes in with the command: ids, amounts, instants.

use serde::{Deserialize, Serialize};

use super::basket::Basket;
use super::event::{
    Added, Address, AfterLoss, Capture, Disposition, Means, PaymentRecorded, PaymentTerms, RefundDeclined,
    RejectReason, Visibility,
};
use super::line::{LineQty, UnitPrice};
use crate::ids::{
    CancellationId, Channel, CustomerRef, EditId, ExternalRef, HoldId, LineId, LocationId, NoteId, OrderId, PaymentId,
    RefundId, ReservationId, ReturnId, ShipmentId, Sku,
};
use crate::money::{Currency, Minor, Rounding};
use crate::payment::abilities::Abilities;
use crate::personal::Personal;
use crate::stock::Shortfall;
use crate::time::Timestamp;

/// A wish about an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Place it. Decided on an absent order only.
    Place(Box<Place>),
    /// (saga) Stock and money are held: record the reservation and confirm.
    Confirm(Confirm),
    /// (saga) It will not be; everything is undone.
    Reject {
        /// Why.
        reason: RejectReason,
        /// A detail, for example the provider's code.
        detail: Option<String>,
        /// The missing units.
        shortfalls: Vec<Shortfall>,
        /// Where the payment stands that was declined.
        payment: Option<PaymentRecorded>,
    },
    /// Change its lines.
    Edit(Edit),
    /// (saga) Inventory holds these units.
    RecordReserved {
        /// The reservation.
        reservation_id: ReservationId,
        /// Held now.
        reserved: Vec<LineQty>,
        /// Promised once stock comes.
        backordered: Vec<LineQty>,
    },
    /// (saga) Stock came for these backordered units: they are held now.
    RecordAllocated {
        /// The reservation.
        reservation_id: ReservationId,
        /// Units that are now reserved and were backordered before.
        lines: Vec<LineQty>,
    },
    /// (saga) Stock no longer reserves these units.
    RecordUnreserved {
        /// The reservation.
        reservation_id: ReservationId,
        /// Which.
        lines: Vec<LineQty>,
        /// Why.
        reason: String,
    },
    /// (saga) Stock lacks units of an edit: the units that the order still wants are requested again, or cancelled if
    /// they are as many as were refused.
    ResolveShortage {
        /// The edit.
        edit_id: EditId,
        /// Which attempt was refused, counted from 1.
        attempt: u32,
        /// The refused units.
        refused: Vec<LineQty>,
        /// The cancellation, if it comes to one.
        cancellation_id: CancellationId,
    },
    /// Cancel units that have not left, those of requested shipments included; all of them if `lines` is `None`. Before confirmation only all of them.
    Cancel {
        /// The cancellation.
        cancellation_id: CancellationId,
        /// Which units.
        lines: Option<Vec<Units>>,
        /// Why.
        reason: String,
    },
    /// (saga) Stock has released the goods of a cancellation. The order is cancelled once its money is returned as
    /// well, if nothing shipped and nothing will.
    CloseCancellation {
        /// The cancellation.
        cancellation_id: CancellationId,
        /// Where the payment stands that was declined before the order was cancelled.
        payment: Option<PaymentRecorded>,
    },
    /// Hold it: no capture, no shipping.
    PlaceHold {
        /// The hold.
        hold_id: HoldId,
        /// Why.
        reason: String,
        /// More about it.
        note: Option<Personal<String>>,
        /// When it is released automatically, if it is.
        until: Option<Timestamp>,
    },
    /// Release a hold.
    ReleaseHold {
        /// The hold.
        hold_id: HoldId,
        /// The resolution.
        resolution: String,
    },
    /// Send it elsewhere.
    ChangeAddress {
        /// Where.
        ship_to: Personal<Address>,
    },
    /// Note something.
    AddNote {
        /// The note.
        note_id: NoteId,
        /// What it says.
        text: Personal<String>,
        /// Who may read it.
        visibility: Visibility,
    },
    /// (payment worker) A person has to know of this: noted however many notes callers have added.
    Report {
        /// The note.
        note_id: NoteId,
        /// What it says.
        text: Personal<String>,
    },
    /// Label it.
    SetTags {
        /// All its labels from now on.
        tags: Vec<String>,
    },
    /// Units that are held wait for stock again: there is none for them. In the batch that says so to inventory.
    RecordDeferred {
        /// What waits, each line once.
        lines: Vec<LineQty>,
        /// Why.
        reason: String,
    },
    /// Ship these units; all that are reserved if `lines` is `None`.
    RequestShipment {
        /// The shipment.
        shipment_id: ShipmentId,
        /// Which units.
        lines: Option<Vec<Units>>,
        /// Where it leaves from; the order's own location if `None`.
        location: Option<LocationId>,
        /// The carrier.
        carrier: Option<String>,
        /// The carrier's number.
        tracking: Option<String>,
    },
    /// (saga) It is paid for: it left.
    Dispatch {
        /// The shipment.
        shipment_id: ShipmentId,
    },
    /// Withdraw a shipment that has not left.
    WithdrawShipment {
        /// The shipment.
        shipment_id: ShipmentId,
        /// Why.
        reason: String,
    },
    /// (saga) It will not leave, and its units are back where they were.
    RefuseShipment {
        /// The shipment.
        shipment_id: ShipmentId,
        /// Why.
        reason: String,
    },
    /// Set the tracking.
    UpdateTracking {
        /// The shipment.
        shipment_id: ShipmentId,
        /// The carrier.
        carrier: Option<String>,
        /// The carrier's number.
        tracking: Option<String>,
    },
    /// It arrived; all of it if `lines` is `None`.
    ConfirmDelivery {
        /// The shipment.
        shipment_id: ShipmentId,
        /// What arrived.
        lines: Option<Vec<Units>>,
        /// When, in the business's own time.
        at: Option<Timestamp>,
    },
    /// It will not arrive.
    ReportLost {
        /// The shipment.
        shipment_id: ShipmentId,
        /// The lost units; all that were not delivered if `None`.
        lines: Option<Vec<Units>>,
        /// The units that the replacing order sends, if one is placed with the report; they must be all lost units
        /// without a decision.
        sent: Option<Vec<Units>>,
        /// What to do about them.
        then: AfterLoss,
    },
    /// Decide what to do about all lost units of it without a decision.
    DecideLoss {
        /// The shipment.
        shipment_id: ShipmentId,
        /// Which decision about this shipment it is, counted from 1; the next one if `None`.
        decision: Option<u32>,
        /// What the order sends that is placed with it; it has to be all of them.
        sent: Option<Vec<Units>>,
        /// The decision.
        then: AfterLoss,
    },
    /// Units that were lost arrived after all.
    ReportFound {
        /// The shipment.
        shipment_id: ShipmentId,
        /// What arrived; all that is lost if `None`.
        lines: Option<Vec<Units>>,
    },
    /// Announce a return.
    RequestReturn {
        /// The return.
        return_id: ReturnId,
        /// The units to return, and the reason.
        lines: Vec<ReturnUnits>,
    },
    /// Do not take it back.
    DeclineReturn {
        /// The return.
        return_id: ReturnId,
        /// Why.
        reason: String,
    },
    /// It came back.
    ReceiveReturn {
        /// The return.
        return_id: ReturnId,
        /// Which receipt of the return this is, counted from 1; the next one if `None`.
        receipt: Option<u32>,
        /// The returned units.
        lines: Vec<ReceivedUnits>,
    },
    /// Give money back.
    GrantRefund(GrantRefund),
    /// Grant the failed and withdrawn parts of a refund again.
    RetryRefund {
        /// The refund.
        refund_id: RefundId,
        /// The number of the new grant; the next one if `None`.
        attempt: Option<u32>,
    },
    /// (saga) The provider will not pay this part of a refund.
    FailRefund(RefundDeclined),
    /// What of a refund was owed by hand is paid.
    ConfirmRefundPaid {
        /// The refund.
        refund_id: RefundId,
        /// How that can be found.
        reference: String,
    },
    /// Withdraw the parts of a refund that are owed by hand.
    WithdrawRefund {
        /// The refund.
        refund_id: RefundId,
        /// Why.
        reason: String,
    },
    /// Add a payment, or record money that was paid another way.
    AddPayment(AddPayment),
    /// Void what a payment holds, except for the part to keep: decided together with the payment's own part of it.
    ReleasePayment {
        /// The payment.
        payment_id: PaymentId,
        /// How much may stay held.
        keep: Minor,
        /// The version of the payment before it.
        payment_version: u64,
    },
    /// Whether a payment of it may be captured now; nothing is recorded.
    ClearCapture,
    /// (saga) What happened to a payment, and where it stands.
    RecordPayment(PaymentRecorded),
}

/// What placing an order needs. The arithmetic is done by the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The order.
    pub order_id: OrderId,
    /// Its number where it comes from.
    pub external_ref: Option<ExternalRef>,
    /// Where it comes from.
    pub channel: Channel,
    /// The customer.
    pub customer: Option<CustomerRef>,
    /// The currency of every amount.
    pub currency: Currency,
    /// How halves are rounded.
    pub rounding: Rounding,
    /// The lines: 1 to 2,000, with unique line ids.
    pub lines: Vec<NewLine>,
    /// A discount on the whole order, spread over the lines by largest remainder.
    pub discount: Minor,
    /// The shipping charges.
    pub shipping: Vec<NewShipping>,
    /// Where it goes.
    pub ship_to: Option<Personal<Address>>,
    /// How it is paid.
    pub payment: PaymentTerms,
    /// The location that its stock comes from.
    pub location: LocationId,
    /// How long stock stays reserved before confirmation, in seconds.
    pub reserve_for_s: u32,
    /// When it was placed in the business's own time, where that is not now.
    pub occurred_at: Option<Timestamp>,
    /// Free labels.
    pub tags: Vec<String>,
    /// What the caller believes the total to be; refused with both breakdowns if it is not.
    pub expected_total: Option<Minor>,
    /// The order whose goods it sends again, for nothing.
    pub replaces: Option<OrderId>,
    /// The reservation that it takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basket: Option<Basket>,
}

/// A line as the caller prices it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLine {
    /// Its number in the order.
    pub line_id: LineId,
    /// The SKU.
    pub sku: Sku,
    /// The title.
    pub title: String,
    /// Units.
    pub qty: u32,
    /// Price of one unit.
    pub unit_price: UnitPrice,
    /// Discount on this line.
    pub discount: Minor,
    /// Tax rate in basis points.
    pub tax_bp: u32,
    /// Whether the price includes the tax.
    pub tax_included: bool,
    /// Whether it may wait for stock.
    pub backorder_ok: bool,
    /// Whether it is ware that is kept in stock.
    pub stocked: bool,
}

/// A shipping charge as the caller prices it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewShipping {
    /// How it is shipped.
    pub title: String,
    /// The price.
    pub price: Minor,
    /// Tax rate in basis points.
    pub tax_bp: u32,
    /// Whether the price includes the tax.
    pub tax_included: bool,
}

/// What confirming needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// The payment.
    pub payment_id: Option<PaymentId>,
    /// The reservation.
    pub reservation_id: Option<ReservationId>,
    /// What the payment authorised.
    pub authorised: Minor,
    /// The version of the payment's stream at which it stood so.
    pub payment_version: u64,
    /// Until when the provider lets that be taken.
    pub capture_before: Option<Timestamp>,
    /// What the gateway can do with it, if it says so.
    pub abilities: Option<Abilities>,
}

/// What an edit needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The edit.
    pub edit_id: EditId,
    /// What to change, in this order.
    pub changes: Vec<Change>,
    /// Why.
    pub reason: String,
}

/// One change of an edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Add a line.
    Add(NewLine),
    /// Order more or fewer units of a line; never fewer than are cancelled, shipped or on their way.
    SetQty {
        /// The line.
        line_id: LineId,
        /// Its new `ordered`.
        qty: u32,
    },
    /// Change a line's price.
    Reprice {
        /// The line.
        line_id: LineId,
        /// Its new price.
        unit_price: UnitPrice,
    },
    /// Change a line's discount.
    Discount {
        /// The line.
        line_id: LineId,
        /// Its new discount.
        discount: Minor,
    },
}

/// Units of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Units {
    /// The line.
    pub line_id: LineId,
    /// How many, at least 1.
    pub qty: u32,
}

/// Units to come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnUnits {
    /// The line.
    pub line_id: LineId,
    /// How many, at least 1.
    pub qty: u32,
    /// Why.
    pub reason: String,
}

/// Units that came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedUnits {
    /// The line.
    pub line_id: LineId,
    /// How many, at least 1.
    pub qty: u32,
    /// What becomes of them.
    pub disposition: Disposition,
    /// Where they came in; the order's own location if `None`.
    pub location: Option<LocationId>,
}

/// What a refund by hand needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRefund {
    /// The refund.
    pub refund_id: RefundId,
    /// How much; what lines and shipping sum up to if `None`.
    pub amount: Option<Minor>,
    /// For which lines.
    pub lines: Vec<super::event::LineValue>,
    /// For shipping charges.
    pub shipping: Minor,
    /// Why.
    pub reason: String,
}

/// What a further payment needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddPayment {
    /// The payment.
    pub payment_id: PaymentId,
    /// How much; the amount that no payment covers yet if `None`.
    pub amount: Option<Minor>,
    /// How it comes.
    pub means: Means,
    /// Why.
    pub added: Added,
}

impl Capture {
    /// Whether money has to be taken before goods leave.
    #[must_use]
    pub fn before_shipping(self) -> bool {
        !matches!(self, Self::PayLater)
    }
}
