//! Why an order says no. Each refusal carries its numbers; none is ever renamed, since callers branch on the codes.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::line::{LineProblem, Totals};
use super::state::{ReturnStage, ShipmentStatus, Status};
use crate::aggregate::Class;
use crate::ids::{CancellationId, HoldId, LineId, LocationId, PaymentId, RefundId, ReturnId, ShipmentId};
use crate::money::Minor;

/// Why an order says no. Serialises with its kebab-case `code` and its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Refusal {
    /// There is none.
    #[error("there is no such order")]
    NotFound,
    /// It has no such hold.
    #[error("the order has no hold {hold_id}: see its open holds")]
    HoldNotFound {
        /// The hold asked for.
        hold_id: HoldId,
    },
    /// It has no such shipment.
    #[error("the order has no shipment {shipment_id}: request it first")]
    ShipmentNotFound {
        /// The shipment asked for.
        shipment_id: ShipmentId,
    },
    /// It has no such return.
    #[error("the order has no return {return_id}: announce it first")]
    ReturnNotFound {
        /// The return asked for.
        return_id: ReturnId,
    },
    /// It has no such cancellation.
    #[error("the order has no cancellation {cancellation_id}")]
    CancellationNotFound {
        /// The cancellation asked for.
        cancellation_id: CancellationId,
    },
    /// It is there already.
    #[error("the order is placed already: read it, or place another under an id of its own")]
    AlreadyPlaced,
    /// Something else of the order has the id.
    #[error("the order has a {} {id}, and it says something else: make another id, or leave it out", .what.one())]
    IdTaken {
        /// What has it.
        what: Part,
        /// The id.
        id: Uuid,
    },
    /// It has as many of these as it may have.
    #[error("an order has at most {most} {}", .what.many())]
    TooMany {
        /// The kind of thing.
        what: Part,
        /// The most there may be.
        most: u32,
    },
    /// Its stage does not allow it.
    #[error("the order is {}{} and does not allow that", .status.name(), if *.cancelling { ", being cancelled," } else { "" })]
    OrderState {
        /// Its stage.
        status: Status,
        /// Whether the whole of it is being cancelled.
        cancelling: bool,
    },
    /// A line is invalid.
    #[error("{}{problem}", match .line_id { Some(line) => format!("line {line}: "), None => String::new() })]
    InvalidLine {
        /// The line, unless it is about all of them.
        line_id: Option<LineId>,
        /// The problem.
        #[serde(flatten)]
        problem: LineProblem,
    },
    /// The caller's total is not what the lines come to.
    #[error("the total is {}, not {expected}: compare the breakdowns", .computed.total)]
    TotalsMismatch {
        /// What the caller believes the total to be.
        expected: Minor,
        /// What the lines come to.
        computed: Totals,
        /// The amounts of each line.
        lines: Vec<LineAmounts>,
    },
    /// An edit that cannot be made.
    #[error("{problem}")]
    InvalidEdit {
        /// The line, unless it is about all of them.
        line_id: Option<LineId>,
        /// The problem.
        problem: EditProblem,
    },
    /// The units to cancel or to redirect have left already, or are in a shipment.
    #[error(
        "{shipped} units left and {in_shipment} are on their way, so only {open} are open: ask for a return of the others"
    )]
    AlreadyShipped {
        /// The line, unless it is about all of them.
        line_id: Option<LineId>,
        /// Units that left.
        shipped: u32,
        /// Units in requested shipments.
        in_shipment: u32,
        /// Units that are neither cancelled, nor left, nor on their way.
        open: u32,
    },
    /// More than is open.
    #[error("line {line_id} has {open} open units, not {asked}: ask for fewer")]
    QuantityExceedsOpen {
        /// The line.
        line_id: LineId,
        /// Units asked for.
        asked: u32,
        /// Units that are neither cancelled, nor left, nor on their way.
        open: u32,
    },
    /// The order is on hold.
    #[error("the order is on hold: release {} first", if .holds.len() == 1 { "the hold" } else { "the holds" })]
    OnHold {
        /// Open holds.
        holds: Vec<HoldId>,
    },
    /// More must be taken than is held.
    #[error("{needed} must be paid first and only {available} can be taken: wait for the payment, or authorise more")]
    NotPaid {
        /// What has to be captured, or authorised.
        needed: Minor,
        /// What can be captured, or is captured or authorised for it.
        available: Minor,
    },
    /// Units that inventory does not hold here.
    #[error("not all of these units are reserved at {location}: ship what is, or wait for stock")]
    NotReserved {
        /// Where the order's stock is held.
        location: LocationId,
        /// The requested and the reserved units; empty if the order has no reservation.
        lines: Vec<ReservedUnits>,
    },
    /// The shipment's stage does not allow it.
    #[error("shipment {shipment_id} is {} and does not allow that", .status.name())]
    ShipmentState {
        /// The shipment.
        shipment_id: ShipmentId,
        /// How far it is.
        status: ShipmentStatus,
    },
    /// More than there is in the shipment.
    #[error("shipment {shipment_id} has {open} units of line {line_id} on their way, not {asked}")]
    QuantityExceedsShipment {
        /// The shipment.
        shipment_id: ShipmentId,
        /// The line.
        line_id: LineId,
        /// Units asked for.
        asked: u32,
        /// Units that are neither delivered nor lost.
        open: u32,
    },
    /// More than left and did not come back.
    #[error("{returnable} units of line {line_id} can come back, not {asked}")]
    QuantityExceedsShipped {
        /// The line.
        line_id: LineId,
        /// Units asked for.
        asked: u32,
        /// Units that left, less those that came back or are announced.
        returnable: u32,
    },
    /// The return's stage does not allow it.
    #[error("return {return_id} is {} and does not allow that", .stage.name())]
    ReturnState {
        /// The return.
        return_id: ReturnId,
        /// How far it is.
        stage: ReturnStage,
    },
    /// More than was announced.
    #[error(
        "return {return_id} waits for {announced} units of line {line_id}, not {asked}: announce another return for the others"
    )]
    QuantityExceedsAnnounced {
        /// The return.
        return_id: ReturnId,
        /// The line.
        line_id: LineId,
        /// Units received.
        asked: u32,
        /// Units still announced.
        announced: u32,
    },
    /// Receipts are numbered without gaps.
    #[error("the next receipt of return {return_id} is {expected}, not {given}")]
    ReceiptOutOfOrder {
        /// The return.
        return_id: ReturnId,
        /// The next one.
        expected: u32,
        /// The one given.
        given: u32,
    },
    /// An amount that is no refund.
    #[error("refund {refund_id} of {amount}: a refund is more than 0 and at most {largest}", largest = crate::money::LARGEST)]
    InvalidRefund {
        /// The refund.
        refund_id: RefundId,
        /// How much was asked.
        amount: Minor,
    },
    /// More than is left of the captured money.
    #[error("{refundable} of the captured {captured} can be refunded, not {asked}: {granted} is granted already")]
    ExceedsRefundable {
        /// How much was asked.
        asked: Minor,
        /// Taken in all.
        captured: Minor,
        /// Granted in all.
        granted: Minor,
        /// The refundable rest.
        refundable: Minor,
    },
    /// It granted no such refund.
    #[error("the order has no refund {refund_id}: see its refunds")]
    RefundNotFound {
        /// The refund asked for.
        refund_id: RefundId,
    },
    /// The parts of a refund are not what it is.
    #[error("refund {refund_id} of {amount} names {sum} for lines and shipping: name as much, or leave the amount out")]
    RefundSumsDiffer {
        /// The refund.
        refund_id: RefundId,
        /// How much was asked.
        amount: Minor,
        /// The sum of the amounts for lines and shipping.
        sum: Minor,
    },
    /// More of a line than left and was not given back.
    #[error(
        "refund {refund_id} asks for {asked} for {qty} units of line {line_id}, and {value} for {units} units is left of what was shipped: cancel what has not left"
    )]
    RefundExceedsLine {
        /// The refund.
        refund_id: RefundId,
        /// The line.
        line_id: LineId,
        /// Units asked for.
        qty: u32,
        /// How much was asked.
        asked: Minor,
        /// Units that left and were neither refunded nor came back.
        units: u32,
        /// The rest of their value.
        value: Minor,
    },
    /// More than is charged for shipping.
    #[error("refund {refund_id} asks for {asked} of the shipping charges, and {left} is left of what was charged")]
    RefundExceedsShipping {
        /// The refund.
        refund_id: RefundId,
        /// How much was asked.
        asked: Minor,
        /// The charges that are not refunded.
        left: Minor,
    },
    /// Nothing of a refund is owed by hand.
    #[error("nothing of refund {refund_id} is owed by hand: what the provider took goes back through it")]
    NothingOwedByHand {
        /// The refund.
        refund_id: RefundId,
    },
    /// More is to be paid than is owed.
    #[error("{asked} is to be paid and {open} of the order is neither paid nor held")]
    ExceedsOwed {
        /// How much was asked.
        asked: Minor,
        /// The amount that no payment covers yet.
        open: Minor,
    },
    /// There are no lost units without a decision.
    #[error("nothing of shipment {shipment_id} got lost that waits for a decision")]
    NothingLost {
        /// The shipment.
        shipment_id: ShipmentId,
    },
    /// The outcome of the provider's operation is unknown.
    #[error("the payment's last outcome is unknown: wait until it is resolved")]
    PaymentUnknown,
    /// It is paid by another payment.
    #[error("the order is paid by payment {payment_id}")]
    AnotherPayment {
        /// The order's payment.
        payment_id: PaymentId,
    },
    /// Numbers of a payment that cannot be.
    #[error(
        "a payment cannot have {captured} captured of {authorised}, and {refunded} refunded with {refund_pending} to come"
    )]
    InvalidPayment {
        /// Held in all.
        authorised: Minor,
        /// Taken in all.
        captured: Minor,
        /// Given back in all.
        refunded: Minor,
        /// Asked to be given back.
        refund_pending: Minor,
    },
}

