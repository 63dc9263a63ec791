//! A reservation that no order asked for (`POST /v1/reservations`): which stock it holds and until when. The units themselves are
//! held by the stock streams, in the same batch; this stream remembers which they are, so that they can be extended, released, or taken over by
//! an order that is placed on it: at most one, in the batch that places it.
//! It never says what stock holds: only the stock streams do.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Class};
use crate::ids::{LocationId, OrderId, ReservationId, Sku};
use crate::stream;
use crate::time::Timestamp;

/// The longest that a reservation lives, in seconds after it was opened, however often it is prolonged: 366 days. A basket that is older
/// keeps stock from those who would buy it.
pub const LONGEST_LIFE_S: u32 = 366 * 24 * 60 * 60;

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
        /// When it is opened.
        opened_at: Timestamp,
        /// When it ends.
        expires_at: Timestamp,
        /// For how long the caller wants it, in seconds.
        hold_for_s: u32,
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
        #[serde(flatten)]
        end: End,
    },
}

/// How a reservation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum End {
    /// Somebody let go.
    Released,
    /// Its time was over.
    Expired,
    /// An order took it over.
    Ordered {
        /// The order.
        order_id: OrderId,
    },
}

impl End {
    /// Its name, as it is stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Ordered { .. } => "ordered",
        }
    }
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
    /// When it was opened: the whole of its life is counted from here.
    pub opened_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What the caller wants to find it by.
    pub reference: Option<String>,
    /// For how long the caller wanted it at first, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_for_s: Option<u32>,
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
    #[serde(flatten)]
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

/// Why a reservation says no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Refusal {
    /// There is none.
    #[error("there is no such reservation")]
    NotFound,
    /// There is none for an order to take over.
    #[error("there is no such reservation to place an order on")]
    ReservationNotFound,
    /// It has ended.
    #[error("the reservation has ended")]
    ReservationEnded {
        /// How.
        #[serde(flatten)]
        end: End,
    },
    /// An order took it over.
    #[error("order {order_id} took the reservation over")]
    ReservationOrdered {
        /// The order.
        order_id: OrderId,
    },
    /// The same id with other content.
    #[error("reservation {reservation_id} says something else: make another id, or leave it out")]
    IdTaken {
        /// The reservation.
        reservation_id: ReservationId,
    },
    /// It would end earlier than it does.
    #[error("the reservation ends at {expires_at}, and can only be prolonged")]
    NotLater {
        /// When it ends.
        expires_at: Timestamp,
    },
    /// It would hold stock for too long.
    #[error(
        "the reservation lasts until {latest} at most, however often it is prolonged: release it and open another one"
    )]
    LivesTooLong {
        /// The latest end that it can be given.
        latest: Timestamp,
    },
    /// Nothing to hold, a quantity of 0, or a SKU and location twice.
    #[error("a reservation holds at least one unit of each item, and names each item once")]
    InvalidItems,
}

impl crate::Refusal for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::ReservationNotFound => "reservation-not-found",
            Self::ReservationEnded { .. } => "reservation-ended",
            Self::ReservationOrdered { .. } => "reservation-ordered",
            Self::IdTaken { .. } => "id-taken",
            Self::NotLater { .. } => "not-later",
            Self::LivesTooLong { .. } => "lives-too-long",
            Self::InvalidItems => "invalid-items",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NotFound | Self::ReservationNotFound => Class::Absent,
            Self::ReservationEnded { .. } | Self::ReservationOrdered { .. } | Self::IdTaken { .. } => Class::Conflict,
            Self::NotLater { .. } | Self::LivesTooLong { .. } | Self::InvalidItems => Class::Invalid,
        }
    }
}

impl Reservation {
    /// The order that took it over.
    #[must_use]
    pub fn ordered_by(&self) -> Option<OrderId> {
        match self {
            Self::Ended { end: End::Ordered { order_id }, .. } => Some(*order_id),
            Self::Absent | Self::Open(_) | Self::Ended { .. } => None,
        }
    }
}

impl Aggregate for Reservation {
    const CATEGORY: &'static str = stream::RESERVATION;
    const FOLD: u32 = 4;
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match (self, command) {
            (Self::Absent, Command::Open { reservation_id, items, opened_at, expires_at, hold_for_s, reference }) => {
                open(Opened {
                    reservation_id: *reservation_id,
                    items: items.clone(),
                    opened_at: *opened_at,
                    expires_at: *expires_at,
                    reference: reference.clone(),
                    hold_for_s: Some(*hold_for_s),
                })
            }
            (Self::Absent, Command::Close { end: End::Ordered { .. } }) => Err(Refusal::ReservationNotFound),
            (Self::Absent, _) => Err(Refusal::NotFound),

            (Self::Open(known), Command::Open { reservation_id, items, hold_for_s, reference, .. }) => {
                let as_long = known.hold_for_s.is_none_or(|there| there == *hold_for_s);
                if known.items == *items && known.reference == *reference && as_long {
                    Ok(vec![])
                } else {
                    Err(Refusal::IdTaken { reservation_id: *reservation_id })
                }
            }
            (Self::Open(known), Command::Prolong { expires_at }) => prolong(known, *expires_at),
            (Self::Open(_), Command::Close { end }) => Ok(vec![Event::Closed(Closed { end: *end })]),

            (Self::Ended { end, .. }, Command::Close { end: again }) if end == again => Ok(vec![]),
            // Its timer must not end what stock holds until the order has it: the batch that asks so is refused as a whole.
            (Self::Ended { end: End::Ordered { order_id }, .. }, _) => {
                Err(Refusal::ReservationOrdered { order_id: *order_id })
            }
            // A timer that fires after somebody has let go changes nothing.
            (Self::Ended { .. }, Command::Close { end: End::Expired }) => Ok(vec![]),
            (Self::Ended { end, .. }, _) => Err(Refusal::ReservationEnded { end: *end }),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match (std::mem::take(self), event) {
            (_, Event::Opened(opened)) => *self = Self::Open(opened.clone()),
            (Self::Open(mut opened), Event::Prolonged(prolonged)) => {
                opened.expires_at = prolonged.expires_at;
                *self = Self::Open(opened);
            }
            (Self::Open(opened), Event::Closed(closed)) => {
                *self = Self::Ended { opened, end: closed.end };
            }
            (same, Event::Prolonged(_) | Event::Closed(_)) => *self = same,
        }
    }
}

fn open(opened: Opened) -> Result<Vec<Event>, Refusal> {
    let mut seen = std::collections::BTreeSet::new();
    let fits = !opened.items.is_empty()
        && opened.items.iter().all(|item| item.qty > 0 && seen.insert((&item.location, &item.sku)));
    if fits { Ok(vec![Event::Opened(opened)]) } else { Err(Refusal::InvalidItems) }
}

fn prolong(known: &Opened, expires_at: Timestamp) -> Result<Vec<Event>, Refusal> {
    let latest = known.opened_at.plus_seconds(LONGEST_LIFE_S);
    match known.expires_at.cmp(&expires_at) {
        Ordering::Less if expires_at > latest => Err(Refusal::LivesTooLong { latest }),
        Ordering::Less => Ok(vec![Event::Prolonged(Prolonged { expires_at })]),
        Ordering::Equal => Ok(vec![]),
        Ordering::Greater => Err(Refusal::NotLater { expires_at: known.expires_at }),
    }
}
