//! A reservation that no order asked for (`POST /v1/reservations`): which stock it holds and until when. The units themselves are
//! held by the stock streams, in the same batch; this stream remembers which they are, so that they can be extended and let go.
//! It never says what stock holds: only the stock streams do.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Class};
use crate::ids::{LocationId, ReservationId, Sku};
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
    /// It has ended.
    #[error("the reservation has ended")]
    ReservationEnded {
        /// How.
        end: End,
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
            Self::ReservationEnded { .. } => "reservation-ended",
            Self::IdTaken { .. } => "id-taken",
            Self::NotLater { .. } => "not-later",
            Self::LivesTooLong { .. } => "lives-too-long",
            Self::InvalidItems => "invalid-items",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::NotFound => Class::Absent,
            Self::ReservationEnded { .. } | Self::IdTaken { .. } => Class::Conflict,
            Self::NotLater { .. } | Self::LivesTooLong { .. } | Self::InvalidItems => Class::Invalid,
        }
    }
}

impl Aggregate for Reservation {
    const CATEGORY: &'static str = stream::RESERVATION;
    const FOLD: u32 = 3;
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::testing::{Named, given};
    use uuid::Uuid;

    impl Named for Command {
        fn names_what_it_makes(&self) -> bool {
            true
        }
    }

    const OPENED: Timestamp = Timestamp::from_micros(0);
    const NOON: Timestamp = Timestamp::from_micros(1_000_000);
    const LATER: Timestamp = NOON.plus_seconds(60);

    fn item(sku: &str, qty: u32) -> Item {
        Item { sku: Sku::try_new(sku).unwrap(), location: LocationId::try_new("main").unwrap(), qty }
    }

    fn opened() -> Opened {
        Opened {
            reservation_id: ReservationId(Uuid::from_u128(1)),
            items: vec![item("A", 1), item("B", 2)],
            opened_at: OPENED,
            expires_at: NOON,
            reference: Some("cart 7".into()),
            hold_for_s: Some(60),
        }
    }

    fn open_with(items: Vec<Item>) -> Command {
        let Opened { reservation_id, expires_at, reference, .. } = opened();
        Command::Open { reservation_id, items, opened_at: OPENED, expires_at, hold_for_s: 60, reference }
    }

    const fn close(end: End) -> Command {
        Command::Close { end }
    }

    const fn prolong(expires_at: Timestamp) -> Command {
        Command::Prolong { expires_at }
    }

    #[test]
    fn a_reservation_is_opened_once() {
        given::<Reservation>([])
            .when(open_with(opened().items))
            .then([Event::Opened(opened())])
            .when(open_with(vec![item("A", 9)]))
            .then_refused(Refusal::IdTaken { reservation_id: opened().reservation_id });
        let taken = Refusal::IdTaken { reservation_id: opened().reservation_id };
        let Command::Open { reservation_id, items, expires_at, .. } = open_with(opened().items) else { return };
        for (hold_for_s, reference) in [(60, None), (61, Some("cart 7".to_owned()))] {
            let items = items.clone();
            let other = Command::Open { reservation_id, items, opened_at: LATER, expires_at, hold_for_s, reference };
            given::<Reservation>([Event::Opened(opened())]).when(other).then_refused(taken.clone());
        }
        for items in [vec![], vec![item("A", 0)], vec![item("A", 1), item("A", 1)]] {
            given::<Reservation>([]).when(open_with(items)).then_refused(Refusal::InvalidItems);
        }
        given::<Reservation>([]).when(prolong(LATER)).then_refused(Refusal::NotFound);
    }

    #[test]
    fn a_reservation_is_prolonged_and_never_shortened() {
        given::<Reservation>([Event::Opened(opened())])
            .when(prolong(LATER))
            .then([Event::Prolonged(Prolonged { expires_at: LATER })])
            .when(prolong(NOON))
            .then_refused(Refusal::NotLater { expires_at: LATER });
    }

    #[test]
    fn however_often_it_is_prolonged_a_reservation_lives_for_a_year_at_most() {
        let latest = OPENED.plus_seconds(LONGEST_LIFE_S);
        given::<Reservation>([Event::Opened(opened())])
            .when(prolong(latest))
            .then([Event::Prolonged(Prolonged { expires_at: latest })])
            .when(prolong(latest.plus_seconds(1)))
            .then_refused(Refusal::LivesTooLong { latest })
            .when(prolong(latest))
            .then_nothing();
    }

    #[test]
    fn a_reservation_ends_once() {
        let ended = |end| {
            given::<Reservation>([Event::Opened(opened())]).when(close(end)).then([Event::Closed(Closed { end })])
        };
        ended(End::Released).when(close(End::Expired)).then_nothing();
        for command in [close(End::Released), prolong(LATER), open_with(opened().items)] {
            ended(End::Expired).when(command).then_refused(Refusal::ReservationEnded { end: End::Expired });
        }
    }
}
