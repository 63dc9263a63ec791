//! What was accepted, counted by kind: a world in which nothing of a kind happens proves nothing about it.

use std::collections::BTreeMap;

use domain::money::Currency;
use domain::order::event::{Added, AfterLoss, Event, Means};
use domain::order::state::{Placed, Status};
use domain::payment;

/// What has to happen, and the ends that orders have to come to.
pub(super) const KINDS: [&str; 56] = [
    "placed in yen",
    "placed in dinars",
    "placed with a discount",
    "placed for another",
    "confirmed after a decline",
    "held while pending",
    "held",
    "withdrawn by a cancellation",
    "withdrawn",
    "lost",
    "lost and refunded",
    "lost and resent",
    "found",
    "returned",
    "refunded by line",
    "refunded of shipping",
    "goodwill",
    "refunded by itself",
    "refund tried again",
    "refund declined",
    "refund paid by hand",
    "refund withdrawn",
    "paid another way",
    "paid later",
    "paid with another instrument",
    "paid for an edit",
    "paid once more while pending",
    "let go of by hand",
    "let go of by itself",
    "edited up",
    "edited down",
    "stock wanted once more",
    "captured by hand",
    "capture declined",
    "authorisation declined",
    "resolved",
    "resolved for good",
    "let go of with the only capture",
    "void",
    "void that waits",
    "shortage",
    "basket ordered",
    "basket expired",
    "basket released",
    "taken over",
    "taken over in part",
    "released beside",
    "released with its order",
    "end that is near",
    "end that is there",
    "held again before an end",
    "held for an end",
    "completed",
    "cancelled",
    "rejected",
    "confirmed",
];

/// How often each kind happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(BTreeMap<&'static str, u32>);

impl Tally {
    pub(super) fn count(&mut self, kind: &'static str, happened: bool) {
        *self.0.entry(kind).or_default() += u32::from(happened);
    }

    pub(super) fn of(&self, kind: &str) -> u32 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (kind, count) in &other.0 {
            *self.0.entry(kind).or_default() += count;
        }
    }

    /// An order's event, and the order before it.
    pub(super) fn order(&mut self, before: Option<&Placed>, event: &Event) {
        let pending = before.is_some_and(|order| order.status == Status::Pending);
        let kinds: &[(&'static str, bool)] = match event {
            Event::Placed(it) => &[
                ("placed in yen", it.currency == Currency::JPY),
                ("placed in dinars", it.currency == Currency::KWD),
                ("placed with a discount", it.lines.iter().any(|line| line.order_discount > 0)),
                ("placed for another", it.replaces.is_some()),
            ],
            Event::Confirmed(_) => {
                &[("confirmed after a decline", before.is_some_and(|order| !order.payments.is_empty()))]
            }
            Event::HoldPlaced(it) => &[
                ("held while pending", pending),
                ("held", !pending),
                ("held for an end", it.reason.starts_with("authorisation_")),
            ],
            Event::ShipmentWithdrawn(it) => {
                let cancelled = it.cancellation_id.is_some();
                &[("withdrawn by a cancellation", cancelled), ("withdrawn", !cancelled)]
            }
            Event::ShipmentLost(_) => &[("lost", true)],
            Event::LossDecided(it) => &[
                ("lost and refunded", it.then == AfterLoss::Refund),
                ("lost and resent", it.then == AfterLoss::Resend),
            ],
            Event::ShipmentFound(_) => &[("found", true)],
            Event::ReturnReceived(_) => &[("returned", true)],
            Event::RefundGranted(it) => &[
                ("refunded by line", it.by_hand && !it.lines.is_empty()),
                ("refunded of shipping", it.by_hand && it.shipping > 0),
                ("goodwill", it.by_hand && it.lines.is_empty() && it.shipping == 0),
                ("refunded by itself", !it.by_hand),
                ("refund tried again", it.attempt > 1),
            ],
            Event::RefundDeclined(_) => &[("refund declined", true)],
            Event::RefundPaid(_) => &[("refund paid by hand", true)],
            Event::RefundWithdrawn(_) => &[("refund withdrawn", true)],
            Event::PaymentAdded(it) => {
                let external = matches!(it.means, Means::External { .. });
                let later = before.is_some_and(|order| !order.payment_terms.capture.before_shipping());
                &[
                    ("paid another way", external),
                    ("paid later", external && later),
                    ("paid with another instrument", !external && it.added == Added::ByHand),
                    ("paid for an edit", it.added == Added::Edit),
                    ("held again before an end", it.added == Added::Renewal),
                    ("paid before an end", it.added == Added::ByHand && it.replaces.is_some()),
                    ("paid once more while pending", pending),
                ]
            }
            Event::PaymentReleased(_) => &[("let go of by hand", true)],
            Event::SurplusReleased(_) => &[("let go of by itself", true)],
            Event::Edited(it) => &[("edited up", it.balance_change > 0), ("edited down", it.balance_change < 0)],
            Event::StockWanted(_) => &[("stock wanted once more", true)],
            _ => &[],
        };
        for (kind, happened) in kinds {
            self.count(kind, *happened);
        }
    }

    /// A payment's event.
    pub(super) fn payment(&mut self, event: &payment::Event) {
        use payment::Event as Fact;
        let kind = match event {
            Fact::CaptureRequested(it) if it.by_hand => "captured by hand",
            Fact::CaptureFailed(it) if it.last => "resolved for good",
            Fact::CaptureFailed(_) => "capture declined",
            Fact::RefundFailed(it) if it.last => "resolved for good",
            Fact::Declined(it) if it.last => "resolved for good",
            Fact::Declined(_) => "authorisation declined",
            Fact::RemainderReleased(_) => "let go of with the only capture",
            Fact::VoidWanted(_) => "void that waits",
            Fact::VoidRequested(_) => "void",
            Fact::AuthorisationEnding(_) => "end that is near",
            Fact::AuthorisationExpired(_) => "end that is there",
            Fact::OutcomeResolved(_) => "resolved",
            _ => return,
        };
        self.count(kind, true);
    }
}
