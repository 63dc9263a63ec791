//! The rules of an order, one by one, as given, when, then; and its laws after every event of random histories.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::command::{
    Change, Command, Confirm, Edit, GrantRefund, NewLine, NewShipping, Place, ReceivedUnits, ReturnUnits, Units,
};
use super::event::{self, Capture, Disposition, Event, PaymentRecorded, PaymentStatus};
use super::line::{LineQty, LineRelease, UnitPrice};
use super::state::{Order, Placed};
use crate::ids::{LineId, OrderId, PaymentId, ReservationId};
use crate::money::{Currency, Minor, Rounding};
use crate::testing::{Given, Named, given};
use crate::{Aggregate, laws};
use uuid::Uuid;

mod book;
mod cancelling;
mod confirming;
mod editing;
mod ending;
mod lawful;
mod naming;
mod placing;
mod random;
mod refunding;
mod remarking;
mod returning;
mod shipping;

impl Named for Command {
    fn names_what_it_makes(&self) -> bool {
        match self {
            // Refused the second time: the request's key answers it before it is decided.
            Self::Place(_) => false,
            // These move units by number; the command's id is what keeps them from moving twice.
            Self::RecordReserved { .. }
            | Self::RecordAllocated { .. }
            | Self::RecordUnreserved { .. }
            | Self::RecordDeferred { .. } => false,
            Self::ConfirmDelivery { lines, .. } | Self::ReportLost { lines, .. } | Self::ReportFound { lines, .. } => {
                lines.is_none()
            }
            Self::DecideLoss { decision, .. } => decision.is_some(),
            Self::RetryRefund { attempt, .. } => attempt.is_some(),
            Self::ReceiveReturn { receipt, .. } => receipt.is_some(),
            _ => true,
        }
    }
}

/// An id from a number.
fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

const L1: LineId = LineId(1);
const L2: LineId = LineId(2);
const L3: LineId = LineId(3);

fn payment_id() -> PaymentId {
    PaymentId(id(70))
}

fn reservation_id() -> ReservationId {
    ReservationId(id(71))
}

fn price(text: &str) -> UnitPrice {
    UnitPrice::try_from(text.to_owned()).unwrap()
}

fn new_line(line_id: LineId, qty: u32, unit_price: &str) -> NewLine {
    NewLine {
        line_id,
        sku: format!("SKU-{line_id}").parse().unwrap(),
        title: format!("thing {line_id}"),
        qty,
        unit_price: price(unit_price),
        discount: 0,
        tax_bp: 0,
        tax_included: true,
        backorder_ok: false,
        stocked: true,
    }
}

/// Three units at 10.00, five at 2.00, one that is no ware at 4.00: 44.00, and 5.00 for shipping.
fn three_lines() -> Place {
    let mut postage = new_line(L3, 1, "4.00");
    postage.stocked = false;
    place_of(vec![new_line(L1, 3, "10.00"), new_line(L2, 5, "2.00"), postage])
}

fn place_of(lines: Vec<NewLine>) -> Place {
    Place {
        order_id: OrderId(id(1)),
        external_ref: None,
        channel: "web".parse().unwrap(),
        customer: None,
        currency: Currency::GBP,
        rounding: Rounding::HalfEven,
        lines,
        discount: 0,
        shipping: vec![NewShipping { title: "parcel".to_owned(), price: 500, tax_bp: 0, tax_included: true }],
        ship_to: None,
        payment: event::PaymentTerms { capture: Capture::AtShipment, instrument: "card".into(), retry_for_s: 0 },
        location: "main".parse().unwrap(),
        reserve_for_s: 900,
        occurred_at: None,
        tags: Vec::new(),
        expected_total: None,
        replaces: None,
        basket: None,
    }
}

fn units(line_id: LineId, qty: u32) -> Units {
    Units { line_id, qty }
}

fn at_main(line_id: LineId, qty: u32) -> LineQty {
    LineQty { line_id, qty, location: "main".parse().unwrap() }
}

fn release_at_main(line_id: LineId, qty: u32, backordered: u32) -> LineRelease {
    LineRelease { line_id, qty, backordered, location: "main".parse().unwrap() }
}

fn placing(place: Place) -> Command {
    Command::Place(Box::new(place))
}

fn record_reserved(reserved: &[(LineId, u32)], backordered: &[(LineId, u32)]) -> Command {
    let of = |lines: &[(LineId, u32)]| lines.iter().map(|(l, q)| at_main(*l, *q)).collect();
    Command::RecordReserved { reservation_id: reservation_id(), reserved: of(reserved), backordered: of(backordered) }
}

