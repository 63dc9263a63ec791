//! Stock of a SKU at a location: registered, received, adjusted, counted; and the view of it.

use domain::ids::{LocationId, OrderId, ReservationId, Sku};
use domain::stock;
use domain::text::Entered;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::{Check, Invalid};
use super::{Defaults, MOST_UNITS, Names};

/// The terms on which a SKU is kept at a location.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterStock {
    /// Where; the configured location if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, example = "main")]
    pub location: Option<Entered<LocationId>>,
    /// Units that are never promised.
    #[serde(default)]
    #[schema(maximum = 1_000_000)]
    pub safety_stock: u32,
    /// How many units may be promised beyond the stock.
    #[serde(default)]
    #[schema(maximum = 1_000_000)]
    pub backorder_limit: u32,
}

/// Units that came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiveStock {
    /// Where; the configured location if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, example = "main")]
    pub location: Option<Entered<LocationId>>,
    /// Units.
    #[schema(minimum = 1, maximum = 1_000_000, example = 100)]
    pub qty: u32,
    /// The delivery that they came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200, example = "PO-4711")]
    pub source_ref: Option<String>,
}

/// More or less than the book says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdjustStock {
    /// Where; the configured location if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, example = "main")]
    pub location: Option<Entered<LocationId>>,
    /// The adjustment's id, if the caller makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjustment_id: Option<uuid::Uuid>,
    /// Units more, or fewer; not 0.
    #[schema(minimum = -1_000_000, maximum = 1_000_000, example = -2)]
    pub delta: i64,
    /// Why.
    #[schema(min_length = 1, max_length = 200, example = "broken")]
    pub reason: String,
    /// The value of `on_hand` that the caller expects; refused if it differs.
    #[schema(maximum = 1_000_000_000, example = 100)]
    pub expected: u32,
    /// Whether reservations may be left without stock; the shortage then names them.
    #[serde(default)]
    pub accept_shortage: bool,
}

/// Units that were counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CountStock {
    /// Where; the configured location if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, example = "main")]
    pub location: Option<Entered<LocationId>>,
    /// Units counted.
    #[schema(maximum = 1_000_000_000, example = 98)]
    pub counted: u32,
    /// Whether reservations may be left without stock.
    #[serde(default)]
    pub accept_shortage: bool,
}

/// Units of an order that should wait for stock again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeferStock {
    /// Where; the configured location if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, example = "main")]
    pub location: Option<Entered<LocationId>>,
    /// The order that holds them.
    #[schema(value_type = uuid::Uuid)]
    pub order_id: OrderId,
    /// Units; at most the units that are short.
    #[schema(minimum = 1, maximum = 1_000_000, example = 2)]
    pub qty: u32,
    /// Why.
    #[schema(min_length = 1, max_length = 200, example = "counted short")]
    pub reason: String,
}

/// The same, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferral {
    /// Where.
    pub location: LocationId,
    /// The order that holds them.
    pub order_id: OrderId,
    /// Units.
    pub qty: u32,
    /// Why.
    pub reason: String,
}

/// The stock of a SKU at a location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StockBody {
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
    /// The sums that `on_hand` is made of.
    pub book: BookBody,
    /// How many reservations hold or are promised units here.
    pub reservations: u64,
}

/// Sums since the beginning: `on_hand = received + returned + adjusted + counted − shipped − written_off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BookBody {
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

/// What a reservation holds of a SKU at a location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldBody {
    /// The reservation.
    #[schema(value_type = uuid::Uuid)]
    pub reservation_id: ReservationId,
    /// The order that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub order_id: Option<OrderId>,
    /// Units held.
    pub reserved: u32,
    /// Units promised.
    pub backordered: u32,
    /// When the hold is meant to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// A command to the stock of a SKU: where, and what.
pub type At = (LocationId, stock::Command);

fn location(given: Option<Entered<LocationId>>, defaults: &Defaults) -> LocationId {
    given.map_or_else(|| defaults.location.clone(), |name| name.0)
}

