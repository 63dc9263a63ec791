//! How an order applies the facts of its payments, and its own refunds.

use crate::ids::{PaymentId, RefundId};
use crate::order::event::{
    Confirmed, Happened, Means, PaymentAdded, PaymentRecorded, PaymentReleased, PaymentShare, PaymentStatus,
    RefundDeclined, RefundGranted, RefundPaid, RefundWithdrawn,
};
use crate::order::ledger::{capture_of, refund_at_payment};
use crate::order::state::{ByHand, Ending, Payment, Placed, Refund, RefundPart, RefundProgress};
use crate::payment::abilities::Abilities;

impl Payment {
    /// A payment without any facts yet.
    fn new(payment_id: PaymentId) -> Self {
        Self {
            payment_id,
            means: None,
            replaces: None,
            requested: 0,
            status: PaymentStatus::None,
            authorised: 0,
            captured: 0,
            refunded: 0,
            voided: 0,
            capture_before: None,
            abilities: Abilities::ALL,
            ending: None,
            expired: false,
            version: 0,
            told: Default::default(),
            keep: None,
            keeps: None,
            released: None,
            asked: None,
        }
    }
}

impl Placed {
    /// The payment that the order was placed with is the oldest, however late its facts arrive.
    fn payment_mut(&mut self, payment_id: PaymentId) -> Option<&mut Payment> {
        let at = match self.payments.iter().position(|payment| payment.payment_id == payment_id) {
            Some(at) => at,
            None => {
                self.payments.insert(0, Payment::new(payment_id));
                0
            }
        };
        self.payments.get_mut(at)
    }

    pub(super) fn confirm_payment(&mut self, confirmed: &Confirmed) {
        let Some(payment) = confirmed.payment_id.and_then(|id| self.payment_mut(id)) else {
            return;
        };
        // What payments itself says is newer than what checkout had from it.
        if payment.version <= confirmed.payment_version && confirmed.authorised > 0 && payment.authorised == 0 {
            payment.requested = confirmed.authorised;
            payment.authorised = confirmed.authorised;
            payment.capture_before = confirmed.capture_before;
            payment.abilities = confirmed.abilities.unwrap_or(Abilities::ALL);
            payment.status = PaymentStatus::Authorised;
            payment.version = confirmed.payment_version;
        }
    }

    pub(super) fn add_payment(&mut self, added: &PaymentAdded) {
        let mut payment = Payment::new(added.payment_id);
        payment.means = Some(added.means.clone());
        payment.replaces = added.replaces;
        payment.requested = added.amount;
        payment.asked = added.asked;
        if matches!(added.means, Means::External { .. }) {
            payment.authorised = added.amount;
            payment.captured = added.amount;
            payment.status = PaymentStatus::Captured;
        }
        self.payments.push(payment);
    }

    pub(super) fn release_payment(&mut self, released: &PaymentReleased) {
        if let Some(payment) = self.payment_mut(released.payment_id) {
            let keep = payment.released.map_or(released.keep, |there| there.keep.min(released.keep));
            payment.released = Some(ByHand { keep, payment_version: released.payment_version });
        }
    }

    pub(super) fn release_surplus(&mut self, keep: &[PaymentShare]) {
        for share in keep {
            if let Some(payment) = self.payment_mut(share.payment_id) {
                payment.keep = Some(share.amount);
            }
        }
    }

    pub(super) fn record_payment(&mut self, told: &PaymentRecorded) {
        let Some(payment) = self.payment_mut(told.payment_id) else {
            return;
        };
        if told.payment_version >= payment.version {
            payment.version = told.payment_version;
            payment.status = told.status;
            payment.authorised = told.authorised;
            payment.captured = told.captured;
            payment.refunded = told.refunded;
            payment.voided = told.voided;
            payment.keeps = told.keeps;
            // Another end is not near because the one before it was.
            payment.ending = payment.ending.filter(|_| payment.capture_before == told.capture_before);
            payment.capture_before = told.capture_before;
            payment.abilities = told.abilities.unwrap_or(Abilities::ALL);
        }
        // From here on the payment's own word says what becomes of the void.
        payment.released = payment.released.filter(|void| told.payment_version <= void.payment_version);
        let Some(fact) = &told.fact else {
            return;
        };
        payment.told.insert(fact.version);
        match &fact.what {
            // The end may have moved since: a fact that comes late is about the end before.
            Happened::Ending { capture_before, lead_s, then } if payment.capture_before == Some(*capture_before) => {
                payment.ending = Some(Ending { lead_s: *lead_s, then: *then });
            }
            Happened::Expired => payment.expired = true,
            Happened::Captured { capture_id } => {
                let order_id = self.order_id;
                for (shipment_id, shipment) in &mut self.shipments {
                    for capture in shipment.captures.iter_mut().filter(|it| it.share.payment_id == told.payment_id) {
                        capture.done |= capture_of(order_id, *shipment_id, told.payment_id) == *capture_id;
                    }
                }
            }
            Happened::Refunded { refund_id } => {
                let parts = self.refunds.values_mut().flat_map(|refund| &mut refund.parts);
                for part in parts.filter(|it| it.payment_id == told.payment_id && it.at_payment == *refund_id) {
                    part.progress = RefundProgress::Done { reference: None };
                }
            }
            _ => {}
        }
    }

