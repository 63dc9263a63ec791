//! The rule book of an order: each command to its rule. Answers every pair of state and command; never panics and reads nothing else.

use uuid::Uuid;

use super::command::Command;
use super::event::Event;
use super::refusal::{Part, Refusal};
use super::state::{Order, Placed};
use crate::ids::fingerprint;

mod bounds;
mod cancel;
mod confirm;
mod edit;
mod ending;
mod loss;
mod pay;
mod place;
mod price;
mod refund;
mod remark;
mod reserve;
mod returns;
mod settle;
mod ship;
mod units;

type Decision = Result<Vec<Event>, Refusal>;

/// What comes of a command. No event means that it is already so.
pub(super) fn decide(order: &Order, command: &Command) -> Decision {
    match (order, command) {
        (Order::Absent, Command::Place(place)) => place::place(place),
        (Order::Absent, _) => Err(Refusal::NotFound),
        (Order::Placed(_), Command::Place(_)) => Err(Refusal::AlreadyPlaced),
        (Order::Placed(order), command) => Ok(settle::settled(order, after_placing(order, command)?)),
    }
}

fn after_placing(order: &Placed, command: &Command) -> Decision {
    match command {
        Command::Place(_) => Err(Refusal::AlreadyPlaced),
        Command::Confirm(confirm) => confirm::confirm(order, confirm),
        Command::Reject { reason, detail, shortfalls, payment } => {
            confirm::reject(order, *reason, detail.as_ref(), shortfalls, payment.as_ref())
        }
        Command::Edit(edit) => edit::edit(order, edit),

        Command::RecordReserved { reservation_id, reserved, backordered } => {
            reserve::reserved(order, *reservation_id, reserved, backordered)
        }
        Command::RecordAllocated { reservation_id, lines } => reserve::allocated(order, *reservation_id, lines),
        Command::RecordUnreserved { reservation_id, lines, reason } => {
            reserve::unreserved(order, *reservation_id, lines, reason)
        }
        Command::RecordDeferred { lines, reason } => reserve::deferred(order, lines, reason),

        Command::Cancel { cancellation_id, lines, reason } => {
            cancel::cancel(order, *cancellation_id, lines.as_deref(), reason)
        }
        Command::ResolveShortage { edit_id, attempt, refused, cancellation_id } => {
            reserve::resolve_shortage(order, *edit_id, *attempt, refused, *cancellation_id)
        }
        Command::CloseCancellation { cancellation_id, payment } => {
            cancel::close(order, *cancellation_id, payment.as_ref())
        }

        Command::PlaceHold { hold_id, reason, note, until } => {
            remark::place_hold(order, *hold_id, reason, note.as_ref(), *until)
        }
        Command::ReleaseHold { hold_id, resolution } => remark::release_hold(order, *hold_id, resolution),
        Command::ChangeAddress { ship_to } => remark::change_address(order, ship_to),
        Command::AddNote { note_id, text, visibility } => remark::add_note(order, *note_id, text, *visibility),
        Command::Report { note_id, text } => remark::report(order, *note_id, text),
        Command::SetTags { tags } => remark::set_tags(order, tags),

        Command::RequestShipment { shipment_id, lines, location, carrier, tracking } => ship::request(
            order,
            *shipment_id,
            lines.as_deref(),
            location.as_ref(),
            ship::Parcel { carrier: carrier.as_ref(), tracking: tracking.as_ref() },
        ),
        Command::Dispatch { shipment_id } => ship::dispatch(order, *shipment_id),
        Command::WithdrawShipment { shipment_id, reason } => ship::withdraw(order, *shipment_id, reason),
        Command::RefuseShipment { shipment_id, reason } => ship::refuse(order, *shipment_id, reason),
        Command::UpdateTracking { shipment_id, carrier, tracking } => ship::update_tracking(
            order,
            *shipment_id,
            ship::Parcel { carrier: carrier.as_ref(), tracking: tracking.as_ref() },
        ),
        Command::ConfirmDelivery { shipment_id, lines, at } => {
            ship::confirm_delivery(order, *shipment_id, lines.as_deref(), *at)
        }
        Command::ReportLost { shipment_id, lines, sent, then } => {
            loss::report(order, *shipment_id, lines.as_deref(), sent.as_deref(), *then)
        }
        Command::DecideLoss { shipment_id, decision, sent, then } => {
            loss::decide(order, *shipment_id, *decision, sent.as_deref(), *then)
        }
        Command::ReportFound { shipment_id, lines } => loss::found(order, *shipment_id, lines.as_deref()),

        Command::RequestReturn { return_id, lines } => returns::request(order, *return_id, lines),
        Command::DeclineReturn { return_id, reason } => returns::decline(order, *return_id, reason),
        Command::ReceiveReturn { return_id, receipt, lines } => returns::receive(order, *return_id, *receipt, lines),
        Command::GrantRefund(grant) => refund::grant(order, grant),
        Command::RetryRefund { refund_id, attempt } => refund::retry(order, *refund_id, *attempt),
        Command::FailRefund(declined) => refund::fail(order, declined),
        Command::ConfirmRefundPaid { refund_id, reference } => refund::confirm_paid(order, *refund_id, reference),
        Command::WithdrawRefund { refund_id, reason } => refund::withdraw(order, *refund_id, reason),
        Command::AddPayment(add) => pay::add(order, add),
        Command::ReleasePayment { payment_id, keep, payment_version } => {
            pay::release(order, *payment_id, *keep, *payment_version)
        }
        Command::ClearCapture => pay::clear_capture(order),
        Command::RecordPayment(told) => pay::record(order, told),
    }
}

/// What is asked for under an id that the order knows: nothing if it is the same, and a refusal if it is something else.
fn known(same: bool, what: Part, id: Uuid) -> Decision {
    if same { Ok(Vec::new()) } else { Err(Refusal::IdTaken { what, id }) }
}

/// The refusal of what the order's stage does not allow.
fn wrong_state(order: &Placed) -> Refusal {
    Refusal::OrderState { status: order.status, cancelling: order.cancelling() }
}
