//! A parcel of a return: its units are put back into stock or written off. The order itself grants the refund with the
//! receipt. Forwards only.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::Started;
use super::goods::{self, Part};
use super::process::{Origin, Process};
use super::state::State;
use super::step::{Ask, Step};
use crate::ids::{LineId, OrderId, ReturnId, within};
use crate::order::event::Disposition;
use crate::order::state::Placed;
use crate::{Command, Event, order, stock};

/// Its kind.
pub const KIND: &str = "return";
/// The version of its steps.
pub const DEFINITION: u32 = 1;

/// What it needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The order.
    pub order_id: OrderId,
    /// The return.
    pub return_id: ReturnId,
    /// Which parcel of it.
    pub receipt: u32,
    /// The units to put back into stock.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "goods::by_location")]
    pub restock: Vec<Part>,
    /// The units that cannot be sold.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "goods::by_location")]
    pub damaged: Vec<Part>,
}

/// What the saga of a parcel of a return is about.
#[must_use]
pub fn subject(order_id: OrderId, return_id: ReturnId, receipt: u32) -> Uuid {
    within(order_id, KIND, return_id.0, &receipt.to_string())
}

/// A received return starts one, for each parcel.
#[must_use]
pub fn start(origin: &Origin<'_>, order: &Placed) -> Option<Started> {
    let Event::Order(order::Event::ReturnReceived(received)) = origin.event else {
        return None;
    };
    let parts = |disposition: Disposition| {
        let lines = received.lines.iter();
        let lines = lines.filter(move |line| line.disposition == disposition);
        goods::parts_of(order, lines.map(|line| (line.line_id, line.qty, &line.location)))
    };
    let input = Input {
        order_id: order.order_id,
        return_id: received.return_id,
        receipt: received.receipt,
        restock: parts(Disposition::Restock),
        damaged: parts(Disposition::Damaged),
    };
    if !input.has_stock() {
        return None;
    }
    Some(Started {
        kind: KIND.into(),
        definition: DEFINITION,
        subject: subject(order.order_id, received.return_id, received.receipt),
        correlation: order.order_id.0,
        input: serde_json::to_value(input).ok()?,
    })
}

impl Input {
    fn has_stock(&self) -> bool {
        !self.restock.is_empty() || !self.damaged.is_empty()
    }

    fn all_parts(&self) -> Vec<Part> {
        let lines = self.restock.iter().chain(&self.damaged);
        goods::parts(lines.map(|part| goods::Wanted {
            line_id: LineId(0),
            sku: &part.sku,
            location: &part.location,
            qty: units(part),
            backordered: 0,
            backorder_ok: false,
        }))
    }
}

fn units(part: &Part) -> u32 {
    part.lines.iter().map(|share| share.qty).sum()
}

/// Units of the same SKU at the same location.
fn units_like(parts: &[Part], like: &Part) -> u32 {
    let same = |part: &&Part| part.sku == like.sku && part.location == like.location;
    parts.iter().filter(same).map(units).sum()
}

impl Process for Input {
    fn steps(&self, _state: &State) -> Vec<Step> {
        vec![Step::new("restock", &[]).patient()]
    }

    fn command(&self, _state: &State, ask: Ask<'_>) -> Option<Command> {
        match ask.step {
            "restock" => Some(goods::each(&self.all_parts(), |part| stock::Command::Return {
                sku: part.sku.clone(),
                location: part.location.clone(),
                return_id: self.return_id,
                receipt: self.receipt,
                order_id: Some(self.order_id),
                restock: units_like(&self.restock, part),
                damaged: units_like(&self.damaged, part),
            })),
            _ => None,
        }
    }
}
