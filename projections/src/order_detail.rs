//! One document per order: the fold of its events. It is the domain's own fold, so it can only show what the write side
//! knows; the view is computed at the read.

use domain::ids::OrderId;
use domain::order::Order;
use domain::{Aggregate, stream};
use event_store::record::{Micros, Position, StreamId, Version};

use crate::projection::{Projection, Rows, Shown};
use crate::reads::{Answer, Reads};
use crate::store::{Error, Statement};
use crate::value::{Row, Shape, Spec, Spread, Table, int, text};

/// The read model.
#[derive(Debug)]
pub struct OrderDetail;

static TABLE: Table = Table {
    name: "order_detail",
    shape: Shape::Rows,
    columns: &[
        text("tenant"),
        text("order_id"),
        int("version"),
        int("position"),
        int("first_at"),
        int("last_at"),
        text("document"),
    ],
    key: 2,
    indexes: &[],
};

/// A document holds the fold itself, so another fold is another version.
static SPEC: Spec =
    Spec { name: "order_detail", version: 1_000 + Order::FOLD, spread: Spread::ByStream, tables: &[&TABLE] };

const BY_ID: &str = "
SELECT version, position, first_at, last_at, document FROM order_detail WHERE tenant = $1 AND order_id = $2";

/// An order and where its stream stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// The order.
    pub order: Order,
    /// Its stream's version.
    pub version: Version,
    /// The position of the event that has that version.
    pub changed_at_position: Position,
    /// When its first event was recorded.
    pub first_at: Micros,
    /// When its last event was recorded.
    pub last_at: Micros,
}

impl Projection for OrderDetail {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn wants(&self, category: &str) -> bool {
        category == stream::ORDER
    }

    fn replaces(&self) -> bool {
        true
    }

    fn order(&self, order: &Shown<Order>, rows: &mut Rows) {
        // A fold of texts, numbers and ids always has a JSON form.
        let document = serde_json::to_string(&order.state).unwrap_or_default();
        rows.put(
            &TABLE,
            vec![
                (&*order.tenant).into(),
                (&*order.id).into(),
                order.version.into(),
                order.position.into(),
                order.first_at.into(),
                order.last_at.into(),
                document.into(),
            ],
        );
    }
}

/// The order of an id, if there is one.
///
/// # Errors
/// If the rows cannot be read.
pub async fn by_id(reads: &Reads, tenant: &str, order_id: OrderId) -> Result<Answer<Option<Detail>>, Error> {
    let statement = Statement::new(BY_ID, vec![tenant.into(), order_id.to_string().into()]);
    let name = stream::order(order_id);
    let stream = StreamId::new(tenant, name.category, name.id);
    reads.rows_of(SPEC.name, &stream, statement).await?.try_map(|rows| rows.first().map(detail).transpose())
}

fn detail(row: &Row) -> Result<Detail, Error> {
    Ok(Detail {
        version: row.count(0)?,
        changed_at_position: row.count(1)?,
        first_at: row.int(2)?,
        last_at: row.int(3)?,
        order: row.json(4)?,
    })
}
