//! Why stock says no.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::state::Short;
use crate::aggregate::Class;
use crate::ids::{LocationId, ReservationId, ShipmentId, Sku};

/// How much of a SKU was wanted and how much there was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shortfall {
    /// The SKU.
    pub sku: Sku,
    /// Where.
    pub location: LocationId,
    /// Units wanted.
    pub wanted: u32,
    /// Units that could be promised.
    pub available: u32,
}

/// Why stock says no. Serialises with its kebab-case `code` and its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Refusal {
    /// The SKU is not kept here.
    #[error("the SKU is not kept at that location")]
    NotFound,
    /// Units came back to where the SKU was never kept.
    #[error("{sku} was never kept at {location}: name the location where it is kept, or register it there first")]
    NeverKept {
        /// The SKU.
        sku: Sku,
        /// Where.
        location: LocationId,
    },
    /// There is not enough.
    #[error("{} of {} are wanted and {} can be promised", .0.wanted, .0.sku, .0.available)]
    OutOfStock(Shortfall),
    /// There is no such reservation here.
    #[error("there is no reservation {reservation_id} here")]
    ReservationNotFound {
        /// The reservation.
        reservation_id: ReservationId,
    },
    /// The reservation has ended, was let go before it began, or is past its end.
    #[error("reservation {reservation_id} has ended")]
    ReservationEnded {
        /// The reservation.
        reservation_id: ReservationId,
    },
    /// The id of the reservation is another's here.
    #[error("reservation {reservation_id} holds something else here: name another id")]
    ReservationExists {
        /// The reservation.
        reservation_id: ReservationId,
    },
    /// The id is that of an adjustment by something else.
    #[error("adjustment {adjustment_id} says something else: make another id, or leave it out")]
    IdTaken {
        /// The adjustment.
        adjustment_id: Uuid,
    },
    /// More is to leave than is held.
    #[error("{wanted} units are to leave and {reserved} are held for them")]
    NotReserved {
        /// Units that are to leave.
        wanted: u32,
        /// Units that are held.
        reserved: u32,
    },
    /// More is to leave than the book says is here.
    #[error("{wanted} units are to leave and {on_hand} are here")]
    ExceedsOnHand {
        /// Units that are to leave.
        wanted: u32,
        /// Units that are here.
        on_hand: u32,
    },
    /// There is stock for what is held.
    #[error("{wanted} held units are to wait for stock and {short} have none")]
    NotShort {
        /// Units that are to wait.
        wanted: u32,
        /// Held units that there is no stock for.
        short: u32,
    },
    /// The shipment was put back, or was never to be: it does not leave any more.
    #[error("shipment {shipment_id} was put back: request another")]
    ShipmentPutBack {
        /// The shipment.
        shipment_id: ShipmentId,
    },
    /// Somebody else changed the stock meanwhile.
    #[error("{expected} units were expected to be here and there are {on_hand}")]
    StockChanged {
        /// What the caller believed to be here.
        expected: u32,
        /// What is.
        on_hand: u32,
    },
    /// Held units would have no stock.
    #[error("{short} held units would have no stock")]
    WouldBreakReservations {
        /// Units without stock.
        short: u32,
        /// Whose they would be, the newest promise first; at most a hundred.
        reservations: Vec<Short>,
    },
    /// There cannot be fewer than none.
    #[error("{on_hand} units are here, and {delta} would leave fewer than none")]
    BelowZero {
        /// Units that are here.
        on_hand: u32,
        /// The change.
        delta: i64,
    },
    /// A quantity that is 0 or too large.
    #[error("{qty} is not a quantity that can be moved")]
    InvalidQuantity {
        /// The quantity.
        qty: i64,
    },
}

impl crate::Refusal for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::NeverKept { .. } => "never-kept",
            Self::OutOfStock(_) => "out-of-stock",
            Self::ReservationNotFound { .. } => "reservation-not-found",
            Self::ReservationEnded { .. } => "reservation-ended",
            Self::ReservationExists { .. } => "reservation-exists",
            Self::IdTaken { .. } => "id-taken",
            Self::NotReserved { .. } => "not-reserved",
            Self::ExceedsOnHand { .. } => "exceeds-on-hand",
            Self::NotShort { .. } => "not-short",
            Self::ShipmentPutBack { .. } => "shipment-put-back",
            Self::StockChanged { .. } => "stock-changed",
            Self::WouldBreakReservations { .. } => "would-break-reservations",
            Self::BelowZero { .. } => "below-zero",
            Self::InvalidQuantity { .. } => "invalid-quantity",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NotFound | Self::ReservationNotFound { .. } => Class::Absent,
            Self::InvalidQuantity { .. } => Class::Invalid,
            Self::NeverKept { .. }
            | Self::OutOfStock(_)
            | Self::ReservationEnded { .. }
            | Self::ReservationExists { .. }
            | Self::IdTaken { .. }
            | Self::NotReserved { .. }
            | Self::ExceedsOnHand { .. }
            | Self::NotShort { .. }
            | Self::ShipmentPutBack { .. }
            | Self::StockChanged { .. }
            | Self::WouldBreakReservations { .. }
            | Self::BelowZero { .. } => Class::Conflict,
        }
    }
}
