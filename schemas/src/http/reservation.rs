//! Reservations without an order: opened, prolonged, released; and the view of a reservation. A reservation is one
//! batch over all stock streams that it touches: all of it or nothing.

use std::collections::BTreeMap;

use domain::ids::{LineId, LocationId, OrderId, ReservationId, Sku};
use domain::reservation::{self, End, Item, Opened, Reservation};
use domain::stock::command::Reserve;
use domain::stock::event::LineShare;
use domain::text::Entered;
use domain::time::Timestamp;
use domain::{Command, command::StockCommand, stock};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::{Check, Invalid};
use super::instant::Span;
use super::{Defaults, MOST_UNITS, Names};

/// The most SKUs that one reservation may hold.
const MOST_ITEMS: usize = 200;
/// The longest that a reservation may be asked to last from now on, in seconds: 31 days.
const LONGEST_S: u32 = 2_678_400;

/// Stock to be held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenReservation {
    /// The reservation's id, if the caller makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub reservation_id: Option<ReservationId>,
    /// What to hold.
    #[schema(min_items = 1, max_items = 200)]
    pub items: Vec<ReservationItem>,
    /// For how long, in seconds; as long as an order's reservation if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 10, maximum = 2_678_400, example = 900)]
    pub hold_for_s: Option<u32>,
    /// What the caller wants to find it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200, example = "basket-4711")]
    pub reference: Option<String>,
}

/// A SKU and how many units of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReservationItem {
    /// The SKU.
    #[schema(value_type = String, min_length = 1, max_length = 64, example = "85123A")]
    pub sku: Entered<Sku>,
    /// Where; the configured location if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, example = "main")]
    pub location: Option<Entered<LocationId>>,
    /// Units.
    #[schema(minimum = 1, maximum = 1_000_000, example = 2)]
    pub qty: u32,
}

/// A later end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendReservation {
    /// Its new end, later than the old one: 31 days from now at most, and within a year of its opening.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// A reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReservationBody {
    /// The reservation.
    #[schema(value_type = uuid::Uuid)]
    pub reservation_id: ReservationId,
    /// The version of its stream that this shows.
    #[schema(example = 1)]
    pub version: u64,
    /// How far it is.
    pub status: ReservationStatus,
    /// What it holds, or held.
    pub items: Vec<ReservationItem>,
    /// When it ends, or was to end.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// What the caller wants to find it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The order that took it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub order_id: Option<OrderId>,
}

/// How far a reservation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReservationStatus {
    /// It holds stock.
    Open,
    /// A request released it.
    Released,
    /// Its time was over.
    Expired,
    /// An order took it over.
    Ordered,
}

impl OpenReservation {
    /// The command to open it and to hold its stock.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(
        self,
        names: Names,
        defaults: &Defaults,
        now: Timestamp,
    ) -> Result<(ReservationId, Command), Invalid> {
        let mut check = Check::new();
        check.own_id("/reservation_id", self.reservation_id);
        let id = self.reservation_id.unwrap_or_else(|| ReservationId(names.of("reservation")));
        let hold_for_s = self.hold_for_s.unwrap_or(defaults.reserve_for_s);
        check.range("/hold_for_s", i64::from(hold_for_s), 10, i64::from(LONGEST_S));
        let reference = check.optional_text("/reference", self.reference.as_deref(), 200);
        let items = items(&mut check, self.items, defaults);
        let expires_at = now.plus_seconds(hold_for_s);
        let stock = items
            .iter()
            .map(|item| StockCommand {
                location: item.location.clone(),
                sku: item.sku.clone(),
                command: stock::Command::Reserve(Reserve {
                    reservation_id: id,
                    sku: item.sku.clone(),
                    location: item.location.clone(),
                    order_id: None,
                    lines: vec![LineShare { line_id: LineId(0), qty: item.qty }],
                    backorder_ok: Vec::new(),
                    allow_partial: false,
                    expires_at: Some(expires_at),
                    now,
                    basket: None,
                }),
            })
            .collect();
        let open =
            reservation::Command::Open { reservation_id: id, items, opened_at: now, expires_at, hold_for_s, reference };
        let command = Command::Inventory { reservation: Some((id, open)), stock };
        check.finish((id, command))
    }
}

