//! The list of orders: one row an order, with the columns for filters and sorts; its labels (SKUs, tags) and its
//! counters. The cost of a page does not depend on the number of orders: there is no offset, and no count over the
//! table.

mod cursor;
mod filter;
mod offer;
mod page;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use domain::ids::OrderId;
use domain::order::{Order, state};
use domain::{Aggregate, stream};
use event_store::partition;
use event_store::record::{Micros, Position, StreamId, Version};

use crate::models::word;
use crate::projection::{Projection, Rows, Shown};
use crate::value::{Index, Shape, Spec, Spread, Table, Value, index, int, text};

pub use filter::{BadFilter, Filter, Op, Sort};
pub use offer::offered;
pub use page::{BadCursor, Count, Page, PageError, Query, page};

/// The read model.
#[derive(Debug)]
pub struct OrderList;

static ORDERS: Table = Table {
    name: "order_list",
    shape: Shape::Rows,
    columns: &[
        text("tenant"),
        text("order_id"),
        int("placed_at"),
        int("first_at"),
        int("updated_at"),
        int("version"),
        int("position"),
        text("status"),
        text("stock_status"),
        text("payment_status"),
        text("fulfilment_status"),
        text("return_status"),
        int("on_hold"),
        text("channel"),
        text("external_ref").or_null(),
        text("customer").or_null(),
        text("currency"),
        int("total"),
        int("owed"),
        int("captured"),
        int("refunded"),
        int("lines"),
        int("units"),
        text("tags"),
        text("reject_reason").or_null(),
        int("payment_ending"),
    ],
    key: 2,
    // Eight that every order is in, since each is written with every change of an order; of the others, those with a condition.
    indexes: &[
        index("by_placed", "tenant, placed_at, order_id"),
        index("by_update", "tenant, updated_at, order_id"),
        index("by_total", "tenant, total, order_id"),
        index("by_status", "tenant, status, placed_at, order_id"),
        index("by_status_update", "tenant, status, updated_at, order_id"),
        index("by_status_total", "tenant, status, total, order_id"),
        index("by_customer", "tenant, customer, placed_at, order_id"),
        index("by_reference", "tenant, external_ref, placed_at, order_id"),
        rare("on_hold", "on_hold = 1"),
        rare("stock_part_reserved", "stock_status = 'part_reserved'"),
        rare("stock_backordered", "stock_status = 'backordered'"),
        rare("payment_part_captured", "payment_status = 'part_captured'"),
        rare("payment_part_refunded", "payment_status = 'part_refunded'"),
        rare("payment_refunded", "payment_status = 'refunded'"),
        rare("payment_declined", "payment_status = 'declined'"),
        rare("payment_unknown", "payment_status = 'unknown'"),
        rare("payment_ending", "payment_ending = 1"),
        rare("fulfilment_part_shipped", "fulfilment_status = 'part_shipped'"),
        rare("fulfilment_part_delivered", "fulfilment_status = 'part_delivered'"),
        rare("return_requested", "return_status = 'requested'"),
        rare("return_part_returned", "return_status = 'part_returned'"),
        rare("return_returned", "return_status = 'returned'"),
    ],
};

/// An index of those orders alone that are in a rare state.
const fn rare(name: &'static str, condition: &'static str) -> Index {
    index(name, "tenant, placed_at, order_id").only(condition)
}

static LABELS: Table = Table {
    name: "order_list_label",
    shape: Shape::Rows,
    columns: &[text("tenant"), text("kind"), text("label"), int("placed_at"), text("order_id")],
    key: 5,
    indexes: &[],
};

/// Kept per stream partition, since two workers may not add to one row; a query sums them.
static TALLIES: Table = Table {
    name: "order_list_tally",
    shape: Shape::Tally,
    columns: &[text("tenant"), text("field"), text("value"), int("partition"), int("orders")],
    key: 4,
    indexes: &[],
};

static SPEC: Spec = Spec {
    name: "order_list",
    version: 4_000 + Order::FOLD,
    spread: Spread::ByStream,
    tables: &[&ORDERS, &LABELS, &TALLIES],
};

