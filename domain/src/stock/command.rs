//! What can be asked of the stock of a SKU at a location. A reservation over several SKUs is one batch of these.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::{LetGo, LineShare};
use crate::ids::{LineId, LocationId, OrderId, ReservationId, ReturnId, ShipmentId, Sku};
use crate::time::Timestamp;

/// A wish about stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Keep the SKU here, on these terms. The same terms again: nothing.
    Register {
        /// The SKU.
        sku: Sku,
        /// Where.
        location: LocationId,
        /// Units that are never promised.
        safety_stock: u32,
        /// How many units may be promised beyond what there is.
        backorder_limit: u32,
    },
    /// Units came in; registers the SKU first where it is not yet. Waiting backorders are allocated, oldest first.
    Receive {
        /// The SKU.
        sku: Sku,
        /// Where.
        location: LocationId,
        /// Units, at least 1.
        qty: u32,
        /// The delivery that they came with.
        source_ref: Option<String>,
    },
    /// Hold units. Where the reservation holds some of these lines already, nothing; other lines are added to it, so that a line's
    /// further units (after an edit, say) need a reservation of their own.
    Reserve(Reserve),
    /// Hold them longer.
    Extend {
        /// The reservation.
        reservation_id: ReservationId,
        /// Its new end, later than the old one.
        expires_at: Timestamp,
    },
    /// Hold units no more. A release of a whole reservation that is not there (yet) records a tombstone. A release of some units that
    /// the reservation has not got takes them from the order's other reservations.
    Release {
        /// The reservation.
        reservation_id: ReservationId,
        /// The order that it is for, if for an order.
        order_id: Option<OrderId>,
        /// Units, out of promised ones first and of the highest line first. All that are left if `None` and no lines are named.
        qty: Option<u32>,
        /// Units by line, held and promised ones as the order counts them; instead of `qty`. If there are too few of one kind, the other is released.
        lines: Vec<LetGo>,
        /// What it is that lets go; the same one takes effect once.
        release_id: Uuid,
        /// Until when a late reserve has to be refused.
        expires_at: Option<Timestamp>,
        /// Why.
        reason: String,
    },
    /// Its time is over.
    Expire {
        /// The reservation.
        reservation_id: ReservationId,
    },
    /// (saga) Serve those who wait and were not served yet by the command that freed the units. It has braces since the short form of a
    /// large batch gives each command the names of its stock, which one without such fields passes over.
    Allocate {},
    /// Units leave, out of a reservation: of the lines named, and where those have not enough, of the order's other units here.
    Ship {
        /// The shipment.
        shipment_id: ShipmentId,
        /// The reservation.
        reservation_id: ReservationId,
        /// The order.
        order_id: Option<OrderId>,
        /// The order's lines.
        lines: Vec<LineShare>,
    },
    /// A shipment that was to leave will not. What `Ship` took for it goes back into the reservations that it came from, or on the shelf.
    /// Where nothing was taken for it (yet), it is recorded that nothing shall be: a `Ship` of it that comes later is refused.
    PutBack {
        /// The shipment.
        shipment_id: ShipmentId,
        /// The reservation that it was to be taken from.
        reservation_id: ReservationId,
        /// The order.
        order_id: Option<OrderId>,
        /// The units that it was to take; let go where nothing was taken and `release` is set.
        lines: Vec<LineShare>,
        /// Whether nobody needs the units any more: they are free for all, instead of held again.
        release: bool,
    },
    /// Units of an order that it holds, and that there is no stock for, wait for stock again, in the order's old place.
    Defer {
        /// The reservation.
        reservation_id: ReservationId,
        /// The order.
        order_id: OrderId,
        /// The order's lines.
        lines: Vec<LineShare>,
        /// Why.
        reason: String,
    },
    /// (check) Whether a reserve of these units would be granted whole: refused as that would be, with its numbers. Records nothing.
    CheckAvailable {
        /// The SKU; named so that a refusal can tell it.
        sku: Sku,
        /// Where; likewise.
        location: LocationId,
        /// The order's lines with their units.
        lines: Vec<LineShare>,
        /// The lines that may wait for stock, within the backorder limit.
        backorder_ok: Vec<LineId>,
    },
    /// (check) Whether so many units are here: refused as a `Ship` of them would be. Records nothing.
    CheckShippable {
        /// Units.
        qty: u32,
    },
    /// (check) Whether the SKU is kept here, so that units of it can come back: refused as a `Return` would be. Records nothing.
    CheckKept {
        /// The SKU; named so that a refusal can tell it.
        sku: Sku,
        /// Where; likewise.
        location: LocationId,
    },
    /// Units came back, to where the SKU is kept.
    Return {
        /// The SKU.
        sku: Sku,
        /// Where.
        location: LocationId,
        /// The return.
        return_id: ReturnId,
        /// Which receipt of the return, from 1. The same one takes effect once.
        receipt: u32,
        /// The order.
        order_id: Option<OrderId>,
        /// Units that go back on the shelf.
        restock: u32,
        /// Units that cannot be sold.
        damaged: u32,
    },
    /// There is more or less than the book says.
    Adjust {
        /// Units more, or fewer; not 0.
        delta: i64,
        /// Why.
        reason: String,
        /// What the caller believes `on_hand` to be before.
        expected: u32,
        /// Whether reservations may be left without stock; the shortage then names them.
        accept_shortage: bool,
        /// An id for the adjustment; the same one takes effect once.
        adjustment_id: Uuid,
    },
    /// Somebody counted.
    Count {
        /// Units counted.
        counted: u32,
        /// Whether reservations may be left without stock.
        accept_shortage: bool,
    },
}

/// What reserving needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserve {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The SKU; named so that a refusal can tell it.
    pub sku: Sku,
    /// Where; likewise.
    pub location: LocationId,
    /// The order that it is for, if for an order.
    pub order_id: Option<OrderId>,
    /// The order's lines with their units, or one share of line 0 for a reservation that no order asked for.
    pub lines: Vec<LineShare>,
    /// The lines that may wait for stock, within the backorder limit.
    pub backorder_ok: Vec<LineId>,
    /// Take what there is even if it is less.
    pub allow_partial: bool,
    /// When the hold is meant to end unless it is confirmed.
    pub expires_at: Option<Timestamp>,
    /// Now, as the caller has it: a reserve past its end is refused.
    pub now: Timestamp,
    /// The reservation that the order takes over: what it holds here goes to these lines first, and is free where they need less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basket: Option<ReservationId>,
}
