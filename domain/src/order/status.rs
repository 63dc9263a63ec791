//! Views of an order's state: its status fields and its counters; its money is in the ledger. Nothing here decides, and
//! nothing is stored twice.

use super::event::{Capture, PaymentStatus};
use super::line::Line;
use super::state::{
    Basis, FulfilmentStatus, LineState, Order, Placed, ReturnStatus, ShipmentLine, ShipmentStatus, Status, StockStatus,
};
use crate::ids::{HoldId, LineId};
use crate::money::{Minor, Rounding, Shared};

impl Order {
    /// The order, if there is one.
    #[must_use]
    pub fn placed(&self) -> Option<&Placed> {
        match self {
            Self::Absent => None,
            Self::Placed(placed) => Some(placed),
        }
    }
}

impl Placed {
    /// How far it is.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// Whether the whole of it was called off, and everything is being given back.
    #[must_use]
    pub fn cancelling(&self) -> bool {
        !self.status.is_terminal() && self.cancellations.values().any(|c| c.whole)
    }

    /// Where its stock stands.
    #[must_use]
    pub fn stock_status(&self) -> StockStatus {
        let stocked = || self.lines.values().filter(|l| l.line.stocked);
        let open = units(stocked().map(LineState::open));
        let reserved = units(stocked().map(|l| l.reserved));
        let backordered = units(stocked().map(|l| l.backordered));
        let shipped = units(stocked().map(|l| l.shipped));
        let ended = matches!(self.status, Status::Rejected | Status::Cancelled);
        if !self.was_reserved {
            StockStatus::None
        } else if ended || (reserved == 0 && backordered == 0 && (open > 0 || shipped == 0)) {
            StockStatus::Released
        } else if open == 0 {
            StockStatus::None
        } else if reserved == open {
            StockStatus::Reserved
        } else if backordered > 0 && (reserved == 0 || reserved + backordered == open) {
            StockStatus::Backordered
        } else {
            StockStatus::PartReserved
        }
    }

    /// Where its money stands.
    #[must_use]
    pub fn payment_status(&self) -> PaymentStatus {
        self.payment().status
    }

    /// Where its goods stand.
    #[must_use]
    pub fn fulfilment_status(&self) -> FulfilmentStatus {
        let open = units(self.lines.values().map(LineState::open));
        let shipped = self.shipped_units();
        let delivered = units(self.lines.values().map(|l| l.delivered));
        let ended = matches!(self.status, Status::Rejected | Status::Cancelled);
        match (shipped, delivered) {
            (0, _) if ended || open == 0 => FulfilmentStatus::Cancelled,
            (0, _) => FulfilmentStatus::Unfulfilled,
            (shipped, delivered) if delivered == shipped && open == 0 => FulfilmentStatus::Delivered,
            (_, delivered) if delivered > 0 => FulfilmentStatus::PartDelivered,
            _ if open == 0 => FulfilmentStatus::Shipped,
            _ => FulfilmentStatus::PartShipped,
        }
    }

    /// Where its returns stand.
    #[must_use]
    pub fn return_status(&self) -> ReturnStatus {
        let announced = units(self.lines.values().map(|l| l.return_requested));
        let returned = units(self.lines.values().map(|l| l.returned));
        match (returned, announced) {
            (0, 0) => ReturnStatus::None,
            (0, _) => ReturnStatus::Requested,
            (returned, _) if returned == self.shipped_units() => ReturnStatus::Returned,
            _ => ReturnStatus::PartReturned,
        }
    }

    /// Whether money has to be held before it is confirmed.
    #[must_use]
    pub fn needs_payment(&self) -> bool {
        self.payment_terms.capture != Capture::PayLater && self.totals.total > 0
    }

    /// Units of a line that are neither cancelled nor shipped; those in a requested shipment are open.
    #[must_use]
    pub fn open_units(&self, line: LineId) -> u32 {
        self.lines.get(&line).map_or(0, LineState::open)
    }

    /// Units that left, over all lines.
    #[must_use]
    pub fn shipped_units(&self) -> u64 {
        units(self.lines.values().map(|l| l.shipped))
    }

    /// Units in requested shipments, over all lines.
    #[must_use]
    pub fn units_in_shipment(&self) -> u64 {
        units(self.lines.values().map(|l| l.shipping))
    }

    /// Units that are neither cancelled nor shipped, over all lines.
    #[must_use]
    pub fn all_open_units(&self) -> u64 {
        units(self.lines.values().map(LineState::open))
    }

    /// Units that are open and in no shipment, over all lines: what a further shipment can take.
    #[must_use]
    pub fn free_units(&self) -> u64 {
        self.all_open_units().saturating_sub(self.units_in_shipment())
    }

    /// What of the shipping charges is neither cancelled nor due with a shipment.
    #[must_use]
    pub fn shipping_left(&self) -> Minor {
        let charged: Minor = self.shipping.iter().map(|s| s.total).sum();
        (charged - self.shipping_shipped - self.shipping_cancelled).max(0)
    }

    /// Holds that are open.
    #[must_use]
    pub fn open_holds(&self) -> Vec<HoldId> {
        self.holds.keys().copied().collect()
    }