impl ExtendReservation {
    /// Notes an end that lies too far ahead.
    pub fn in_time(&self, now: Timestamp, check: &mut Check) {
        check.instant("/expires_at", Some(self.expires_at), now, Span::Lasts(LONGEST_S));
    }
}

/// Equal SKUs at one location are summed: each stock stream is asked once.
fn items(check: &mut Check, items: Vec<ReservationItem>, defaults: &Defaults) -> Vec<Item> {
    if items.is_empty() || items.len() > MOST_ITEMS {
        check.fault("/items", format_args!("must have 1 to {MOST_ITEMS} entries"));
        return Vec::new();
    }
    let mut sums: BTreeMap<(LocationId, Sku), u32> = BTreeMap::new();
    for (i, item) in items.into_iter().enumerate() {
        check.units(format_args!("/items/{i}/qty"), item.qty);
        let location = item.location.map_or_else(|| defaults.location.clone(), |name| name.0);
        let sum = sums.entry((location, item.sku.0)).or_default();
        *sum = sum.saturating_add(item.qty);
        if *sum > MOST_UNITS {
            check.fault(
                format_args!("/items/{i}/qty"),
                format_args!("the units of one SKU must be at most {MOST_UNITS} together"),
            );
        }
    }
    sums.into_iter().map(|((location, sku), qty)| Item { sku, location, qty }).collect()
}

/// The command to prolong a reservation and the hold on its stock.
#[must_use]
pub fn prolong(opened: &Opened, expires_at: Timestamp) -> Command {
    let own = reservation::Command::Prolong { expires_at };
    over_stock(opened, own, |_| stock::Command::Extend { reservation_id: opened.reservation_id, expires_at })
}

/// The command to end a reservation and release its stock.
#[must_use]
pub fn release(opened: &Opened) -> Command {
    let own = reservation::Command::Close { end: reservation::End::Released };
    over_stock(opened, own, |_| stock::Command::Release {
        reservation_id: opened.reservation_id,
        order_id: None,
        qty: None,
        lines: Vec::new(),
        release_id: opened.reservation_id.0,
        expires_at: Some(opened.expires_at),
        reason: "released".to_owned(),
    })
}

fn over_stock(opened: &Opened, own: reservation::Command, each: impl Fn(&Item) -> stock::Command) -> Command {
    Command::Inventory {
        reservation: Some((opened.reservation_id, own)),
        stock: opened
            .items
            .iter()
            .map(|item| StockCommand { location: item.location.clone(), sku: item.sku.clone(), command: each(item) })
            .collect(),
    }
}

impl ReservationBody {
    /// The view of a reservation at a version of its stream; `None` if there is none.
    #[must_use]
    pub fn new(reservation: &Reservation, version: u64) -> Option<Self> {
        let (opened, status) = match reservation {
            Reservation::Absent => return None,
            Reservation::Open(opened) => (opened, ReservationStatus::Open),
            Reservation::Ended { opened, end } => (opened, (*end).into()),
        };
        Some(Self {
            reservation_id: opened.reservation_id,
            version,
            status,
            items: opened
                .items
                .iter()
                .map(|item| ReservationItem {
                    sku: item.sku.clone().into(),
                    location: Some(item.location.clone().into()),
                    qty: item.qty,
                })
                .collect(),
            expires_at: opened.expires_at,
            reference: opened.reference.clone(),
            order_id: reservation.ordered_by(),
        })
    }
}

impl From<End> for ReservationStatus {
    fn from(end: End) -> Self {
        match end {
            End::Released => Self::Released,
            End::Expired => Self::Expired,
            End::Ordered { .. } => Self::Ordered,
        }
    }
}
