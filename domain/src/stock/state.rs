//! Where stock stands: the fold of its stream. It grows with what is open, never with what was sold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::LineShare;
use super::recent::Recent;
use crate::ids::{LineId, LocationId, OrderId, ReservationId, ReturnId, ShipmentId, Sku};
use crate::time::Timestamp;

/// How many ended reservations and releases are remembered. Whoever asks again does so within seconds, and the hottest SKU
/// of the retail data sells eight times an hour: this is a day of it.
pub const REMEMBERED: usize = 256;

/// How many shipments are remembered with what they took, so that they can be put back: two days of that SKU, for a
/// payment that is not clear that long.
pub const REMEMBERED_SHIPMENTS: usize = 512;

/// How many receipts of returns and adjustments are remembered: they are rarer, and nothing but this and the command id guards them.
pub const REMEMBERED_BOOKINGS: usize = 1_024;

/// The stock of a SKU at a location. `available = max(0, on_hand − reserved − safety_stock)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// What and where, once it is registered.
    pub of: Option<(Sku, LocationId)>,
    /// Units that are never promised.
    pub safety_stock: u32,
    /// How many units may be promised beyond what there is.
    pub backorder_limit: u32,
    /// How many are allowed to be, which is more for as long as promises made under a higher limit are open.
    pub backorder_allowed: u32,
    /// Units that are here.
    pub on_hand: u32,
    /// Of those, units that are held (Σ over `reservations`).
    pub reserved: u32,
    /// Units promised once stock comes (Σ over `reservations`).
    pub backordered: u32,
    /// How many held units an accepted count or adjustment, or a write-off, left without stock, as far as they are still.
    pub short_accepted: u32,
    /// Reservations that hold or are promised units here.
    pub reservations: BTreeMap<ReservationId, Held>,
    /// Reservations that were let go before they began, each until when a late reserve has to be refused. Forgotten after that.
    pub tombstones: BTreeMap<ReservationId, Option<Timestamp>>,
    /// Reservations that ended here, and how.
    pub ended: Recent<(ReservationId, End), REMEMBERED>,
    /// Releases that took effect.
    pub releases: Recent<Release, REMEMBERED>,
    /// Shipments that took effect or never shall.
    pub shipments: Recent<Taken, REMEMBERED_SHIPMENTS>,
    /// Receipts of returns that took effect.
    pub returns: Recent<(ReturnId, u32), REMEMBERED_BOOKINGS>,
    /// Adjustments that took effect.
    pub adjustments: Recent<Adjustment, REMEMBERED_BOOKINGS>,
    /// Promises made so far: the order of backorders.
    pub promises: u64,
    /// Whether there is stock for some who wait, and a command that serves them is on its way.
    pub allocating: bool,
    /// The sums that `on_hand` is made of.
    pub book: Book,
}

/// An adjustment that took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjustment {
    /// Which.
    pub adjustment_id: Uuid,
    /// The fingerprint of what was asked.
    pub asked: Option<Uuid>,
}

/// A release that took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// What it was that let go.
    pub release_id: Uuid,
    /// The reservation that it took units from.
    pub reservation_id: ReservationId,
    /// The order that this was for.
    pub order_id: Option<OrderId>,
}

/// What a shipment took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// What, out of each reservation; nothing where it was put back.
    pub out_of: Vec<TakenOut>,
}

/// What a shipment took out of a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenOut {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order that it is for.
    pub order_id: Option<OrderId>,
    /// The reservation's place in the order of promises.
    pub promise: u64,
    /// Units by line.
    pub lines: Vec<LineShare>,
}

/// How a reservation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The last of its units left.
    Shipped,
    /// The last of its units were let go.
    Released,
    /// Its time was over.
    Expired,
    /// An order took it over.
    Ordered,
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
    /// Units by line; lines of which nothing is left stay, so that the same reserve is known again.
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

/// A reservation that has no stock for some of the units it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Short {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order that it is for.
    pub order_id: Option<OrderId>,
    /// Units without stock.
    pub qty: u32,
}

impl Held {
    /// Units held.
    #[must_use]
    pub fn reserved(&self) -> u32 {
        let lines = self.lines.values();
        lines.fold(0, |sum, line| sum.saturating_add(line.reserved))
    }

    /// Units promised.
    #[must_use]
    pub fn backordered(&self) -> u32 {
        let lines = self.lines.values();
        lines.fold(0, |sum, line| sum.saturating_add(line.backordered))
    }
}

impl Stock {
    /// Units that can be promised without a backorder.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.on_hand.saturating_sub(self.reserved).saturating_sub(self.safety_stock)
    }

    /// Units that nobody waits for. Those who come later are not served out of what others wait for.
    #[must_use]
    pub fn unclaimed(&self) -> u32 {
        self.available().saturating_sub(self.backordered)
    }

    /// Units that can still be promised beyond what there is.
    #[must_use]
    pub fn backorder_room(&self) -> u32 {
        self.backorder_limit.saturating_sub(self.backordered)
    }

    /// Held units that there is no stock for, and whose they are. The newest promises are the ones that are short.
    #[must_use]
    pub fn shortage(&self) -> Vec<Short> {
        self.shortage_at(self.on_hand)
    }

    /// The same, if `on_hand` were this.
    #[must_use]
    pub fn shortage_at(&self, on_hand: u32) -> Vec<Short> {
        let mut missing = self.reserved.saturating_sub(on_hand);
        if missing == 0 {
            return Vec::new();
        }
        let mut newest_first: Vec<_> = self.reservations.iter().collect();
        newest_first.sort_unstable_by_key(|(_, held)| std::cmp::Reverse(held.promise));
        let mut short = Vec::new();
        for (reservation_id, held) in newest_first {
            let qty = held.reserved().min(missing);
            if qty > 0 {
                short.push(Short { reservation_id: *reservation_id, order_id: held.order_id, qty });
                missing -= qty;
            }
            if missing == 0 {
                break;
            }
        }
        short
    }

    /// What a shipment took here, as far as that is remembered; nothing where it was put back.
    #[must_use]
    pub fn taken_for(&self, shipment_id: ShipmentId) -> Option<&[TakenOut]> {
        let mut shipments = self.shipments.iter();
        shipments.find(|taken| taken.shipment_id == shipment_id).map(|taken| taken.out_of.as_slice())
    }

    /// How a reservation ended here, as far as that is remembered.
    #[must_use]
    pub fn end_of(&self, reservation_id: ReservationId) -> Option<End> {
        let mut ended = self.ended.iter();
        ended.find(|(ended, _)| *ended == reservation_id).map(|(_, end)| *end)
    }
}
