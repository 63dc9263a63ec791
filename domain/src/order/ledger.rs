//! The ledger of an order: what is owed, what is held, taken, granted and given back, and what follows from it. Each number is defined
//! here and nowhere else; decisions, laws and answers read it. Nothing in it is stored.
//!
//! | number | definition |
//! |---|---|
//! | `value` | the totals, less what was cancelled, came back, or got lost and is refunded; what was refunded by a line is taken off as well, once what comes back of it later is worth no more |
//! | `made_good` | of what was granted by hand for no line and no charge, what takes the place of refunds that followed from something and failed |
//! | `goodwill` | the rest of that |
//! | `unpaid` | refunds that followed from something, failed or were withdrawn, and were not made good |
//! | `owed` | `value − goodwill`, at least 0: what the customer has paid in the end |
//! | `granted` | Σ parts of refunds that neither failed nor were withdrawn |
//! | `kept` | `captured − granted` |
//! | `balance` | `owed − kept` |
//! | `to_capture` | `balance`, at least 0 |
//! | `due` | what of `owed` is due now: for what left or is about to |
//! | `surplus` | `kept − owed − unpaid`, at least 0: what goes back by itself |
//! | `uncovered` | what of `to_capture` no payment holds or is asked for |

use std::collections::BTreeMap;

use super::event::{Capture, Means, PaymentShare, PaymentStatus};
use super::state::{LineState, Payment, Placed, Refund, RefundPart, RefundProgress, Shipment, ShipmentStatus, Status};
use crate::ids::{CaptureId, LineId, OrderId, PaymentId, RefundId, ShipmentId, within};
use crate::money::Minor;

/// The numbers of an order's money, in minor units. See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// What the goods and charges that stand are worth.
    pub value: Minor,
    /// What of lines and charges came back, got lost and is refunded, or was refunded by hand.
    pub credits: Minor,
    /// What was granted by hand for no line and no charge, and makes good for nothing.
    pub goodwill: Minor,
    /// What the customer has to have paid in the end.
    pub owed: Minor,
    /// What of that is due now.
    pub due: Minor,
    /// Taken, or come another way.
    pub captured: Minor,
    /// Granted as refunds and standing.
    pub granted: Minor,
    /// Of that, what the customer has.
    pub refunded: Minor,
    /// Of what was granted, what the provider would not pay; it is not granted any more.
    pub failed: Minor,
    /// Of what was granted, what was withdrawn; it is not granted any more.
    pub withdrawn: Minor,
    /// What is held, not taken, and counted on.
    pub held: Minor,
    /// What payments are asked for that did not answer yet.
    pub awaited: Minor,
    /// Refunds that followed from something, failed or were withdrawn, and were not made good by hand.
    pub unpaid: Minor,
}

impl Ledger {
    /// What was taken and is not granted.
    #[must_use]
    pub fn kept(&self) -> Minor {
        self.captured - self.granted
    }

    /// What is kept, and is not owed to the customer for a refund that failed: what goods can leave for.
    #[must_use]
    pub fn available(&self) -> Minor {
        (self.kept() - self.unpaid).max(0)
    }

    /// What is owed and not kept: above 0 it is still to be paid, below 0 too much was taken.
    #[must_use]
    pub fn balance(&self) -> Minor {
        self.owed - self.kept()
    }

    /// Granted, and not with the customer yet.
    #[must_use]
    pub fn refund_pending(&self) -> Minor {
        self.granted - self.refunded
    }

    /// What can still be granted.
    #[must_use]
    pub fn refundable(&self) -> Minor {
        self.kept().max(0)
    }

    /// What was taken beyond all that is owed, and goes back by itself.
    #[must_use]
    pub fn surplus(&self) -> Minor {
        (self.kept() - self.owed - self.unpaid).max(0)
    }

    /// What was taken beyond all that is due now, and may go back by itself.
    #[must_use]
    pub fn spare(&self) -> Minor {
        (self.kept() - self.due - self.unpaid).max(0)
    }

    /// What is still to be taken.
    #[must_use]
    pub fn to_capture(&self) -> Minor {
        self.balance().max(0)
    }

    /// What is still to be taken, and no payment holds it or is asked for it.
    #[must_use]
    pub fn uncovered(&self) -> Minor {
        (self.to_capture() - self.held - self.awaited).max(0)
    }
}

