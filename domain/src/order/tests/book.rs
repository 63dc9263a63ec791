//! A second book of an order's money, kept from its events alone: what its ledger says has to be what this one says, to the minor unit.

use std::collections::BTreeMap;

use crate::ids::{LineId, PaymentId, RefundId};
use crate::money::Minor;
use crate::order::event::{AfterLoss, Event, Happened, Means, PaymentRecorded, RefundGranted};
use crate::order::ledger::{Ledger, refund_at_payment};
use crate::order::state::Placed;

/// What becomes of a share of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Paid,
    Failed,
    Withdrawn,
}

#[derive(Clone, Debug)]
struct Share {
    payment_id: PaymentId,
    at_payment: RefundId,
    amount: Minor,
    fate: Fate,
}

#[derive(Clone, Debug, Default)]
struct Grant {
    by_hand: bool,
    lines: Vec<(LineId, Minor)>,
    shipping: Minor,
    shares: Vec<Share>,
}

impl Grant {
    fn sum(&self, fit: impl Fn(Fate) -> bool) -> Minor {
        self.shares.iter().filter(|share| fit(share.fate)).map(|share| share.amount).sum()
    }

    fn standing(&self) -> Minor {
        self.sum(|fate| matches!(fate, Fate::Open | Fate::Paid))
    }

    /// The accounts of what stands of it: its lines in order, the shipping, and the rest.
    fn booked(&self) -> (Vec<Minor>, Minor, Minor) {
        let mut left = self.standing();
        let mut take = |most: Minor| {
            let part = most.min(left);
            left -= part;
            part
        };
        let lines = self.lines.iter().map(|(_, amount)| take(*amount)).collect();
        let shipping = take(self.shipping);
        (lines, shipping, left)
    }
}

/// The book.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    total: Minor,
    rejected: bool,
    cancelled: Minor,
    back: BTreeMap<LineId, Minor>,
    /// The credit of a line: raised to the value of returned units whenever money is refunded by the line, and then by
    /// that money.
    level: BTreeMap<LineId, Minor>,
    grants: BTreeMap<RefundId, Grant>,
    captured: BTreeMap<PaymentId, (u64, Minor)>,
    external: Vec<PaymentId>,
}

impl Book {
    /// Moves past an event of an order.
    pub(super) fn fold(&mut self, order: &Placed, event: &Event) {
        match event {
            Event::Placed(it) => self.total = it.totals.total,
            Event::Edited(it) => self.total = it.totals_after.total,
            Event::Rejected(it) => {
                self.rejected = true;
                if let Some(told) = &it.payment {
                    self.told(told);
                }
            }
            Event::LinesCancelled(it) => self.cancelled += it.amount,
            Event::ReturnReceived(it) => {
                for line in &it.refund {
                    *self.back.entry(line.line_id).or_default() += line.amount;
                }
            }
            Event::LossDecided(it) if it.then == AfterLoss::Refund => {
                for line in &it.lines {
                    *self.back.entry(line.line_id).or_default() += line.amount;
                }
            }
            Event::PaymentAdded(it) if matches!(it.means, Means::External { .. }) => {
                self.external.push(it.payment_id);
                self.captured.insert(it.payment_id, (0, it.amount));
            }
            Event::PaymentRecorded(it) => self.told(it),
            Event::RefundGranted(it) => self.grant(order, it),
            Event::RefundDeclined(it) => {
                let (payment_id, at_payment) = (it.payment_id, it.at_payment);
                let is_of = |share: &Share| share.payment_id == payment_id && share.at_payment == at_payment;
                self.settle(it.refund_id, Fate::Failed, is_of);
            }
            Event::RefundPaid(it) => {
                let external = self.external.clone();
                self.settle(it.refund_id, Fate::Paid, |share| external.contains(&share.payment_id));
            }
            Event::RefundWithdrawn(it) => {
                let external = self.external.clone();
                self.settle(it.refund_id, Fate::Withdrawn, |share| external.contains(&share.payment_id));
            }
            _ => {}
        }
    }

    fn told(&mut self, told: &PaymentRecorded) {
        let known = self.captured.entry(told.payment_id).or_default();
        if told.payment_version >= known.0 {
            *known = (told.payment_version, told.captured);
        }
        let Some(Happened::Refunded { refund_id }) = told.fact.as_ref().map(|fact| &fact.what) else {
            return;
        };
        let at = *refund_id;
        let ids: Vec<RefundId> = self.grants.keys().copied().collect();
        for id in ids {
            self.settle(id, Fate::Paid, |share| share.at_payment == at && share.payment_id == told.payment_id);
        }
    }

