//! Where stock stands: the fold of its stream.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{LineId, LocationId, OrderId, ReservationId, ReturnId, ShipmentId, Sku};
use crate::time::Timestamp;

/// The stock of a SKU at a location. `available = max(0, on_hand − reserved − safety_stock)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// What and where, once it is registered.
    pub of: Option<(Sku, LocationId)>,
    /// Units that are never promised.
    pub safety_stock: u32,
    /// How many units may be promised beyond what there is.
    pub backorder_limit: u32,
    /// Units that are here.
    pub on_hand: u32,
    /// Of those, units that are held (Σ over `reservations`).
    pub reserved: u32,
    /// Units promised once stock comes (Σ over `reservations`).
    pub backordered: u32,
    /// Reservations that hold or are promised units here.
    pub reservations: BTreeMap<ReservationId, Held>,
    /// Reservations that ended here, or were let go before they began, kept so that a late or repeated command takes no effect.
    pub ended: BTreeMap<ReservationId, Option<Timestamp>>,
    /// Partial releases, by what let go, that took effect.
    pub releases: BTreeSet<(ReservationId, Uuid)>,
    /// Shipments that took effect.
    pub shipments: BTreeSet<ShipmentId>,
    /// Receipts of returns that took effect.
    pub returns: BTreeSet<(ReturnId, u32)>,
    /// Adjustments that took effect.
    pub adjustments: BTreeSet<Uuid>,
    /// Promises made so far: the order of backorders.
    pub promises: u64,
    /// The sums that `on_hand` is made of.
    pub book: Book,
}

/// Sums since the beginning. `on_hand = received + returned + adjusted + counted − shipped − written_off`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// Units received.
    pub received: i64,
    /// Units returned, those that were then written off included.
    pub returned: i64,
    /// Σ adjustments.
    pub adjusted: i64,
    /// Σ count differences.
    pub counted: i64,
    /// Units shipped.
    pub shipped: i64,
    /// Units written off.
    pub written_off: i64,
}

/// What a reservation holds here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The order that it is for.
    pub order_id: Option<OrderId>,
    /// Units by line.
    pub lines: BTreeMap<LineId, HeldLine>,
    /// When the hold is meant to end.
    pub expires_at: Option<Timestamp>,
    /// Its place in the order of promises.
    pub promise: u64,
}

/// What a reservation holds for a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLine {
    /// Units held.
    pub reserved: u32,
    /// Units promised.
    pub backordered: u32,
}

impl Stock {
    /// Units that can be promised without a backorder.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.on_hand
            .saturating_sub(self.reserved)
            .saturating_sub(self.safety_stock)
    }
}