impl RegisterStock {
    /// The command to register it.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, sku: Sku, defaults: &Defaults) -> Result<At, Invalid> {
        let mut check = Check::new();
        let most = i64::from(MOST_UNITS);
        check.range("/safety_stock", i64::from(self.safety_stock), 0, most);
        check.range("/backorder_limit", i64::from(self.backorder_limit), 0, most);
        let location = location(self.location, defaults);
        let command = stock::Command::Register {
            sku,
            location: location.clone(),
            safety_stock: self.safety_stock,
            backorder_limit: self.backorder_limit,
        };
        check.finish((location, command))
    }
}

impl ReceiveStock {
    /// The command to receive them.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, sku: Sku, defaults: &Defaults) -> Result<At, Invalid> {
        let mut check = Check::new();
        check.units("/qty", self.qty);
        let source_ref = check.optional_text("/source_ref", self.source_ref.as_deref(), 200);
        let location = location(self.location, defaults);
        let command = stock::Command::Receive { sku, location: location.clone(), qty: self.qty, source_ref };
        check.finish((location, command))
    }
}

impl AdjustStock {
    /// The command to adjust it.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, names: Names, defaults: &Defaults) -> Result<At, Invalid> {
        let mut check = Check::new();
        let most = i64::from(MOST_UNITS);
        check.range("/delta", self.delta, -most, most);
        check.range("/expected", i64::from(self.expected), 0, 1_000_000_000);
        if self.delta == 0 {
            check.fault("/delta", "must not be 0");
        }
        let reason = check.text("/reason", &self.reason, 200);
        check.own_id("/adjustment_id", self.adjustment_id);
        let command = stock::Command::Adjust {
            delta: self.delta,
            reason,
            expected: self.expected,
            accept_shortage: self.accept_shortage,
            adjustment_id: self.adjustment_id.unwrap_or_else(|| names.of("adjustment")),
        };
        check.finish((location(self.location, defaults), command))
    }
}

impl DeferStock {
    /// The checked request.
    ///
    /// # Errors
    /// With all fields that are out of bounds.
    pub fn check(self, defaults: &Defaults) -> Result<Deferral, Invalid> {
        let mut check = Check::new();
        check.units("/qty", self.qty);
        let reason = check.text("/reason", &self.reason, 200);
        let location = location(self.location, defaults);
        check.finish(Deferral { location, order_id: self.order_id, qty: self.qty, reason })
    }
}

impl CountStock {
    /// The command to record it.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, defaults: &Defaults) -> Result<At, Invalid> {
        let mut check = Check::new();
        check.range("/counted", i64::from(self.counted), 0, 1_000_000_000);
        let command = stock::Command::Count { counted: self.counted, accept_shortage: self.accept_shortage };
        check.finish((location(self.location, defaults), command))
    }
}

impl StockBody {
    /// The view of stock at a version of its stream; `None` if it was never registered.
    #[must_use]
    pub fn new(stock: &stock::Stock, version: u64) -> Option<Self> {
        let (sku, location) = stock.of.clone()?;
        let book = &stock.book;
        Some(Self {
            sku,
            location,
            version,
            on_hand: stock.on_hand,
            reserved: stock.reserved,
            available: stock.available(),
            backordered: stock.backordered,
            safety_stock: stock.safety_stock,
            backorder_limit: stock.backorder_limit,
            book: BookBody {
                received: book.received,
                returned: book.returned,
                adjusted: book.adjusted,
                counted: book.counted,
                shipped: book.shipped,
                written_off: book.written_off,
            },
            reservations: stock.reservations.len() as u64,
        })
    }
}

impl HeldBody {
    /// The view of a reservation's part in a stock.
    #[must_use]
    pub fn new(id: ReservationId, held: &stock::state::Held) -> Self {
        Self {
            reservation_id: id,
            order_id: held.order_id,
            reserved: held.lines.values().map(|line| line.reserved).sum(),
            backordered: held.lines.values().map(|line| line.backordered).sum(),
            expires_at: held.expires_at,
        }
    }
}
