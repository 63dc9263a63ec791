//! How an order moves past its facts. Total: history is never refused, and no fact makes it panic.

use std::collections::BTreeMap;

use super::event::{self, Confirmed, Edited, Event, LineChange, LinesCancelled, LinesReserved, LinesUnreserved};
use super::line::LineQty;
use super::state::{Cancellation, Edit, Hold, LineState, Note, Order, Placed, Rejection, ReleasedHold, Status};
use crate::ids::{LineId, ReservationId};

mod pay;
mod returns;
mod ship;

use ship::Arrival;

/// Moves past one fact.
pub(super) fn evolve(order: &mut Order, event: &Event) {
    match (order, event) {
        (order, Event::Placed(placed)) => *order = Order::Placed(self::placed(placed)),
        (Order::Placed(order), event) => after_placing(order, event),
        (Order::Absent, _) => {}
    }
}

fn after_placing(order: &mut Placed, event: &Event) {
    match event {
        Event::Placed(_) => {}
        Event::Confirmed(confirmed) => order.confirm(confirmed),
        Event::Rejected(rejected) => {
            order.end(Status::Rejected);
            order.rejection = Some(Rejection {
                reason: rejected.reason,
                detail: rejected.detail.clone(),
                shortfalls: rejected.shortfalls.clone(),
            });
            if let Some(told) = &rejected.payment {
                order.record_payment(told);
            }
        }
        Event::Completed(_) => order.status = Status::Completed,
        Event::Edited(edited) => order.edit(edited),

        Event::LinesReserved(reserved) => order.reserve(reserved),
        Event::LinesBackordered(backordered) => {
            order.hold_stock(backordered.reservation_id);
            for (line, qty) in order.each(&backordered.lines) {
                line.backordered = line.backordered.saturating_add(qty.min(line.unassigned()));
            }
        }
        Event::LinesUnreserved(unreserved) => order.unreserve(unreserved),

        Event::LinesCancelled(cancelled) => order.cancel_lines(cancelled),
        Event::CancellationClosed(closed) => {
            if let Some(cancellation) = order.cancellations.get_mut(&closed.cancellation_id) {
                cancellation.closed = true;
            }
        }
        Event::Cancelled(cancelled) => {
            order.end(Status::Cancelled);
            order.cancel_reason = Some(cancelled.reason.clone());
            for cancellation in order.cancellations.values_mut() {
                cancellation.closed = true;
            }
        }

        Event::ShipmentRequested(requested) => order.request_shipment(requested),
        Event::ShipmentDispatched(dispatched) => order.dispatch(dispatched.shipment_id),
        Event::ShipmentRefused(refused) => {
            order.refuse_shipment(refused.shipment_id, &refused.reason);
        }
        Event::ShipmentWithdrawn(withdrawn) => order.withdraw_shipment(withdrawn),
        Event::LossDecided(decided) => order.decide_loss(decided),
        Event::ShipmentFound(found) => order.found(found),
        Event::StockWanted(_) => {}
        Event::TrackingUpdated(tracking) => {
            if let Some(shipment) = order.shipments.get_mut(&tracking.shipment_id) {
                shipment.carrier.clone_from(&tracking.carrier);
                shipment.tracking.clone_from(&tracking.tracking);
            }
            order.remarks = order.remarks.saturating_add(1);
        }
        Event::ShipmentDelivered(delivered) => {
            order.arrived(delivered.shipment_id, &delivered.lines, Arrival::Delivered);
        }
        Event::ShipmentLost(lost) => order.arrived(lost.shipment_id, &lost.lines, Arrival::Lost),

        Event::ReturnRequested(requested) => order.announce_return(requested),
        Event::ReturnDeclined(declined) => {
            order.decline_return(declined.return_id, &declined.reason);
        }
        Event::ReturnReceived(received) => order.receive_return(received),
        Event::RefundGranted(granted) => order.grant(granted),
        Event::RefundDeclined(failed) => order.fail_refund(failed),
        Event::RefundPaid(paid) => order.pay_by_hand(paid),
        Event::RefundWithdrawn(withdrawn) => order.withdraw_refund(withdrawn),
        Event::PaymentAdded(added) => order.add_payment(added),
        Event::PaymentReleased(released) => order.release_payment(released),
        Event::SurplusReleased(released) => order.release_surplus(&released.keep),
        Event::PaymentRecorded(recorded) => order.record_payment(recorded),

        Event::HoldPlaced(_)
        | Event::HoldReleased(_)
        | Event::ShippingAddressChanged(_)
        | Event::NoteAdded(_)
        | Event::TagsSet(_) => order.remark(event),
    }
}

