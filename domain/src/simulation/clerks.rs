//! What operators and clerks do by hand, as a seed gives it: money, losses, and what providers left open.

use super::wishes::{Plan, Wishes};
use domain::ids::{CaptureId, LineId, PaymentId, RefundId, ShipmentId};
use domain::money::Minor;
use domain::order::command::{AddPayment, GrantRefund, Units};
use domain::order::event::{Added, AfterLoss, LineValue, Means};
use domain::order::replacement::{self, replacement_of, undecided};
use domain::order::state::{Placed, Refund, RefundProgress, Shipment, ShipmentLine};
use domain::payment::state::Requested;
use domain::{order, payment};

impl Wishes {
    pub(super) fn capture(&mut self, payment: &Requested, _: u64) -> Option<Plan> {
        let most = u32::try_from(payment.capturable()).unwrap();
        if most == 0 {
            return None;
        }
        let least = if self.roll(3) == 0 { most } else { 1 };
        let amount = Minor::from(self.number(least, most));
        let capture_id = CaptureId(self.new_id());
        let command = payment::Command::CaptureByHand { capture_id, amount };
        Some(Plan::of(payment.order_id, order::Command::ClearCapture).with(payment.payment_id, command))
    }

    pub(super) fn void(&mut self, payment: &Requested, payment_version: u64) -> Option<Plan> {
        let payment_id = payment.payment_id;
        let keep = if self.roll(3) > 0 { 0 } else { payment.held() / 2 };
        let released = order::Command::ReleasePayment { payment_id, keep, payment_version };
        Some(Plan::of(payment.order_id, released).with(payment_id, payment::Command::Void { keep }))
    }

    fn left(order: &Placed, fit: impl Fn(&ShipmentLine) -> bool) -> Option<(ShipmentId, &Shipment)> {
        let mut left = order.shipments.iter().filter(|(_, shipment)| shipment.status.has_left());
        left.find(|(_, shipment)| shipment.lines.values().any(&fit)).map(|(id, shipment)| (*id, shipment))
    }

    pub(super) fn lose(&mut self, order: &Placed) -> Option<Plan> {
        let (shipment_id, shipment) = Self::left(order, |line| line.under_way() > 0)?;
        let (line_id, line) = shipment.lines.iter().find(|(_, line)| line.under_way() > 0)?;
        let lines = vec![Units { line_id: *line_id, qty: self.number(1, line.under_way()) }];
        match self.roll(4) {
            0 => Some(Plan::of(order.order_id, order::Command::ConfirmDelivery { shipment_id, lines: None, at: None })),
            1 => {
                let sent = undecided(order, shipment_id, &lines);
                let command = order::Command::ReportLost {
                    shipment_id,
                    lines: Some(lines),
                    sent: Some(sent.clone()),
                    then: AfterLoss::Resend,
                };
                Some(Self::resent(order, shipment_id, command, &sent))
            }
            other => {
                let then = if other == 2 { AfterLoss::Refund } else { AfterLoss::Later };
                let lines = Some(lines);
                Some(Plan::of(order.order_id, order::Command::ReportLost { shipment_id, lines, sent: None, then }))
            }
        }
    }

    /// The order that sends the units again is placed with the decision.
    fn resent(order: &Placed, shipment_id: ShipmentId, command: order::Command, sent: &[Units]) -> Plan {
        let resent = replacement_of(order.order_id, shipment_id, order.shipments[&shipment_id].decisions + 1);
        let place = replacement::place(order, resent, sent);
        Plan::of(order.order_id, command).and(resent, order::Command::Place(Box::new(place)))
    }

    pub(super) fn decide_loss(&mut self, order: &Placed) -> Option<Plan> {
        let (shipment_id, shipment) = Self::left(order, |line| line.undecided() > 0)?;
        let decision = Some(shipment.decisions + 1);
        if self.roll(2) == 0 {
            let sent = undecided(order, shipment_id, &[]);
            let then = AfterLoss::Resend;
            let command = order::Command::DecideLoss { shipment_id, decision, sent: Some(sent.clone()), then };
            return Some(Self::resent(order, shipment_id, command, &sent));
        }
        let then = AfterLoss::Refund;
        Some(Plan::of(order.order_id, order::Command::DecideLoss { shipment_id, decision, sent: None, then }))
    }