/// Sums over all payments of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payments {
    /// The newest payment.
    pub payment_id: Option<PaymentId>,
    /// Where they stand together.
    pub status: PaymentStatus,
    /// Held in all, or come another way.
    pub authorised: Minor,
    /// Taken in all.
    pub captured: Minor,
    /// Given back in all.
    pub refunded: Minor,
    /// Let go without being taken, in all.
    pub voided: Minor,
}

/// The capture of what a shipment takes from a payment.
#[must_use]
pub fn capture_of(order_id: OrderId, shipment_id: ShipmentId, payment_id: PaymentId) -> CaptureId {
    CaptureId(within(order_id, "fulfilment", shipment_id.0, &format!("capture/{payment_id}")))
}

/// A refund as its payments know it. Granted once more it is another one: what was done before stays.
#[must_use]
pub fn refund_at_payment(order_id: OrderId, refund_id: RefundId, attempt: u32) -> RefundId {
    if attempt <= 1 { refund_id } else { RefundId(within(order_id, "refund", refund_id.0, &attempt.to_string())) }
}

impl RefundPart {
    /// Whether it is granted: neither failed nor withdrawn.
    #[must_use]
    pub fn stands(&self) -> bool {
        matches!(self.progress, RefundProgress::Pending | RefundProgress::Done { .. })
    }
}

impl Refund {
    fn parts_that(&self, fit: impl Fn(&RefundProgress) -> bool) -> Minor {
        self.parts.iter().filter(|part| fit(&part.progress)).map(|part| part.amount).sum()
    }

    /// What of it is granted.
    #[must_use]
    pub fn standing(&self) -> Minor {
        self.parts.iter().filter(|part| part.stands()).map(|part| part.amount).sum()
    }

    /// What of it the customer has.
    #[must_use]
    pub fn done(&self) -> Minor {
        self.parts_that(|progress| matches!(progress, RefundProgress::Done { .. }))
    }

    /// What of it a provider would not pay.
    #[must_use]
    pub fn failed(&self) -> Minor {
        self.parts_that(|progress| matches!(progress, RefundProgress::Failed { .. }))
    }

    /// What of it was withdrawn.
    #[must_use]
    pub fn withdrawn(&self) -> Minor {
        self.parts_that(|progress| matches!(progress, RefundProgress::Withdrawn { .. }))
    }

    /// What of it is on its way.
    #[must_use]
    pub fn pending(&self) -> Minor {
        self.parts_that(|progress| *progress == RefundProgress::Pending)
    }

    /// What of a refund by hand counts on its lines, on shipping charges, and on neither, in this order, as far as it stands.
    pub(super) fn counted(&self) -> Counted {
        self.counting(self.standing())
    }

    /// The same, if so much of it stood.
    pub(super) fn counting(&self, standing: Minor) -> Counted {
        let mut left = standing;
        let mut take = |amount: Minor| {
            let taken = amount.min(left);
            left -= taken;
            taken
        };
        let lines = self.lines.iter().map(|line| (line.line_id, take(line.amount))).collect();
        let shipping = take(self.shipping);
        Counted { lines, shipping, goodwill: left }
    }
}

/// What of a refund by hand counts where.
pub(super) struct Counted {
    pub(super) lines: Vec<(LineId, Minor)>,
    pub(super) shipping: Minor,
    goodwill: Minor,
}

impl LineState {
    /// The value of what came back of it, or got lost and is refunded.
    #[must_use]
    pub fn back_value(&self) -> Minor {
        self.returned_value + self.lost_value
    }
}

impl Payment {
    /// Whether it came another way than through a provider.
    #[must_use]
    pub fn is_external(&self) -> bool {
        matches!(self.means, Some(Means::External { .. }))
    }

    /// What it holds, was not taken, and the order counts on.
    #[must_use]
    pub fn held(&self) -> Minor {
        let held = self.authorised - self.captured - self.voided;
        // Where the gateway cannot void a part, all of it stays.
        let keep = self.to_keep().filter(|keep| *keep == 0 || self.abilities.partial_void);
        keep.map_or(held, |keep| held.min(keep)).max(0)
    }

    /// The least that any void leaves held, whether the order asked for it, somebody by hand, or the payment reports it.
    #[must_use]
    pub fn to_keep(&self) -> Option<Minor> {
        let by_hand = self.released.map(|void| void.keep);
        [self.keep, self.keeps, by_hand].into_iter().flatten().min()
    }

    /// Whether all that it holds, or will hold, is voided other than by the order's own wish.
    #[must_use]
    pub fn is_voiding(&self) -> bool {
        self.released.is_some_and(|void| void.keep == 0) || self.keeps == Some(0)
    }