/// What belongs to an order, or is said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is what it is called")]
pub enum Part {
    Note,
    Hold,
    Text,
    Remark,
    Edit,
    Increase,
    Cancellation,
    Refund,
    Shipment,
    ShipmentLine,
    Return,
    ReturnLine,
    Receipt,
    Payment,
}

impl Part {
    fn one(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Hold => "hold",
            Self::Text => "text",
            Self::Remark => "change of tags, address or tracking",
            Self::Edit => "edit",
            Self::Increase => "increase of a line by an edit",
            Self::Cancellation => "cancellation",
            Self::Refund => "refund",
            Self::Shipment => "shipment",
            Self::ShipmentLine => "line of a shipment",
            Self::Return => "return",
            Self::ReturnLine => "line of a return",
            Self::Receipt => "receipt of a return",
            Self::Payment => "payment",
        }
    }

    fn many(self) -> &'static str {
        match self {
            Self::Note => "notes",
            Self::Hold => "holds, those included that were released",
            Self::Text => "bytes of text",
            Self::Remark => "changes of tags, address and tracking",
            Self::Edit => "edits",
            Self::Increase => "increases of lines by edits",
            Self::Cancellation => "cancellations",
            Self::Refund => "refunds that follow from no return and no cancellation",
            Self::Shipment => "shipments",
            Self::ShipmentLine => "lines in all of its shipments",
            Self::Return => "returns",
            Self::ReturnLine => "lines in all of its returns",
            Self::Receipt => "receipts of all of its returns",
            Self::Payment => "payments",
        }
    }
}