    fn grant(&mut self, order: &Placed, granted: &RefundGranted) {
        let named: Minor = granted.lines.iter().map(|line| line.amount).sum::<Minor>() + granted.shipping;
        assert!(named == 0 || named == granted.amount, "{named} is named of {granted:?}");
        let at_payment = refund_at_payment(order.order_id, granted.refund_id, granted.attempt);
        let share = |share: &crate::order::event::PaymentShare| Share {
            payment_id: share.payment_id,
            at_payment,
            amount: share.amount,
            fate: Fate::Open,
        };
        let more: Vec<Share> = granted.parts.iter().map(share).collect();
        let asked: Minor = more.iter().map(|share| share.amount).sum();
        let kept = self.ledger().kept();
        assert!(asked <= kept, "{asked} of {kept} is granted: {granted:?}");
        let before = self.grants.remove(&granted.refund_id).unwrap_or_default();
        let (had, _, _) = before.booked();
        let mut grant = Grant {
            by_hand: granted.by_hand,
            lines: granted.lines.iter().map(|line| (line.line_id, line.amount)).collect(),
            shipping: granted.shipping,
            // Granted again: what is paid or on its way stays.
            shares: before.shares.into_iter().filter(|share| matches!(share.fate, Fate::Open | Fate::Paid)).collect(),
        };
        grant.shares.extend(more);
        let (has, _, _) = grant.booked();
        for (n, (line_id, _)) in grant.lines.iter().enumerate() {
            let back = self.back.get(line_id).copied().unwrap_or(0);
            let level = self.level.entry(*line_id).or_default();
            *level = (*level).max(back) + has[n] - had.get(n).copied().unwrap_or(0);
        }
        self.grants.insert(granted.refund_id, grant);
    }

    /// Subtracts parts that are no longer granted from their lines.
    fn settle(&mut self, refund_id: RefundId, fate: Fate, fit: impl Fn(&Share) -> bool) {
        let Some(grant) = self.grants.get_mut(&refund_id) else {
            return;
        };
        let (had, _, _) = grant.booked();
        for share in grant.shares.iter_mut().filter(|share| share.fate == Fate::Open && fit(share)) {
            share.fate = fate;
        }
        let (has, _, _) = grant.booked();
        for (n, (line_id, _)) in grant.lines.iter().enumerate() {
            *self.level.entry(*line_id).or_default() -= had[n] - has[n];
        }
    }

    fn ledger(&self) -> Ledger {
        let sum = |fit: fn(Fate) -> bool| self.grants.values().map(|grant| grant.sum(fit)).sum::<Minor>();
        let by_hand = || self.grants.values().filter(|grant| grant.by_hand).map(Grant::booked);
        let mut lines: Vec<LineId> = self.back.keys().chain(self.level.keys()).copied().collect();
        lines.sort_unstable();
        lines.dedup();
        let of = |line: &LineId| self.back.get(line).max(self.level.get(line)).copied().unwrap_or(0);
        let credits = lines.iter().map(of).sum::<Minor>() + by_hand().map(|(_, shipping, _)| shipping).sum::<Minor>();
        let gone = |fate| matches!(fate, Fate::Failed | Fate::Withdrawn);
        let lost: Minor = self.grants.values().filter(|grant| !grant.by_hand).map(|grant| grant.sum(gone)).sum();
        let rest: Minor = by_hand().map(|(_, _, rest)| rest).sum();
        let value = if self.rejected { 0 } else { self.total - self.cancelled - credits };
        let goodwill = (rest - lost).max(0);
        Ledger {
            value,
            credits,
            goodwill,
            owed: (value - goodwill).max(0),
            captured: self.captured.values().map(|(_, captured)| captured).sum(),
            granted: sum(|fate| matches!(fate, Fate::Open | Fate::Paid)),
            refunded: sum(|fate| fate == Fate::Paid),
            failed: sum(|fate| fate == Fate::Failed),
            withdrawn: sum(|fate| fate == Fate::Withdrawn),
            unpaid: (lost - rest).max(0),
            ..Ledger::default()
        }
    }

    /// Whether the order's ledger agrees, and nothing is kept that should have been refunded.
    pub(super) fn agrees(&self, order: &Placed) {
        let told = order.ledger();
        let ours = Ledger { due: told.due, held: told.held, awaited: told.awaited, ..self.ledger() };
        assert_eq!(told, ours, "{self:#?}");
        let surplus = ours.kept() - ours.owed - ours.unpaid;
        assert!(surplus <= 0, "{surplus} is kept and owed to nobody: {ours:?}");
        assert!(told.due <= told.owed && told.held >= 0, "{told:?}");
    }
}
