//! How many units there are of each SKU at each location, now.

use domain::ids::{LocationId, Sku};
use domain::stream;
use event_store::record::{Micros, Position, Version};

use crate::level::Level;
use crate::projection::{Projection, Rows, Shown};
use crate::reads::{Answer, Reads};
use crate::store::{Error, Statement};
use crate::value::{Row, Shape, Spec, Spread, Table, index, int, text};

/// The read model.
#[derive(Debug)]
pub struct StockLevels;

static TABLE: Table = Table {
    name: "stock_level",
    shape: Shape::Rows,
    columns: &[
        text("tenant"),
        text("sku"),
        text("location"),
        int("version"),
        int("position"),
        int("first_at"),
        int("last_at"),
        int("on_hand"),
        int("reserved"),
        int("backordered"),
        int("safety_stock"),
        int("backorder_limit"),
        int("available"),
        int("is_short"),
    ],
    key: 3,
    indexes: &[index("short", "tenant, is_short, sku, location")],
};

static SPEC: Spec = Spec { name: "stock_levels", version: 2, spread: Spread::ByStream, tables: &[&TABLE] };

const LEVEL: &str = "
SELECT version, position, first_at, last_at, on_hand, reserved, backordered, safety_stock, backorder_limit
FROM stock_level{slot} WHERE tenant = $1 AND sku = $2 AND location = $3";

const PAGE: &str = "
SELECT sku, location, version, position, first_at, last_at, on_hand, reserved, backordered, safety_stock, backorder_limit
FROM stock_level WHERE tenant = $1 AND (sku, location) > ($2, $3) ORDER BY sku, location LIMIT $4";

const SHORT: &str = "
SELECT sku, location, version, position, first_at, last_at, on_hand, reserved, backordered, safety_stock, backorder_limit
FROM stock_level WHERE tenant = $1 AND is_short = 1 AND (sku, location) > ($2, $3) ORDER BY sku, location LIMIT $4";

const BY_SKU: &str = "
SELECT sku, location, version, position, first_at, last_at, on_hand, reserved, backordered, safety_stock, backorder_limit
FROM stock_level WHERE tenant = $1 AND sku = $2 ORDER BY location";

/// The stock of a SKU at a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The SKU.
    pub sku: Sku,
    /// Where.
    pub location: LocationId,
    /// Its stream's version.
    pub version: Version,
    /// The position of the event that has that version.
    pub changed_at_position: Position,
    /// When its first event was recorded.
    pub first_at: Micros,
    /// When its last event was recorded.
    pub last_at: Micros,
    /// The numbers.
    pub level: Level,
}

/// Which stock a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of it.
    All,
    /// Where more is held than is here.
    Short,
}

impl Projection for StockLevels {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn wants(&self, category: &str) -> bool {
        category == stream::STOCK
    }

    fn replaces(&self) -> bool {
        true
    }

    fn level(&self) -> Option<&'static str> {
        Some(LEVEL)
    }

    fn stock(&self, stock: &Shown<Level>, rows: &mut Rows) {
        let Some((location, sku)) = stream::parse_stock(&stock.id) else {
            return;
        };
        let level = stock.state;
        rows.put(
            &TABLE,
            vec![
                (&*stock.tenant).into(),
                String::from(sku).into(),
                String::from(location).into(),
                stock.version.into(),
                stock.position.into(),
                stock.first_at.into(),
                stock.last_at.into(),
                level.on_hand.into(),
                level.reserved.into(),
                level.backordered.into(),
                level.safety_stock.into(),
                level.backorder_limit.into(),
                level.available().into(),
                u32::from(level.short() > 0).into(),
            ],
        );
    }
}

/// A page of stock by SKU and location, after the last one of the page before.
///
/// # Errors
/// If the rows cannot be read.
pub async fn page(
    reads: &Reads,
    tenant: &str,
    which: Which,
    after: Option<(&Sku, &LocationId)>,
    limit: u32,
) -> Result<Answer<Vec<Standing>>, Error> {
    let (sku, location) = after.map_or(("", ""), |(sku, location)| (sku.as_str(), location.as_str()));
    let values = vec![tenant.into(), sku.into(), location.into(), limit.into()];
    let sql = match which {
        Which::All => PAGE,
        Which::Short => SHORT,
    };
    standings(reads, Statement::new(sql, values)).await
}

/// The stock of a SKU at every location.
///
/// # Errors
/// If the rows cannot be read.
pub async fn by_sku(reads: &Reads, tenant: &str, sku: &Sku) -> Result<Answer<Vec<Standing>>, Error> {
    standings(reads, Statement::new(BY_SKU, vec![tenant.into(), sku.as_str().into()])).await
}

async fn standings(reads: &Reads, statement: Statement) -> Result<Answer<Vec<Standing>>, Error> {
    reads.rows(SPEC.name, statement).await?.try_map(|rows| rows.iter().map(standing).collect())
}

fn standing(row: &Row) -> Result<Standing, Error> {
    Ok(Standing {
        sku: row.stored(0)?,
        location: row.stored(1)?,
        version: row.count(2)?,
        changed_at_position: row.count(3)?,
        first_at: row.int(4)?,
        last_at: row.int(5)?,
        level: Level {
            on_hand: row.units(6)?,
            reserved: row.units(7)?,
            backordered: row.units(8)?,
            safety_stock: row.units(9)?,
            backorder_limit: row.units(10)?,
        },
    })
}