/// The amounts of a line, for comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineAmounts {
    /// The line.
    pub line_id: LineId,
    /// `round(unit_price × qty)`.
    pub subtotal: Minor,
    /// Its discount and its share of the order's.
    pub discount: Minor,
    /// Its tax.
    pub tax: Minor,
    /// The amount that is owed for it.
    pub total: Minor,
}

/// Units asked for and units reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedUnits {
    /// The line.
    pub line_id: LineId,
    /// Units asked for.
    pub asked: u32,
    /// Units that are reserved and not on their way.
    pub reserved: u32,
}

/// The problem of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum EditProblem {
    /// It changes nothing.
    #[error("an edit needs at least one change")]
    Empty,
    /// Nothing would be left of the order, or nothing that a shipping charge could go with.
    #[error("no unit would be left to ship the order or its shipping charge with: cancel these units instead")]
    NothingLeft,
    /// The line has no open unit.
    #[error("nothing of the line is open: grant a refund, or add a line")]
    LineClosed,
    /// The value of units that left or were cancelled would no longer be the line's.
    #[error(
        "the line's new value does not fit what was shipped or cancelled of it: cancel the open units instead, or grant a refund"
    )]
    ValueTaken,
}

impl crate::Refusal for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::HoldNotFound { .. } => "hold-not-found",
            Self::ShipmentNotFound { .. } => "shipment-not-found",
            Self::ReturnNotFound { .. } => "return-not-found",
            Self::CancellationNotFound { .. } => "cancellation-not-found",
            Self::AlreadyPlaced => "already-placed",
            Self::IdTaken { .. } => "id-taken",
            Self::TooMany { .. } => "too-many",
            Self::OrderState { .. } => "order-state",
            Self::InvalidLine { .. } => "invalid-line",
            Self::TotalsMismatch { .. } => "totals-mismatch",
            Self::InvalidEdit { .. } => "invalid-edit",
            Self::AlreadyShipped { .. } => "already-shipped",
            Self::QuantityExceedsOpen { .. } => "quantity-exceeds-open",
            Self::OnHold { .. } => "on-hold",
            Self::NotPaid { .. } => "not-paid",
            Self::NotReserved { .. } => "not-reserved",
            Self::ShipmentState { .. } => "shipment-state",
            Self::QuantityExceedsShipment { .. } => "quantity-exceeds-shipment",
            Self::QuantityExceedsShipped { .. } => "quantity-exceeds-shipped",
            Self::ReturnState { .. } => "return-state",
            Self::QuantityExceedsAnnounced { .. } => "quantity-exceeds-announced",
            Self::ReceiptOutOfOrder { .. } => "receipt-out-of-order",
            Self::InvalidRefund { .. } => "invalid-refund",
            Self::ExceedsRefundable { .. } => "exceeds-refundable",
            Self::RefundNotFound { .. } => "refund-not-found",
            Self::RefundSumsDiffer { .. } => "refund-sums-differ",
            Self::RefundExceedsLine { .. } => "refund-exceeds-line",
            Self::RefundExceedsShipping { .. } => "refund-exceeds-shipping",
            Self::NothingOwedByHand { .. } => "nothing-owed-by-hand",
            Self::ExceedsOwed { .. } => "exceeds-owed",
            Self::NothingLost { .. } => "nothing-lost",
            Self::PaymentUnknown => "payment-unknown",
            Self::AnotherPayment { .. } => "another-payment",
            Self::InvalidPayment { .. } => "invalid-payment",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NotFound
            | Self::HoldNotFound { .. }
            | Self::ShipmentNotFound { .. }
            | Self::ReturnNotFound { .. }
            | Self::CancellationNotFound { .. }
            | Self::RefundNotFound { .. } => Class::Absent,
            Self::AlreadyPlaced
            | Self::IdTaken { .. }
            | Self::TooMany { .. }
            | Self::OrderState { .. }
            | Self::AlreadyShipped { .. }
            | Self::OnHold { .. }
            | Self::NotPaid { .. }
            | Self::NotReserved { .. }
            | Self::ShipmentState { .. }
            | Self::ReturnState { .. }
            | Self::ExceedsRefundable { .. }
            | Self::NothingOwedByHand { .. }
            | Self::ExceedsOwed { .. }
            | Self::NothingLost { .. }
            | Self::PaymentUnknown
            | Self::AnotherPayment { .. } => Class::Conflict,
            Self::InvalidLine { .. }
            | Self::TotalsMismatch { .. }
            | Self::InvalidEdit { .. }
            | Self::QuantityExceedsOpen { .. }
            | Self::QuantityExceedsShipment { .. }
            | Self::QuantityExceedsShipped { .. }
            | Self::QuantityExceedsAnnounced { .. }
            | Self::ReceiptOutOfOrder { .. }
            | Self::InvalidRefund { .. }
            | Self::RefundSumsDiffer { .. }
            | Self::RefundExceedsLine { .. }
            | Self::RefundExceedsShipping { .. }
            | Self::InvalidPayment { .. } => Class::Invalid,
        }
    }
}