fn confirm(authorised: Minor) -> Command {
    Command::Confirm(Confirm {
        payment_id: (authorised > 0).then(payment_id),
        reservation_id: Some(reservation_id()),
        authorised,
        payment_version: 1,
        capture_before: None,
        abilities: None,
    })
}

/// A fact of a payment: status, version, authorised, captured, refunded.
fn payment(status: PaymentStatus, payment_version: u64, [authorised, captured, refunded]: [Minor; 3]) -> Command {
    Command::RecordPayment(PaymentRecorded {
        payment_id: payment_id(),
        payment_version,
        status,
        authorised,
        captured,
        refunded,
        refund_pending: 0,
        voided: 0,
        keeps: None,
        capture_before: None,
        abilities: None,
        fact: None,
    })
}

/// The fact that a refund was paid.
fn refunded(version: u64, refund_id: crate::ids::RefundId, sums: [Minor; 3]) -> Command {
    let mut told = payment(PaymentStatus::PartRefunded, version, sums);
    if let Command::RecordPayment(told) = &mut told {
        told.fact = Some(event::PaymentFact { version, what: event::Happened::Refunded { refund_id } });
    }
    told
}

/// The fact that all that was held is voided.
fn voided(version: u64, authorised: Minor) -> Command {
    let mut told = payment(PaymentStatus::Voided, version, [authorised, 0, 0]);
    if let Command::RecordPayment(told) = &mut told {
        told.voided = authorised;
    }
    told
}

fn pending(place: Place) -> Given<Order> {
    given::<Order>([]).after([placing(place)])
}

/// Placed, all stock reserved, confirmed with its total authorised.
fn confirmed(place: Place) -> Given<Order> {
    let order = pending(place);
    let stock: Vec<(LineId, u32)> =
        order.look().lines.values().filter(|l| l.line.stocked).map(|l| (l.line.line_id, l.line.qty)).collect();
    let total = order.look().totals.total;
    order.after([record_reserved(&stock, &[]), confirm(total)])
}

fn request_shipment(number: u128, lines: Option<Vec<Units>>) -> Command {
    Command::RequestShipment {
        shipment_id: crate::ids::ShipmentId(id(number)),
        lines,
        location: None,
        carrier: None,
        tracking: None,
    }
}

fn dispatch(number: u128) -> Command {
    Command::Dispatch { shipment_id: crate::ids::ShipmentId(id(number)) }
}

fn cancel(number: u128, lines: Option<Vec<Units>>) -> Command {
    Command::Cancel { cancellation_id: crate::ids::CancellationId(id(number)), lines, reason: "customer".to_owned() }
}

fn close(number: u128) -> Command {
    Command::CloseCancellation { cancellation_id: crate::ids::CancellationId(id(number)), payment: None }
}

fn request_return(number: u128, lines: &[(LineId, u32)]) -> Command {
    let of =
        |(line_id, qty): &(LineId, u32)| ReturnUnits { line_id: *line_id, qty: *qty, reason: "too small".to_owned() };
    Command::RequestReturn { return_id: crate::ids::ReturnId(id(number)), lines: lines.iter().map(of).collect() }
}

fn receive(number: u128, receipt: u32, lines: &[(LineId, u32, Disposition)]) -> Command {
    let of = |(line_id, qty, disposition): &(LineId, u32, Disposition)| ReceivedUnits {
        line_id: *line_id,
        qty: *qty,
        disposition: *disposition,
        location: None,
    };
    Command::ReceiveReturn {
        return_id: crate::ids::ReturnId(id(number)),
        receipt: Some(receipt),
        lines: lines.iter().map(of).collect(),
    }
}

fn grant(number: u128, amount: Option<Minor>) -> GrantRefund {
    GrantRefund {
        refund_id: crate::ids::RefundId(id(number)),
        amount,
        lines: Vec::new(),
        shipping: 0,
        reason: "sorry".to_owned(),
    }
}

fn edit(number: u128, changes: Vec<Change>) -> Command {
    Command::Edit(Edit { edit_id: crate::ids::EditId(id(number)), changes, reason: "customer asked".to_owned() })
}

/// All of it shipped and captured.
fn shipped(place: Place) -> Given<Order> {
    let order = confirmed(place);
    let total = order.look().totals.total;
    order.after([request_shipment(900, None), payment(PaymentStatus::Captured, 9, [total, total, 0]), dispatch(900)])
}

impl Given<Order> {
    /// The order as it stands; every law holds.
    #[track_caller]
    fn look(&self) -> &Placed {
        laws::order::check(self.peek()).unwrap();
        self.peek().placed().unwrap()
    }
}
