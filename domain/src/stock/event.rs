//! What can have happened to stock. It stays: add a variant or an optional field, never bend one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{LineId, LocationId, OrderId, ReservationId, ReturnId, ShipmentId, Sku};
use crate::stored::is_default;
use crate::time::Timestamp;

/// A fact about the stock of a SKU at a location.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Event {
    Registered(Registered),
    Received(Received),
    Reserved(Reserved),
    Backordered(Backordered),
    ReservationExtended(ReservationExtended),
    ReservationReleased(ReservationReleased),
    ReservationExpired(ReservationExpired),
    Shipped(Shipped),
    ShipmentPutBack(ShipmentPutBack),
    ReservationDeferred(ReservationDeferred),
    ReservationOrdered(ReservationOrdered),
    Returned(Returned),
    WrittenOff(WrittenOff),
    Adjusted(Adjusted),
    Counted(Counted),
    BackorderAllocated(BackorderAllocated),
}

/// Units for a line of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LineShare {
    /// The line.
    pub line_id: LineId,
    /// Units.
    pub qty: u32,
}

/// `StockRegistered`: the SKU is kept here from now on, or its terms change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registered {
    /// The SKU.
    pub sku: Sku,
    /// Where.
    pub location: LocationId,
    /// Units that are never promised.
    pub safety_stock: u32,
    /// How many units may be promised beyond what there is.
    pub backorder_limit: u32,
}

/// `StockReceived`: units came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Received {
    /// Units.
    pub qty: u32,
    /// The delivery that they came with.
    pub source_ref: Option<String>,
}

/// `StockReserved`: units are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reserved {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order that it is for, if for an order.
    pub order_id: Option<OrderId>,
    /// Units.
    pub qty: u32,
    /// The order's lines that they are for.
    pub lines: Vec<LineShare>,
    /// When the hold is meant to end, unless it is confirmed; `None`: it does not.
    pub expires_at: Option<Timestamp>,
    /// Tombstones whose time was over at this instant are forgotten; there only if there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgotten_until: Option<Timestamp>,
}

/// `StockBackordered`: units are promised once stock comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backordered {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order that it is for, if for an order.
    pub order_id: Option<OrderId>,
    /// Units.
    pub qty: u32,
    /// The order's lines that they are for.
    pub lines: Vec<LineShare>,
    /// When stock is expected.
    pub expected_at: Option<Timestamp>,
}

/// `ReservationExtended`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReservationExtended {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// Its new end.
    pub expires_at: Timestamp,
}

/// What a reservation lets go of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LetGo {
    /// The line.
    pub line_id: LineId,
    /// Units that were held.
    pub qty: u32,
    /// Units that were promised.
    #[serde(default, skip_serializing_if = "is_default")]
    pub backordered: u32,
}

/// `ReservationReleased`: units are held or promised no more. With `qty` 0 it is a tombstone: the release came before the reserve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReservationReleased {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order that it was for.
    pub order_id: Option<OrderId>,
    /// Units that were held.
    pub qty: u32,
    /// Units that were promised.
    pub backordered: u32,
    /// Of which lines; empty if nothing is left, or nothing was there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LetGo>,
    /// Whether nothing of the reservation is left here.
    pub whole: bool,
    /// What it is that lets go: the cancellation's id, say. The same one takes effect once.
    pub release_id: uuid::Uuid,
    /// For a tombstone: until when a late reserve has to be refused.
    pub expires_at: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

/// `ReservationExpired`: its time is over; units are held or promised no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReservationExpired {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order that it was for.
    pub order_id: Option<OrderId>,
    /// Units that were held.
    pub qty: u32,
    /// Units that were promised.
    pub backordered: u32,
}

/// `StockShipped`: units left, out of a reservation. A shipment that takes units out of several reservations of an order is several
/// of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shipped {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order.
    pub order_id: Option<OrderId>,
    /// Units.
    pub qty: u32,
    /// The lines whose units they were.
    pub lines: Vec<LineShare>,
}

/// `ShipmentPutBack`: a shipment that was to leave will not; what was taken for it is here again. One for each reservation that it took
/// units out of. With `qty` 0 it is a tombstone: nothing was taken for the shipment, and nothing shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShipmentPutBack {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// The reservation that they came from.
    pub reservation_id: ReservationId,
    /// The order.
    pub order_id: Option<OrderId>,
    /// Units.
    pub qty: u32,
    /// The lines whose units they are; empty where nothing was taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LineShare>,
    /// Whether they are free for all; if not, the reservation holds them again.
    pub released: bool,
}

/// `ReservationDeferred`: there is no stock for units that are held, and somebody lets them wait for it again, whatever the backorder limit
/// is. The reservation keeps its place among those who wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReservationDeferred {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order.
    pub order_id: Option<OrderId>,
    /// Units.
    pub qty: u32,
    /// The lines whose units they are.
    pub lines: Vec<LineShare>,
    /// Why.
    pub reason: String,
}

/// `ReservationOrdered`: an order takes over a reservation that no order had asked for, which ends here. Its units are held on, for the
/// order's lines; what those do not need is free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReservationOrdered {
    /// The reservation that ends.
    pub reservation_id: ReservationId,
    /// The order.
    pub order_id: OrderId,
    /// The order's own reservation, which holds the units from now on.
    pub held_by: ReservationId,
    /// Units that are held on, at least 1.
    pub qty: u32,
    /// The order's lines that they are for.
    pub lines: Vec<LineShare>,
    /// Units that are held no more.
    pub freed: u32,
    /// Units that are promised no more.
    #[serde(default, skip_serializing_if = "is_default")]
    pub backordered: u32,
    /// When the order's hold is meant to end, unless it is confirmed; `None`: it does not.
    pub expires_at: Option<Timestamp>,
}

/// `StockReturned`: units are back on the shelf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Returned {
    /// The return.
    pub return_id: ReturnId,
    /// Which receipt of the return, from 1.
    pub receipt: u32,
    /// The order.
    pub order_id: Option<OrderId>,
    /// Units.
    pub qty: u32,
}

/// `StockWrittenOff`: units came back that cannot be sold; `on_hand` falls by them, after `StockReturned` has raised it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WrittenOff {
    /// The return.
    pub return_id: ReturnId,
    /// Which receipt of the return, from 1.
    pub receipt: u32,
    /// Units.
    pub qty: u32,
    /// Why.
    pub reason: String,
}

/// `StockAdjusted`: somebody says that there is more or less.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Adjusted {
    /// Which adjustment; the same one takes effect once.
    pub adjustment_id: uuid::Uuid,
    /// Units more, or fewer.
    pub delta: i64,
    /// Why.
    pub reason: String,
    /// A fingerprint of what was asked for: the same id with something else is another wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<uuid::Uuid>,
}

/// `StockCounted`: somebody counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counted {
    /// Units counted.
    pub counted: u32,
    /// `counted − on_hand` before.
    pub difference: i64,
}

/// `BackorderAllocated`: stock came or became free; promised units are held now, oldest promise first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackorderAllocated {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order.
    pub order_id: Option<OrderId>,
    /// The line, if it is an order's.
    pub line_id: Option<LineId>,
    /// Units.
    pub qty: u32,
    /// Whether there is stock for others that wait, who are served by a later command: one makes a bounded number of these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}
