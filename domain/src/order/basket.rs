//! The reservation that an order is placed on: what somebody had held before ordering becomes the order's, so that nobody else gets it in
//! between.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{LocationId, OrderId, ReservationId, Sku};
use crate::reservation::{self, End, Item};

/// A reservation that an order takes over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Basket {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// What it asked for, as it was opened: that never changes. What it holds, only the stock streams say.
    pub items: Vec<Item>,
}

impl Basket {
    /// What the reservation is asked in the batch that places the order. Once it has ended so, neither its timer nor anybody else ends it,
    /// and no other order gets it.
    #[must_use]
    pub fn close(order_id: OrderId) -> reservation::Command {
        reservation::Command::Close { end: End::Ordered { order_id } }
    }

    /// Whether it asked for units of a SKU at a location.
    #[must_use]
    pub fn asks_for(&self, location: &LocationId, sku: &Sku) -> bool {
        self.items.iter().any(|item| item.location == *location && item.sku == *sku)
    }
}