    /// The value of all shipments in one of these stages, shipping charges included.
    pub(super) fn value_of_shipments(&self, stages: fn(ShipmentStatus) -> bool) -> Minor {
        self.shipments
            .values()
            .filter(|s| stages(s.status))
            .map(|s| s.shipping + s.lines.values().map(|l| l.amount).sum::<Minor>())
            .sum()
    }
}

impl ShipmentStatus {
    /// Whether it left.
    #[must_use]
    pub fn has_left(self) -> bool {
        matches!(self, Self::Dispatched | Self::Delivered | Self::Lost)
    }

    /// Whether it left or is meant to.
    #[must_use]
    pub fn is_live(self) -> bool {
        !matches!(self, Self::Refused | Self::Withdrawn)
    }
}

impl ShipmentLine {
    /// Units that neither arrived nor got lost.
    #[must_use]
    pub fn under_way(&self) -> u32 {
        self.qty.saturating_sub(self.delivered).saturating_sub(self.lost)
    }

    /// Lost units without a decision.
    #[must_use]
    pub fn undecided(&self) -> u32 {
        self.lost.saturating_sub(self.decided)
    }
}

/// Where units were taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) backordered: u32,
    pub(super) reserved: u32,
}

impl LineState {
    /// A line without any events yet.
    #[must_use]
    pub fn new(line: Line) -> Self {
        Self {
            line,
            cancelled: 0,
            reserved: 0,
            backordered: 0,
            shipping: 0,
            shipped: 0,
            delivered: 0,
            lost: 0,
            lost_refunded: 0,
            return_requested: 0,
            returned: 0,
            restocked: 0,
            written_off: 0,
            cancelled_value: 0,
            shipping_value: 0,
            shipped_value: 0,
            returned_value: 0,
            lost_value: 0,
            back_before: 0,
            basis: Basis::default(),
        }
    }

    /// Units ordered.
    #[must_use]
    pub fn ordered(&self) -> u32 {
        self.line.qty
    }

    /// Units that are neither cancelled nor shipped.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.line.qty.saturating_sub(self.cancelled).saturating_sub(self.shipped)
    }

    /// Open units that are not in a requested shipment.
    #[must_use]
    pub fn free(&self) -> u32 {
        self.open().saturating_sub(self.shipping)
    }

    /// Units in shipments that wait and can be withdrawn.
    #[must_use]
    pub fn waiting(&self, order: &Placed) -> u32 {
        let waiting = order.shipments.values().filter(|shipment| shipment.status == ShipmentStatus::Requested);
        waiting.filter_map(|shipment| shipment.lines.get(&self.line.line_id)).map(|line| line.qty).sum()
    }

    /// Open units that inventory neither holds nor has promised.
    #[must_use]
    pub fn unassigned(&self) -> u32 {
        self.open().saturating_sub(self.reserved).saturating_sub(self.backordered)
    }

    /// Reserved units that are not in a requested shipment.
    #[must_use]
    pub fn shippable(&self) -> u32 {
        self.reserved.saturating_sub(self.shipping)
    }

    /// Units that left, did not get lost, and neither came back nor are announced to.
    #[must_use]
    pub fn returnable(&self) -> u32 {
        self.shipped.saturating_sub(self.lost).saturating_sub(self.returned).saturating_sub(self.return_requested)
    }

    /// Units that are cancelled, shipped or on their way, and their value.
    #[must_use]
    pub fn taken(&self) -> Basis {
        Basis {
            units: self.cancelled + self.shipping + self.shipped,
            value: self.cancelled_value + self.shipping_value + self.shipped_value,
        }
    }

    /// The value of the next units that are cancelled or shipped; the last open unit takes the rest.
    #[must_use]
    pub fn value_of_next(&self, units: u32, rounding: Rounding) -> Minor {
        let taken = self.taken();
        Shared {
            total: self.line.total - self.basis.value,
            units: self.line.qty.saturating_sub(self.basis.units),
            given: taken.value - self.basis.value,
            done: taken.units.saturating_sub(self.basis.units),
        }
        .next(units, rounding)
    }

    /// What the next units that come back, or are refunded since they got lost, were sold for; the last shipped unit takes the rest. Units that
    /// were refunded since they got lost, and turned up, have nothing left.
    #[must_use]
    pub fn refund_of_next(&self, units: u32, rounding: Rounding) -> Minor {
        let done = self.returned.saturating_add(self.lost_refunded).min(self.shipped);
        let units = units.min(self.shipped - done);
        Shared { total: self.shipped_value, units: self.shipped, given: self.back_value(), done }.next(units, rounding)
    }

    /// Which free units a cancellation or an edit removes first: unassigned, then backordered, then reserved.
    pub(super) fn take(&self, units: u32) -> Taken {
        let held = units.saturating_sub(self.unassigned());
        let backordered = held.min(self.backordered);
        Taken { backordered, reserved: (held - backordered).min(self.shippable()) }
    }
}

impl Taken {
    pub(super) fn units(self) -> u32 {
        self.backordered + self.reserved
    }
}

fn units(counters: impl Iterator<Item = u32>) -> u64 {
    counters.map(u64::from).sum()
}