    /// What it is asked for, as long as the provider has not answered.
    #[must_use]
    pub fn awaited(&self) -> Minor {
        let asked = self.status == PaymentStatus::None && !self.is_external() && !self.is_voiding();
        if asked { self.requested } else { 0 }
    }

    /// Whether nothing of it is held at the provider, as far as the order knows.
    #[must_use]
    pub fn holds_nothing(&self) -> bool {
        self.authorised - self.captured - self.voided <= 0
    }
}

impl Placed {
    /// Its ledger.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        let by_hand = self.refunds.values().filter(|refund| refund.by_hand).map(Refund::counted);
        let (mut of_lines, mut of_shipping, mut goodwill) = (BTreeMap::<LineId, Minor>::new(), 0, 0);
        for counted in by_hand {
            for (line_id, amount) in counted.lines {
                *of_lines.entry(line_id).or_default() += amount;
            }
            of_shipping += counted.shipping;
            goodwill += counted.goodwill;
        }
        // What a line is not owed for any more: what came back of it, and at least what was refunded by it.
        let credit = |(line_id, line): (&LineId, &LineState)| {
            line.back_value().max(line.back_before + of_lines.get(line_id).copied().unwrap_or(0))
        };
        let credits: Minor = self.lines.iter().map(credit).sum::<Minor>() + of_shipping;
        let cancelled: Minor =
            self.lines.values().map(|line| line.cancelled_value).sum::<Minor>() + self.shipping_cancelled;
        let follows = self.refunds.values().filter(|refund| !refund.by_hand);
        let lost: Minor = follows.map(|refund| refund.failed() + refund.withdrawn()).sum();
        let made_good = goodwill.min(lost);
        goodwill -= made_good;
        let value = if self.status == Status::Rejected { 0 } else { self.totals.total - cancelled - credits };
        let owed = (value - goodwill).max(0);
        let due = match self.payment_terms.capture {
            Capture::AtConfirmation => owed,
            Capture::AtShipment | Capture::PayLater => {
                (self.value_of_shipments(ShipmentStatus::is_live) - credits - goodwill).clamp(0, owed)
            }
        };
        let sum = |of: fn(&Refund) -> Minor| self.refunds.values().map(of).sum::<Minor>();
        let paid = self.payment();
        let granted = sum(Refund::standing);
        Ledger {
            value,
            credits,
            goodwill,
            owed,
            due,
            captured: paid.captured,
            granted,
            refunded: sum(Refund::done),
            failed: sum(Refund::failed),
            withdrawn: sum(Refund::withdrawn),
            held: self.payments.iter().map(Payment::held).sum(),
            awaited: self.awaited(),
            unpaid: lost - made_good,
        }
    }

    /// What is due once goods of this value leave besides those of the shipments in these stages.
    pub(super) fn due_with(&self, value: Minor, stages: fn(ShipmentStatus) -> bool) -> Minor {
        let ledger = self.ledger();
        (self.value_of_shipments(stages) + value - ledger.credits - ledger.goodwill).max(0)
    }

    /// Its payments, summed up.
    #[must_use]
    pub fn payment(&self) -> Payments {
        let sum = |of: fn(&Payment) -> Minor| self.payments.iter().map(of).sum::<Minor>();
        Payments {
            payment_id: self.payments.last().map(|payment| payment.payment_id),
            status: self.payments_stand(),
            authorised: sum(|payment| payment.authorised),
            captured: sum(|payment| payment.captured),
            refunded: sum(|payment| payment.refunded),
            voided: sum(|payment| payment.voided),
        }
    }

    fn payments_stand(&self) -> PaymentStatus {
        let has = |status| self.payments.iter().any(|payment| payment.status == status);
        let sum = |of: fn(&Payment) -> Minor| self.payments.iter().map(of).sum::<Minor>();
        let (captured, refunded) = (sum(|payment| payment.captured), sum(|payment| payment.refunded));
        match self.payments.as_slice() {
            [] => PaymentStatus::None,
            [one] => one.status,
            _ if has(PaymentStatus::Unknown) => PaymentStatus::Unknown,
            _ if captured > 0 && refunded == captured => PaymentStatus::Refunded,
            _ if refunded > 0 => PaymentStatus::PartRefunded,
            _ if captured > 0 && self.payments.iter().all(Payment::holds_nothing) => PaymentStatus::Captured,
            _ if captured > 0 => PaymentStatus::PartCaptured,
            all if !all.iter().all(Payment::holds_nothing) => PaymentStatus::Authorised,
            _ if has(PaymentStatus::None) => PaymentStatus::None,
            _ if has(PaymentStatus::Voided) => PaymentStatus::Voided,
            _ => PaymentStatus::Declined,
        }
    }

    /// One of its payments.
    #[must_use]
    pub fn payment_of(&self, payment_id: PaymentId) -> Option<&Payment> {
        self.payments.iter().find(|payment| payment.payment_id == payment_id)
    }

    /// What is owed for it in all.
    #[must_use]
    pub fn owed(&self) -> Minor {
        self.ledger().owed
    }

    /// What is owed and not kept: above 0 it is still to be paid, below 0 too much was taken.
    #[must_use]
    pub fn balance(&self) -> Minor {
        self.ledger().balance()
    }

    /// What of the captured money can still be granted as a refund.
    #[must_use]
    pub fn refundable(&self) -> Minor {
        self.ledger().refundable()
    }

    /// What is granted as refunds in all.
    #[must_use]
    pub fn granted(&self) -> Minor {
        self.refunds.values().map(Refund::standing).sum()
    }

    /// What was granted by hand on a line, as far as it stands.
    #[must_use]
    pub fn refunded_by_line(&self, line_id: LineId) -> Minor {
        let by_hand = self.refunds.values().filter(|refund| refund.by_hand);
        let lines = by_hand.flat_map(|refund| refund.counted().lines);
        lines.filter(|(of, _)| *of == line_id).map(|(_, amount)| amount).sum()
    }

    /// What of a line is not owed for any more: what came back of it, and what was refunded by it.
    #[must_use]
    pub fn credit_of(&self, line: &LineState) -> Minor {
        line.back_value().max(line.back_before + self.refunded_by_line(line.line.line_id))
    }

    /// What was granted by hand on shipping charges, as far as it stands.
    #[must_use]
    pub fn refunded_shipping(&self) -> Minor {
        self.refunds.values().filter(|refund| refund.by_hand).map(|refund| refund.counted().shipping).sum()
    }

    /// What a payment can still give back: taken and not granted out of it.
    #[must_use]
    pub fn refundable_of(&self, payment: &Payment) -> Minor {
        let parts = self.refunds.values().flat_map(|refund| &refund.parts);
        let granted: Minor =
            parts.filter(|part| part.payment_id == payment.payment_id && part.stands()).map(|part| part.amount).sum();
        (payment.captured - granted).max(0)
    }

    /// What shipments that wait will take from a payment.
    pub(super) fn promised_of(&self, payment_id: PaymentId) -> Minor {
        self.shipments
            .values()
            .filter(|shipment| matches!(shipment.status, ShipmentStatus::Requested | ShipmentStatus::Withdrawn))
            .map(|shipment| shipment.promised(payment_id))
            .sum()
    }

    /// What a payment holds for shipments that nobody asked for yet. Where the gateway takes one capture only, the first shipment has it.
    pub(super) fn free_of(&self, payment: &Payment) -> Minor {
        if !payment.abilities.several_captures && self.promised_of(payment.payment_id) > 0 {
            return 0;
        }
        (payment.held() - self.promised_of(payment.payment_id)).max(0)
    }

    /// What is on its way to be taken for shipments that wait.
    pub(super) fn promised(&self) -> Minor {
        let waiting = self.shipments.values().filter(|shipment| shipment.status == ShipmentStatus::Requested);
        waiting.flat_map(|shipment| &shipment.captures).filter(|it| !it.done).map(|it| it.share.amount).sum()
    }

    /// An amount over the payments, the oldest first, as far as each has room for it; and what nobody has room for.
    pub(super) fn spread(&self, amount: Minor, room: impl Fn(&Payment) -> Minor) -> (Vec<PaymentShare>, Minor) {
        let mut left = amount;
        let mut shares = Vec::new();
        for payment in &self.payments {
            let amount = room(payment).min(left);
            if amount > 0 {
                shares.push(PaymentShare { payment_id: payment.payment_id, amount });
                left -= amount;
            }
        }
        (shares, left)
    }
}

impl Shipment {
    fn promised(&self, payment_id: PaymentId) -> Minor {
        let open = self.captures.iter().filter(|it| !it.done && it.share.payment_id == payment_id);
        open.map(|it| it.share.amount).sum()
    }
}
