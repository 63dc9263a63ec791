//! A reservation that no order asked for (`POST /v1/reservations`): which stock it holds and until when. The units themselves are
//! held by the stock streams, in the same batch; this stream remembers which they are, so that they can be extended and let go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{LocationId, ReservationId, Sku};
use crate::time::Timestamp;

/// A SKU and how many units of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Item {
    /// The SKU.
    pub sku: Sku,
    /// Where.
    pub location: LocationId,
    /// Units.
    pub qty: u32,
}

/// A wish about a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Open it.
    Open {
        /// The reservation.
        reservation_id: ReservationId,
        /// What it holds, each SKU and location once.
        items: Vec<Item>,
        /// When it ends.
        expires_at: Timestamp,
        /// What the caller wants to find it by.
        reference: Option<String>,
    },
    /// Let it end later.
    Prolong {
        /// Its new end.
        expires_at: Timestamp,
    },
    /// End it.
    Close {
        /// How.
        end: End,
    },
}

/// How a reservation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Somebody let go.
    Released,
    /// Its time was over.
    Expired,
}

/// A fact about a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Event {
    Opened(Opened),
    Prolonged(Prolonged),
    Closed(Closed),
}

/// `ReservationOpened`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Opened {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// What it holds.
    pub items: Vec<Item>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What the caller wants to find it by.
    pub reference: Option<String>,
}

/// `ReservationProlonged`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Prolonged {
    /// Its new end.
    pub expires_at: Timestamp,
}

/// `ReservationClosed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Closed {
    /// How.
    pub end: End,
}

/// A reservation; absent until it is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reservation {
    /// There is none (yet).
    #[default]
    Absent,
    /// It holds stock.
    Open(Opened),
    /// It held stock.
    Ended {
        /// What it was.
        opened: Opened,
        /// How it ended.
        end: End,
    },
}
