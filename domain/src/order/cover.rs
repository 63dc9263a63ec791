//! How an order's payments cover what is still to be taken: which of them it is wanted from, and which of them stand in for others that end.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{Payment, Placed, Status};
use crate::ids::PaymentId;
use crate::money::Minor;

impl Placed {
    /// Its payments, each with what of what it holds is wanted. The oldest are taken from first, so that the newest are released first; but one
    /// that another payment stands in for comes last, with no more than what waiting shipments take from it before that.
    pub(super) fn wanted(&self) -> Vec<(&Payment, Minor)> {
        let mut needed = match self.status {
            Status::Rejected | Status::Cancelled => 0,
            Status::Pending | Status::Confirmed | Status::Completed => self.ledger().to_capture(),
        };
        let mut take = |most: Minor| {
            let taken = most.min(needed);
            needed -= taken;
            taken
        };
        let replaced = self.replaced();
        let is_replaced = |payment: &Payment| replaced.contains(&payment.payment_id);
        let promised = |payment: &Payment| match is_replaced(payment) {
            true => self.promised_of(payment.payment_id).min(payment.held()),
            false => 0,
        };
        let mut wanted: Vec<_> = self.payments.iter().map(|payment| (payment, take(promised(payment)))).collect();
        for last in [false, true] {
            for (payment, wanted) in wanted.iter_mut().filter(|(payment, _)| is_replaced(payment) == last) {
                *wanted += take(payment.held() - *wanted);
            }
        }
        wanted
    }

    /// The payments that another one stands in for, since it holds money or took some.
    fn replaced(&self) -> BTreeSet<PaymentId> {
        let standing = self.payments.iter().filter(|payment| payment.held() + payment.captured > 0);
        standing.filter_map(|payment| payment.replaces).collect()
    }

    /// What payments are asked for that did not answer yet. What takes the place of another payment counts as far as that one does not hold it.
    pub(super) fn awaited(&self) -> Minor {
        let mut asked: BTreeMap<Option<PaymentId>, Minor> = BTreeMap::new();
        for payment in &self.payments {
            *asked.entry(payment.replaces).or_default() += payment.awaited();
        }
        let there = |id: PaymentId| self.payment_of(id).map_or(0, |payment| self.free_of(payment));
        asked.into_iter().map(|(replaced, amount)| (amount - replaced.map_or(0, there)).max(0)).sum()
    }

    /// What of a payment whose end is near or there has to be found elsewhere: what of it is wanted for shipments that nobody asked for yet,
    /// and once it has ended what nothing else covers.
    pub(super) fn missing(&self, payment: &Payment) -> Minor {
        if payment.ending.is_none() {
            return 0;
        }
        if payment.expired && payment.holds_nothing() {
            return self.ledger().uncovered().min(payment.voided);
        }
        let wanted = self.wanted().into_iter().find(|(it, _)| it.payment_id == payment.payment_id);
        wanted.map_or(0, |(_, wanted)| (wanted - self.promised_of(payment.payment_id)).max(0))
    }

    /// The newest payment that takes the place of another one.
    pub(super) fn in_place_of(&self, payment_id: PaymentId) -> Option<&Payment> {
        self.payments.iter().rev().find(|payment| payment.replaces == Some(payment_id))
    }

    /// The oldest payment whose end leaves something to be found elsewhere, with how much: unless that was asked for already.
    #[must_use]
    pub fn to_replace(&self) -> Option<(&Payment, Minor)> {
        let asked = |payment: &Payment| self.in_place_of(payment.payment_id).is_some_and(|other| other.awaited() > 0);
        let held = self.payments.iter().filter(|payment| !payment.holds_nothing() && !asked(payment));
        held.map(|payment| (payment, self.missing(payment))).find(|(_, missing)| *missing > 0)
    }

    /// Whether an authorisation of it ends soon or has ended, and what it held is still to be taken and nowhere else held.
    #[must_use]
    pub fn payment_ending(&self) -> bool {
        let mut ends = self.payments.iter().filter(|payment| payment.ending.is_some()).peekable();
        if ends.peek().is_none() {
            return false;
        }
        let ledger = self.ledger();
        let uncovered = ledger.to_capture() > ledger.held;
        ledger.to_capture() > 0 && ends.any(|payment| payment.held() > 0 || payment.expired && uncovered)
    }
}