fn placed(placed: &event::Placed) -> Placed {
    let line = |line: &super::line::Line| (line.line_id, LineState::new(line.clone()));
    Placed {
        order_id: placed.order_id,
        external_ref: placed.external_ref.clone(),
        channel: placed.channel.clone(),
        customer: placed.customer.clone(),
        currency: placed.currency,
        rounding: placed.rounding,
        payment_terms: placed.payment.clone(),
        location: placed.location.clone(),
        reserve_for_s: placed.reserve_for_s,
        occurred_at: placed.occurred_at,
        ship_to: placed.ship_to.clone(),
        tags: placed.tags.clone(),
        replaces: placed.replaces,
        basket: placed.basket.as_ref().map(|basket| basket.reservation_id),
        status: Status::Pending,
        rejection: None,
        cancel_reason: None,
        lines: placed.lines.iter().map(line).collect(),
        shipping: placed.shipping.clone(),
        shipping_shipped: 0,
        shipping_cancelled: 0,
        totals: placed.totals,
        reservation_id: None,
        was_reserved: false,
        payments: Vec::new(),
        discount: placed.lines.iter().map(|line| line.order_discount).sum(),
        holds: BTreeMap::new(),
        released_holds: BTreeMap::new(),
        shipments: BTreeMap::new(),
        returns: BTreeMap::new(),
        cancellations: BTreeMap::new(),
        edits: BTreeMap::new(),
        refunds: BTreeMap::new(),
        notes: BTreeMap::new(),
        increases: 0,
        remarks: 0,
    }
}

impl Placed {
    fn confirm(&mut self, confirmed: &Confirmed) {
        self.status = Status::Confirmed;
        if confirmed.reservation_id.is_some() {
            self.reservation_id = confirmed.reservation_id;
        }
        self.confirm_payment(confirmed);
        self.confirm_unstocked();
    }

    /// Lines that are not kept in stock can ship as soon as the order is confirmed.
    fn confirm_unstocked(&mut self) {
        for line in self.lines.values_mut().filter(|l| !l.line.stocked) {
            line.reserved = line.reserved.saturating_add(line.unassigned());
        }
    }

    /// Nothing is reserved any longer.
    fn end(&mut self, status: Status) {
        self.status = status;
        for line in self.lines.values_mut() {
            line.reserved = 0;
            line.backordered = 0;
        }
    }

    pub(super) fn edit(&mut self, edited: &Edited) {
        for change in &edited.changes {
            match change {
                LineChange::Added { line } => {
                    self.lines.insert(line.line_id, LineState::new(line.clone()));
                }
                LineChange::Changed { line } => {
                    if let Some(state) = self.lines.get_mut(&line.line_id) {
                        let fewer = state.line.qty.saturating_sub(line.qty);
                        let taken = state.take(fewer);
                        state.backordered = state.backordered.saturating_sub(taken.backordered);
                        state.reserved = state.reserved.saturating_sub(taken.reserved);
                        state.basis = state.taken();
                        state.line = line.clone();
                    }
                }
            }
        }
        self.confirm_unstocked();
        self.totals = edited.totals_after;
        self.increases = self.increases.saturating_add(u32::try_from(edited.reserve.len()).unwrap_or(u32::MAX));
        let edit = Edit { balance_change: edited.balance_change, asked: edited.asked };
        self.edits.insert(edited.edit_id, edit);
    }

