//! Lines of orders as inventory sees them: one part for each location and SKU, in key order. Lines that are not kept in stock are
//! never sent to inventory.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::command::StockCommand;
use crate::ids::{LineId, LocationId, OrderId, ReservationId, Sku};
use crate::order::line::{LineQty, LineRelease};
use crate::order::state::Placed;
use crate::stock::event::{LetGo, LineShare};
use crate::{Command, stock};

/// Units of a SKU at a location, by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The SKU.
    pub sku: Sku,
    /// Where.
    pub location: LocationId,
    /// The lines that want it; each once.
    pub lines: Vec<LineShare>,
    /// Where units are released: those that are waited for, besides those of `lines`, which are held.
    pub backordered: Vec<LineShare>,
    /// The lines that may wait for stock.
    pub backorder_ok: Vec<LineId>,
}

/// Parts as a saga's input has them: each location once, for an order of the most lines with the longest names must fit into an event.
pub(super) mod by_location {
    use serde::ser::SerializeSeq as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{LineId, LineShare, LocationId, Part, Sku};

    #[derive(Serialize)]
    struct HereRef<'a> {
        location: &'a LocationId,
        parts: Vec<PartRef<'a>>,
    }

    #[derive(Serialize)]
    struct PartRef<'a> {
        sku: &'a Sku,
        lines: &'a [LineShare],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        backordered: &'a [LineShare],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        backorder_ok: &'a [LineId],
    }

    #[derive(Deserialize)]
    struct Here {
        location: LocationId,
        parts: Vec<Held>,
    }

    #[derive(Deserialize)]
    struct Held {
        sku: Sku,
        lines: Vec<LineShare>,
        #[serde(default)]
        backordered: Vec<LineShare>,
        #[serde(default)]
        backorder_ok: Vec<LineId>,
    }

    pub(in super::super) fn serialize<S: Serializer>(parts: &[Part], serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        for here in parts.chunk_by(|a, b| a.location == b.location) {
            let Some(first) = here.first() else { continue };
            let parts = here.iter();
            let parts = parts.map(|it| PartRef {
                sku: &it.sku,
                lines: &it.lines,
                backordered: &it.backordered,
                backorder_ok: &it.backorder_ok,
            });
            seq.serialize_element(&HereRef { location: &first.location, parts: parts.collect() })?;
        }
        seq.end()
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Part>, D::Error> {
        let all = Vec::<Here>::deserialize(deserializer)?;
        let parts = all.into_iter().flat_map(|Here { location, parts }| {
            parts.into_iter().map(move |Held { sku, lines, backordered, backorder_ok }| Part {
                sku,
                location: location.clone(),
                lines,
                backordered,
                backorder_ok,
            })
        });
        Ok(parts.collect())
    }
}

/// A line that inventory is asked about.
pub(super) struct Wanted<'a> {
    pub(super) line_id: LineId,
    pub(super) sku: &'a Sku,
    pub(super) location: &'a LocationId,
    pub(super) qty: u32,
    /// Of a release: the units that are waited for.
    pub(super) backordered: u32,
    pub(super) backorder_ok: bool,
}

/// Adds units to those of their line.
fn add(lines: &mut Vec<LineShare>, line_id: LineId, qty: u32) {
    match lines.iter_mut().find(|share| share.line_id == line_id) {
        Some(share) => share.qty += qty,
        None if qty > 0 => lines.push(LineShare { line_id, qty }),
        None => {}
    }
}

/// Groups lines by location and SKU.
pub(super) fn parts<'a>(wanted: impl IntoIterator<Item = Wanted<'a>>) -> Vec<Part> {
    let mut grouped: BTreeMap<(&LocationId, &Sku), Part> = BTreeMap::new();
    for line in wanted.into_iter().filter(|line| line.qty + line.backordered > 0) {
        let part = grouped.entry((line.location, line.sku)).or_insert_with(|| Part {
            sku: line.sku.clone(),
            location: line.location.clone(),
            lines: Vec::new(),
            backordered: Vec::new(),
            backorder_ok: Vec::new(),
        });
        add(&mut part.lines, line.line_id, line.qty);
        add(&mut part.backordered, line.line_id, line.backordered);
        if line.backorder_ok && !part.backorder_ok.contains(&line.line_id) {
            part.backorder_ok.push(line.line_id);
        }
    }
    grouped.into_values().collect()
}

/// Groups units of an order's lines; those of lines that are not kept in stock are left out.
pub(super) fn parts_of<'a>(
    order: &'a Placed,
    units: impl IntoIterator<Item = (LineId, u32, &'a LocationId)>,
) -> Vec<Part> {
    parts(units.into_iter().filter_map(|(line_id, qty, location)| {
        let line = &order.lines.get(&line_id)?.line;
        let backorder_ok = line.backorder_ok;
        line.stocked.then_some(Wanted { line_id, sku: &line.sku, location, qty, backordered: 0, backorder_ok })
    }))
}