    pub(super) fn find(&mut self, order: &Placed) -> Option<Plan> {
        let (shipment_id, _) = Self::left(order, |line| line.lost > 0)?;
        Some(Plan::of(order.order_id, order::Command::ReportFound { shipment_id, lines: None }))
    }

    /// Sometimes more than there is.
    pub(super) fn refund_by_line(&mut self, order: &Placed) -> Option<Plan> {
        let shipped: Vec<LineId> = order.lines.iter().filter(|(_, line)| line.shipped > 0).map(|(id, _)| *id).collect();
        if shipped.is_empty() || order.refundable() == 0 {
            return None;
        }
        let line_id = shipped[self.roll(shipped.len())];
        let worth = u32::try_from(order.lines[&line_id].shipped_value).unwrap();
        let least = if self.roll(3) == 0 { worth } else { 1 };
        let line = LineValue { line_id, qty: 1, amount: self.number(least.max(1), worth.max(1)).into() };
        Some(self.refund(order, vec![line], 0))
    }

    pub(super) fn refund_shipping(&mut self, order: &Placed) -> Option<Plan> {
        if order.totals.shipping == 0 || order.refundable() == 0 {
            return None;
        }
        let shipping = Minor::from(self.number(1, 300));
        Some(self.refund(order, Vec::new(), shipping))
    }

    fn refund(&mut self, order: &Placed, lines: Vec<LineValue>, shipping: Minor) -> Plan {
        let grant =
            GrantRefund { refund_id: RefundId(self.new_id()), amount: None, lines, shipping, reason: "sorry".into() };
        Plan::of(order.order_id, order::Command::GrantRefund(grant))
    }

    pub(super) fn retry_refund(&mut self, order: &Placed) -> Option<Plan> {
        let mut refunds = order.refunds.iter();
        let (refund_id, refund) = refunds.find(|(_, refund)| refund.failed() + refund.withdrawn() > 0)?;
        let attempt = Some(refund.attempt + 1);
        Some(Plan::of(order.order_id, order::Command::RetryRefund { refund_id: *refund_id, attempt }))
    }

    pub(super) fn owed_by_hand(&mut self, order: &Placed) -> Option<Plan> {
        let external = |id| order.payment_of(id).is_some_and(order::state::Payment::is_external);
        let owed = |refund: &Refund| {
            refund.parts.iter().any(|part| part.progress == RefundProgress::Pending && external(part.payment_id))
        };
        let (refund_id, _) = order.refunds.iter().find(|(_, refund)| owed(refund))?;
        let refund_id = *refund_id;
        Some(Plan::of(
            order.order_id,
            match self.roll(3) {
                0 => order::Command::WithdrawRefund { refund_id, reason: "they kept it".into() },
                _ => order::Command::ConfirmRefundPaid { refund_id, reference: "till".into() },
            },
        ))
    }

    /// Some of what nobody pays yet, or all of it, with another instrument or another way.
    pub(super) fn pay(&mut self, order: &Placed) -> Option<Plan> {
        let open = order.ledger().uncovered() + order.to_replace().map_or(0, |(_, missing)| missing);
        if open == 0 {
            return None;
        }
        let amount = (self.roll(2) == 0).then(|| Minor::from(self.number(1, u32::try_from(open).unwrap())));
        let means = match self.roll(2) {
            0 => Means::External { reference: "cash".into() },
            _ => Means::Provider { instrument: self.instrument() },
        };
        let payment_id = PaymentId(self.new_id());
        let add = AddPayment { payment_id, amount, means, added: Added::ByHand };
        Some(Plan::of(order.order_id, order::Command::AddPayment(add)))
    }

    pub(super) fn withdraw(&mut self, order: &Placed) -> Option<Plan> {
        let mut waiting = order.shipments.iter();
        let (shipment_id, _) = waiting.find(|(_, it)| it.status == order::state::ShipmentStatus::Requested)?;
        let reason = "not now".into();
        Some(Plan::of(order.order_id, order::Command::WithdrawShipment { shipment_id: *shipment_id, reason }))
    }
}