    pub(super) fn grant(&mut self, granted: &RefundGranted) {
        let at_payment = refund_at_payment(self.order_id, granted.refund_id, granted.attempt);
        for of in granted.lines.iter().filter(|_| granted.by_hand) {
            let by_line = self.refunded_by_line(of.line_id);
            if let Some(line) = self.lines.get_mut(&of.line_id) {
                line.back_before += (line.back_value() - line.back_before - by_line).max(0);
            }
        }
        let part = |share: &PaymentShare| RefundPart {
            payment_id: share.payment_id,
            amount: share.amount,
            at_payment,
            progress: RefundProgress::Pending,
        };
        // Granted again: parts that the customer has, or will have, stay; the failed ones are requested again.
        let before = self.refunds.remove(&granted.refund_id).map_or_else(Vec::new, |before| before.parts);
        let stands = before.into_iter().filter(RefundPart::stands);
        let refund = Refund {
            amount: granted.amount,
            attempt: granted.attempt,
            parts: stands.chain(granted.parts.iter().map(part)).collect(),
            lines: granted.lines.clone(),
            shipping: granted.shipping,
            by_hand: granted.by_hand,
            reason: granted.reason.clone(),
            return_id: granted.return_id,
            cancellation_id: granted.cancellation_id,
            edit_id: granted.edit_id,
            shipment_id: granted.shipment_id,
            asked: granted.asked,
        };
        self.refunds.insert(granted.refund_id, refund);
    }

    fn move_parts(&mut self, refund_id: RefundId, which: impl Fn(&RefundPart) -> bool, to: &RefundProgress) {
        let parts = self.refunds.get_mut(&refund_id).into_iter().flat_map(|refund| &mut refund.parts);
        for part in parts.filter(|part| part.progress == RefundProgress::Pending && which(part)) {
            part.progress = to.clone();
        }
    }

    pub(super) fn fail_refund(&mut self, failed: &RefundDeclined) {
        let to = RefundProgress::Failed { code: failed.code.clone() };
        self.move_parts(failed.refund_id, |part| failed.is_of(part), &to);
    }

    fn move_external(&mut self, refund_id: RefundId, to: &RefundProgress) {
        let external: Vec<PaymentId> =
            self.payments.iter().filter(|payment| payment.is_external()).map(|payment| payment.payment_id).collect();
        for payment_id in external {
            let pending = self.refunds.get(&refund_id).map_or(0, |refund| {
                let parts = refund.parts.iter().filter(|part| part.payment_id == payment_id);
                parts.filter(|part| part.progress == RefundProgress::Pending).map(|part| part.amount).sum()
            });
            self.move_parts(refund_id, |part| part.payment_id == payment_id, to);
            if let (RefundProgress::Done { .. }, Some(payment)) = (to, self.payment_mut(payment_id)) {
                payment.refunded += pending;
                payment.status = match payment.refunded {
                    0 => payment.status,
                    all if all == payment.captured => PaymentStatus::Refunded,
                    _ => PaymentStatus::PartRefunded,
                };
            }
        }
    }

    pub(super) fn pay_by_hand(&mut self, paid: &RefundPaid) {
        self.move_external(paid.refund_id, &RefundProgress::Done { reference: Some(paid.reference.clone()) });
    }

    pub(super) fn withdraw_refund(&mut self, withdrawn: &RefundWithdrawn) {
        self.move_external(withdrawn.refund_id, &RefundProgress::Withdrawn { reason: withdrawn.reason.clone() });
    }
}
