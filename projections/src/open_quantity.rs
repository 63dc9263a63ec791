//! The units of a SKU that a customer bought and neither cancelled nor returned, line by line: a credit note is matched
//! against these. Lines without open units have no row, so a look-up never reads settled lines.

use domain::ids::{CustomerRef, LineId, OrderId, Sku};
use domain::order::Order;
use domain::order::state::Status;
use domain::{Aggregate, stream};
use event_store::record::{Micros, Position};

use crate::order_list::placed_at;
use crate::projection::{Projection, Rows, Shown};
use crate::reads::{Answer, Reads};
use crate::store::{Error, Statement};
use crate::value::{Row, Shape, Spec, Spread, Table, Value, index, int, text};

/// The read model.
#[derive(Debug)]
pub struct OpenQuantity;

static TABLE: Table = Table {
    name: "open_quantity",
    shape: Shape::Rows,
    columns: &[
        text("tenant"),
        text("customer"),
        text("sku"),
        int("placed_at"),
        text("order_id"),
        int("line_id"),
        int("ordered"),
        int("cancelled"),
        int("shipped"),
        int("return_requested"),
        int("returned"),
        int("open"),
    ],
    key: 6,
    indexes: &[index("by_order", "tenant, order_id, line_id")],
};

static SPEC: Spec =
    Spec { name: "open_quantity", version: 1_000 + Order::FOLD, spread: Spread::ByStream, tables: &[&TABLE] };

/// The name of the read model, to wait for.
pub const NAME: &str = "open_quantity";

const NEWEST_FIRST: &str = "
SELECT placed_at, order_id, line_id, ordered, cancelled, shipped, return_requested, returned, open FROM open_quantity
WHERE tenant = $1 AND customer = $2 AND sku = $3 AND placed_at < $4
ORDER BY placed_at DESC, order_id DESC, line_id DESC LIMIT $5";

/// The open units of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenLine {
    /// When the order was placed, in the business's own time.
    pub placed_at: Micros,
    /// The order.
    pub order_id: OrderId,
    /// The line.
    pub line_id: LineId,
    /// Units ordered.
    pub ordered: u32,
    /// Ordered units that will not ship.
    pub cancelled: u32,
    /// Ordered units that left.
    pub shipped: u32,
    /// Shipped units that were announced as a return.
    pub return_requested: u32,
    /// Shipped units that were returned.
    pub returned: u32,
    /// `ordered − cancelled − return_requested − returned`.
    pub open: u32,
}

impl Projection for OpenQuantity {
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
        if matches!(placed.status, Status::Rejected | Status::Cancelled) {
            return;
        }
        let placed_at = placed_at(order, placed);
        let customer = placed.customer.as_ref().map_or("", |customer| customer.as_str());
        for (line_id, line) in &placed.lines {
            let gone = line.cancelled.saturating_add(line.return_requested).saturating_add(line.returned);
            let open = line.line.qty.saturating_sub(gone);
            if open == 0 {
                continue;
            }
            rows.put(
                &TABLE,
                vec![
                    (&*order.tenant).into(),
                    customer.into(),
                    line.line.sku.as_str().into(),
                    placed_at.into(),
                    (&*order.id).into(),
                    line_id.0.into(),
                    line.line.qty.into(),
                    line.cancelled.into(),
                    line.shipped.into(),
                    line.return_requested.into(),
                    line.returned.into(),
                    open.into(),
                ],
            );
        }
    }
}

/// The open lines of a customer (those without a customer, if `None`) and a SKU that were placed before an instant, newest first.
///
/// # Errors
/// If the rows cannot be read.
pub async fn newest_first(
    reads: &Reads,
    tenant: &str,
    customer: Option<&CustomerRef>,
    sku: &Sku,
    before: Micros,
    limit: u32,
) -> Result<Answer<Vec<OpenLine>>, Error> {
    let customer = customer.map_or("", |customer| customer.as_str());
    let values: Vec<Value> = vec![tenant.into(), customer.into(), sku.as_str().into(), before.into(), limit.into()];
    let answer = reads.rows(SPEC.name, Statement::new(NEWEST_FIRST, values)).await?;
    answer.try_map(|rows| rows.iter().map(open_line).collect())
}

fn open_line(row: &Row) -> Result<OpenLine, Error> {
    Ok(OpenLine {
        placed_at: row.int(0)?,
        order_id: row.parsed(1)?,
        line_id: LineId(row.units(2)?),
        ordered: row.units(3)?,
        cancelled: row.units(4)?,
        shipped: row.units(5)?,
        return_requested: row.units(6)?,
        returned: row.units(7)?,
        open: row.units(8)?,
    })
}

/// Waits until the model has reached a position; returns its position.
///
/// # Errors
/// If it does not reach the position in time.
pub async fn wait_for(reads: &Reads, position: Position, timeout: std::time::Duration) -> Result<Position, Error> {
    reads.wait_for(NAME, position, timeout).await
}