/// Groups units of an order's lines that stock is to release.
pub(super) fn parts_to_release<'a>(order: &'a Placed, units: impl IntoIterator<Item = &'a LineRelease>) -> Vec<Part> {
    parts(units.into_iter().filter_map(|LineRelease { line_id, qty, backordered, location }| {
        let line = &order.lines.get(line_id)?.line;
        let (line_id, qty, backordered, sku) = (*line_id, *qty, *backordered, &line.sku);
        line.stocked.then_some(Wanted { line_id, sku, location, qty, backordered, backorder_ok: false })
    }))
}

/// A release of units that stock holds for an order. The same `release_id` takes effect once.
pub(super) struct Release<'a> {
    pub(super) reservation_id: ReservationId,
    pub(super) order_id: OrderId,
    pub(super) release_id: Uuid,
    pub(super) reason: &'a str,
}

impl Release<'_> {
    /// Asks inventory to release these units, out of the reservation and then out of the order's others.
    pub(super) fn units(&self, parts: &[Part]) -> Command {
        each(parts, |part| {
            let mut lines: BTreeMap<LineId, LetGo> = BTreeMap::new();
            let none = |line_id| LetGo { line_id, qty: 0, backordered: 0 };
            for share in &part.lines {
                lines.entry(share.line_id).or_insert(none(share.line_id)).qty += share.qty;
            }
            for share in &part.backordered {
                lines.entry(share.line_id).or_insert(none(share.line_id)).backordered += share.qty;
            }
            self.command(lines.into_values().collect())
        })
    }

    /// Asks inventory to release all that the reservation still holds of these places and SKUs, and nothing of any other.
    pub(super) fn all(&self, parts: &[Part]) -> Command {
        each(parts, |_| self.command(Vec::new()))
    }

    /// Without lines: all of the reservation.
    fn command(&self, lines: Vec<LetGo>) -> stock::Command {
        stock::Command::Release {
            reservation_id: self.reservation_id,
            order_id: Some(self.order_id),
            qty: None,
            lines,
            release_id: self.release_id,
            expires_at: None,
            reason: self.reason.to_owned(),
        }
    }
}

/// The parts, line by line as the order writes them.
pub(super) fn line_qtys(parts: &[Part]) -> Vec<LineQty> {
    let mut lines: Vec<_> = parts
        .iter()
        .flat_map(|part| {
            part.lines.iter().map(|share| LineQty {
                line_id: share.line_id,
                qty: share.qty,
                location: part.location.clone(),
            })
        })
        .collect();
    lines.sort_by_key(|line| line.line_id);
    lines
}

/// One command to inventory: the same of each part.
pub(super) fn each(parts: &[Part], command: impl Fn(&Part) -> stock::Command) -> Command {
    Command::Inventory {
        reservation: None,
        stock: parts
            .iter()
            .map(|part| StockCommand { location: part.location.clone(), sku: part.sku.clone(), command: command(part) })
            .collect(),
    }
}

/// Asks inventory to hold the parts.
pub(super) fn reserve(
    parts: &[Part],
    reservation_id: ReservationId,
    order_id: OrderId,
    expires_at: Option<crate::time::Timestamp>,
    now: crate::time::Timestamp,
) -> Command {
    each(parts, |part| {
        stock::Command::Reserve(stock::command::Reserve {
            reservation_id,
            sku: part.sku.clone(),
            location: part.location.clone(),
            order_id: Some(order_id),
            lines: part.lines.clone(),
            backorder_ok: part.backorder_ok.clone(),
            allow_partial: false,
            expires_at,
            now,
            basket: None,
        })
    })
}

/// The reserved and backordered units of a reservation, from its events.
pub(super) fn promised(batch: &super::Batch, reservation_id: ReservationId) -> Vec<LineQty> {
    let mut lines = Vec::new();
    for recorded in &batch.events {
        if let crate::Event::Stock(stock::Event::Backordered(promise)) = &recorded.event
            && promise.reservation_id == reservation_id
            && let Some((location, _)) = crate::stream::parse_stock(&recorded.stream)
        {
            lines.extend(promise.lines.iter().map(|share| LineQty {
                line_id: share.line_id,
                qty: share.qty,
                location: location.clone(),
            }));
        }
    }
    lines.sort_by_key(|line| line.line_id);
    lines
}

/// Lines that a step left for later ones.
pub(super) fn noted(state: &super::State, step: &str, name: &str) -> Vec<LineQty> {
    state
        .output(step)
        .and_then(|output| output.get(name))
        .and_then(|lines| serde_json::from_value(lines.clone()).ok())
        .unwrap_or_default()
}

/// `lines` without `others`.
pub(super) fn without(lines: Vec<LineQty>, others: &[LineQty]) -> Vec<LineQty> {
    lines
        .into_iter()
        .filter_map(|line| {
            let gone: u32 = others
                .iter()
                .filter(|other| other.line_id == line.line_id && other.location == line.location)
                .map(|other| other.qty)
                .sum();
            let qty = line.qty.saturating_sub(gone);
            (qty > 0).then_some(LineQty { qty, ..line })
        })
        .collect()
}