    fn each<'a>(&'a mut self, lines: &'a [LineQty]) -> impl Iterator<Item = (&'a mut LineState, u32)> {
        // Each line is looked up once, so no two borrows of one line are alive together.
        let mut wanted: BTreeMap<LineId, u32> = BTreeMap::new();
        for line in lines {
            let sum = wanted.entry(line.line_id).or_default();
            *sum = sum.saturating_add(line.qty);
        }
        self.lines.iter_mut().filter_map(move |(id, line)| wanted.get(id).map(|qty| (line, *qty)))
    }

    fn hold_stock(&mut self, reservation_id: ReservationId) {
        self.was_reserved = true;
        let held = self.lines.values().any(|l| l.line.stocked && (l.reserved > 0 || l.backordered > 0));
        if self.reservation_id.is_none() || !held {
            self.reservation_id = Some(reservation_id);
        }
    }

    fn reserve(&mut self, reserved: &LinesReserved) {
        self.hold_stock(reserved.reservation_id);
        for (line, qty) in self.each(&reserved.lines) {
            if reserved.from_backorder {
                let qty = qty.min(line.backordered);
                line.backordered = line.backordered.saturating_sub(qty);
                line.reserved = line.reserved.saturating_add(qty);
            } else {
                line.reserved = line.reserved.saturating_add(qty.min(line.unassigned()));
            }
        }
    }

    fn unreserve(&mut self, unreserved: &LinesUnreserved) {
        for (line, qty) in self.each(&unreserved.lines) {
            let reserved = qty.min(line.shippable());
            line.reserved = line.reserved.saturating_sub(reserved);
            line.backordered = line.backordered.saturating_sub((qty - reserved).min(line.backordered));
        }
    }

    fn cancel_lines(&mut self, cancelled: &LinesCancelled) {
        for value in &cancelled.lines {
            if let Some(line) = self.lines.get_mut(&value.line_id) {
                let taken = line.take(value.qty);
                line.backordered = line.backordered.saturating_sub(taken.backordered);
                line.reserved = line.reserved.saturating_sub(taken.reserved);
                line.cancelled = line.cancelled.saturating_add(value.qty.min(line.free()));
                line.cancelled_value = line.cancelled_value.saturating_add(value.amount);
            }
        }
        self.shipping_cancelled = self.shipping_cancelled.saturating_add(cancelled.shipping);
        let cancellation = Cancellation {
            lines: cancelled.lines.iter().map(|line| (line.line_id, line.qty)).collect(),
            amount: cancelled.amount,
            reason: cancelled.reason.clone(),
            whole: cancelled.whole,
            closed: false,
            asked: cancelled.asked,
        };
        self.cancellations.insert(cancelled.cancellation_id, cancellation);
    }

    /// What says something about the order and moves neither goods nor money.
    fn remark(&mut self, event: &Event) {
        match event {
            Event::HoldPlaced(placed) => {
                let hold = Hold { reason: placed.reason.clone(), note: placed.note.clone(), until: placed.until };
                self.holds.insert(placed.hold_id, hold);
            }
            Event::HoldReleased(released) => {
                if let Some(hold) = self.holds.remove(&released.hold_id) {
                    let released_hold = ReleasedHold { hold, resolution: released.resolution.clone() };
                    self.released_holds.insert(released.hold_id, released_hold);
                }
            }
            Event::ShippingAddressChanged(changed) => {
                self.ship_to = Some(changed.ship_to.clone());
                self.remarks = self.remarks.saturating_add(1);
            }
            Event::NoteAdded(added) => {
                let note = Note { text: added.text.clone(), visibility: added.visibility, reported: added.reported };
                self.notes.insert(added.note_id, note);
            }
            Event::TagsSet(set) => {
                self.tags.clone_from(&set.tags);
                self.remarks = self.remarks.saturating_add(1);
            }
            _ => {}
        }
    }
}
