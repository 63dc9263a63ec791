//! The bodies of stock answers.

use domain::ids::{LocationId, OrderId, ReservationId, Sku};
use domain::stock::Stock;
use domain::time::Timestamp;
use projections::stock_ledger::Movement;
use projections::stock_levels::Standing;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::history::Moment;

/// How much there is of a SKU at a location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StockLevelBody {
    /// The SKU.
    #[schema(value_type = String, example = "85123A")]
    pub sku: Sku,
    /// Where.
    #[schema(value_type = String, example = "main")]
    pub location: LocationId,
    /// The version of its stream that this shows.
    #[schema(example = 3)]
    pub version: u64,
    /// Units that are here.
    pub on_hand: u32,
    /// Reserved units of `on_hand`.
    pub reserved: u32,
    /// Units that can be promised: `max(0, on_hand − reserved − safety_stock)`.
    pub available: u32,
    /// Units promised once stock comes.
    pub backordered: u32,
    /// Units that are never promised.
    pub safety_stock: u32,
    /// How many units may be promised beyond the stock.
    pub backorder_limit: u32,
    /// Held units that there is no stock for: `max(0, reserved − on_hand)`.
    pub short: u32,
    /// The reservations of the shortage, the newest first, if one SKU is requested as of now: each until it gets stock,
    /// is released or waits for stock again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shortage: Vec<ShortBody>,
    /// When its last event was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// A reservation that has no stock for some of the units it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShortBody {
    /// The reservation.
    #[schema(value_type = uuid::Uuid)]
    pub reservation_id: ReservationId,
    /// The order that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub order_id: Option<OrderId>,
    /// Units without stock.
    pub qty: u32,
}

/// How much there is of a SKU, location by location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SkuBody {
    /// The SKU.
    #[schema(value_type = String, example = "85123A")]
    pub sku: Sku,
    /// The position that this stands for.
    pub position: u64,
    /// Whether the read model has stopped, so that what it shows grows old.
    pub stale: bool,
    /// Where there is how much.
    pub locations: Vec<StockLevelBody>,
}

/// A movement of stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MovementBody {
    /// The version of the stock's stream.
    pub version: u64,
    /// The event's position.
    pub position: u64,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
    /// `registered`, `received`, `reserved`, `backordered`, `extended`, `released`, `expired`, `shipped`, `put_back`, `deferred`,
    /// `ordered` (an order took the reservation over), `returned`, `written_off`, `adjusted`, `counted`, `allocated` or `set_aside`.
    #[schema(example = "shipped")]
    pub movement: String,
    /// Units more or fewer on hand.
    pub on_hand_change: i64,
    /// Units more or fewer held.
    pub reserved_change: i64,
    /// Units more or fewer promised.
    pub backordered_change: i64,
    /// Units on hand after it.
    pub on_hand: u32,
    /// Units held after it.
    pub reserved: u32,
    /// Units promised after it.
    pub backordered: u32,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The order that it was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub order_id: Option<OrderId>,
    /// The reservation that it was of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub reservation_id: Option<ReservationId>,
    /// The delivery, the shipment or the return that it was part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Who did it.
    pub actor: String,
    /// The event.
    pub event_id: Uuid,
    /// The command whose batch wrote it.
    pub command_id: Uuid,
}

impl From<Standing> for StockLevelBody {
    fn from(stock: Standing) -> Self {
        Self {
            sku: stock.sku,
            location: stock.location,
            version: stock.version,
            on_hand: stock.level.on_hand,
            reserved: stock.level.reserved,
            available: stock.level.available(),
            backordered: stock.level.backordered,
            safety_stock: stock.level.safety_stock,
            backorder_limit: stock.level.backorder_limit,
            short: stock.level.short(),
            shortage: Vec::new(),
            updated_at: Timestamp::from_micros(stock.last_at),
        }
    }
}

impl StockLevelBody {
    pub(super) fn then(sku: &Sku, location: LocationId, moment: &Moment<Stock>) -> Self {
        let stock = &moment.state;
        Self {
            sku: sku.clone(),
            location,
            version: moment.version,
            on_hand: stock.on_hand,
            reserved: stock.reserved,
            available: stock.available(),
            backordered: stock.backordered,
            safety_stock: stock.safety_stock,
            backorder_limit: stock.backorder_limit,
            short: stock.reserved.saturating_sub(stock.on_hand),
            shortage: Vec::new(),
            updated_at: Timestamp::from_micros(moment.recorded_at),
        }
    }
}

impl From<Movement> for MovementBody {
    fn from(movement: Movement) -> Self {
        Self {
            version: movement.version,
            position: movement.position,
            recorded_at: Timestamp::from_micros(movement.recorded_at),
            movement: movement.movement,
            on_hand_change: movement.on_hand_change,
            reserved_change: movement.reserved_change,
            backordered_change: movement.backordered_change,
            on_hand: movement.on_hand,
            reserved: movement.reserved,
            backordered: movement.backordered,
            reason: movement.reason,
            order_id: movement.order_id,
            reservation_id: movement.reservation_id,
            source: movement.source,
            actor: movement.actor,
            event_id: movement.event_id,
            command_id: movement.command_id,
        }
    }
}
