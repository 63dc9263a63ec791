//! The part of a log that is not folded, and the checks that are impossible because of it.

use std::collections::HashSet;

use domain::ids::{LocationId, OrderId, Sku};
use domain::laws::crossing::Holdings;
use domain::order::Order;
use event_store::record::{StreamId, Version};
use uuid::Uuid;

/// Records that are not folded: set-aside ones, and those after an unreadable record of their stream.
#[derive(Default)]
pub(super) struct Unread {
    pub(super) asides: HashSet<(StreamId, Version)>,
    pub(super) streams: HashSet<StreamId>,
    /// The correlations of such records, and the orders of their stock.
    pub(super) concerned: HashSet<Uuid>,
    pub(super) stocks: HashSet<(LocationId, Sku)>,
}

impl Unread {
    pub(super) fn clouds<'a>(
        &self,
        correlation: Uuid,
        mut stocks: impl Iterator<Item = &'a (LocationId, Sku)>,
    ) -> bool {
        self.concerned.contains(&correlation) || (!self.stocks.is_empty() && stocks.any(|it| self.stocks.contains(it)))
    }

    /// Whether a record that is not folded may have changed what the order and its payment and stock agree on.
    pub(super) fn clouds_order(&self, id: OrderId, order: &Order, held: &Holdings) -> bool {
        if self.concerned.is_empty() {
            return false;
        }
        let placed = order.placed();
        let mut payments = placed.into_iter().flat_map(|placed| &placed.payments);
        if payments.any(|payment| self.concerned.contains(&payment.payment_id.0)) {
            return true;
        }
        let ordered: Vec<_> = placed
            .into_iter()
            .flat_map(|placed| placed.lines.values().map(|line| (placed.location.clone(), line.line.sku.clone())))
            .collect();
        self.clouds(id.0, held.keys().chain(&ordered))
    }
}