/// One order of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The order.
    pub order_id: OrderId,
    /// When it was placed, in the business's own time.
    pub placed_at: Micros,
    /// When that was recorded.
    pub recorded_at: Micros,
    /// When its last event was recorded.
    pub updated_at: Micros,
    /// Its stream's version.
    pub version: Version,
    /// The position of the event that has that version.
    pub changed_at_position: Position,
    /// How far it is.
    pub status: String,
    /// Where its stock stands.
    pub stock_status: String,
    /// Where its money stands.
    pub payment_status: String,
    /// Where its goods stand.
    pub fulfilment_status: String,
    /// Where its returns stand.
    pub return_status: String,
    /// Whether a hold is open.
    pub on_hold: bool,
    /// Where it comes from.
    pub channel: String,
    /// Its number there.
    pub external_ref: Option<String>,
    /// Who ordered.
    pub customer: Option<String>,
    /// The currency of every amount.
    pub currency: String,
    /// The total in minor units, edits included.
    pub total: i64,
    /// The amount that the customer owes in all, in minor units.
    pub owed: i64,
    /// The captured amount, in minor units.
    pub captured: i64,
    /// The refunded amount, in minor units.
    pub refunded: i64,
    /// How many lines it has.
    pub lines: u64,
    /// How many units were ordered.
    pub units: u64,
    /// Its labels.
    pub tags: Vec<String>,
    /// Why it was rejected, if it was.
    pub reject_reason: Option<String>,
    /// Whether an authorisation ends soon or has ended, and what it held is still to be taken and nowhere else held.
    pub payment_ending: bool,
}

impl Projection for OrderList {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn wants(&self, category: &str) -> bool {
        category == stream::ORDER
    }

    fn order(&self, order: &Shown<Order>, rows: &mut Rows) {
        let Order::Placed(placed) = &order.state else {
            return;
        };
        let placed_at = placed_at(order, placed);
        let row = summary_row(order, placed, placed_at);
        let stream = StreamId::new(&*order.tenant, stream::ORDER, &*order.id);
        let partition = partition::of_stream(&stream);
        for (field, at) in TALLIED {
            let row = tally(&order.tenant, field, row[*at].clone(), partition);
            rows.put(&TALLIES, row);
        }
        rows.put(&TALLIES, tally(&order.tenant, "", "".into(), partition));
        rows.put(&ORDERS, row);
        let skus: BTreeSet<_> = placed.lines.values().map(|line| line.line.sku.as_str()).collect();
        let tags: BTreeSet<_> = placed.tags.iter().map(String::as_str).collect();
        let labels = skus.into_iter().map(|sku| ("sku", sku)).chain(tags.into_iter().map(|tag| ("tag", tag)));
        for (kind, label) in labels {
            let row = vec![(&*order.tenant).into(), kind.into(), label.into(), placed_at.into(), (&*order.id).into()];
            rows.put(&LABELS, row);
        }
    }
}

/// The fields that orders are counted by, with their columns.
const TALLIED: &[(&str, usize)] = &[
    ("status", 7),
    ("stock_status", 8),
    ("payment_status", 9),
    ("fulfilment_status", 10),
    ("return_status", 11),
    ("on_hold", 12),
    ("channel", 13),
    ("currency", 16),
    ("payment_ending", 25),
];

fn tally(tenant: &str, field: &str, value: Value, partition: u32) -> Vec<Value> {
    let value = match value {
        Value::Int(number) => Value::Text(number.to_string()),
        text => text,
    };
    vec![tenant.into(), field.into(), value, partition.into(), Value::Int(1)]
}

/// When an order was placed in the business's own time.
pub(crate) fn placed_at(order: &Shown<Order>, placed: &state::Placed) -> Micros {
    placed.occurred_at.map_or(order.first_at, domain::time::Timestamp::micros)
}

fn summary_row(order: &Shown<Order>, placed: &state::Placed, placed_at: Micros) -> Vec<Value> {
    let units: u64 = placed.lines.values().map(|line| u64::from(line.line.qty)).sum();
    vec![
        (&*order.tenant).into(),
        (&*order.id).into(),
        placed_at.into(),
        order.first_at.into(),
        order.last_at.into(),
        order.version.into(),
        order.position.into(),
        word(&placed.status).into(),
        word(&placed.stock_status()).into(),
        word(&placed.payment_status()).into(),
        word(&placed.fulfilment_status()).into(),
        word(&placed.return_status()).into(),
        (!placed.holds.is_empty()).into(),
        placed.channel.as_str().into(),
        placed.external_ref.as_ref().map(|reference| reference.as_str()).into(),
        placed.customer.as_ref().map(|customer| customer.as_str()).into(),
        placed.currency.code().into(),
        placed.totals.total.into(),
        placed.owed().into(),
        placed.payment().captured.into(),
        placed.ledger().refunded.into(),
        (placed.lines.len() as u64).into(),
        units.into(),
        serde_json::to_string(&placed.tags).unwrap_or_default().into(),
        placed.rejection.as_ref().map(|rejection| word(&rejection.reason)).into(),
        placed.payment_ending().into(),
    ]
}
