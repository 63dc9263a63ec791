//! Every movement of stock: the quantity, the reason, the order, the actor, and the stock after it. Rows are added and
//! never changed.

use domain::ids::{LocationId, OrderId, ReservationId, Sku};
use domain::stock::Event;
use domain::stream;
use event_store::record::{Micros, Position, StreamId, Version};
use uuid::Uuid;

use crate::fact::Fact;
use crate::level::Level;
use crate::projection::{Projection, Rows, Shown};
use crate::reads::{Answer, Reads};
use crate::stock_levels::Standing;
use crate::store::{Error, Statement};
use crate::value::{Row, Shape, Spec, Spread, Table, Value, index, int, text};

/// The read model.
#[derive(Debug)]
pub struct StockLedger;

static TABLE: Table = Table {
    name: "stock_ledger",
    shape: Shape::Rows,
    columns: &[
        text("tenant"),
        text("sku"),
        text("location"),
        int("version"),
        int("position"),
        int("first_at"),
        int("recorded_at"),
        text("movement"),
        int("on_hand_change"),
        int("reserved_change"),
        int("backordered_change"),
        int("on_hand"),
        int("reserved"),
        int("backordered"),
        int("safety_stock"),
        int("backorder_limit"),
        text("reason").or_null(),
        text("order_id").or_null(),
        text("reservation_id").or_null(),
        text("source").or_null(),
        text("actor"),
        text("event_id"),
        text("command_id"),
    ],
    key: 4,
    indexes: &[index("by_position", "tenant, sku, location, position")],
};

static SPEC: Spec = Spec { name: "stock_ledger", version: 2, spread: Spread::ByStream, tables: &[&TABLE] };

const LEVEL: &str = "
SELECT version, position, first_at, recorded_at, on_hand, reserved, backordered, safety_stock, backorder_limit
FROM stock_ledger{slot} WHERE tenant = $1 AND sku = $2 AND location = $3 ORDER BY version DESC LIMIT 1";

const PAGE: &str = "
SELECT location, version, position, recorded_at, movement, on_hand_change, reserved_change, backordered_change, on_hand, reserved,
    backordered, reason, order_id, reservation_id, source, actor, event_id, command_id
FROM stock_ledger WHERE tenant = $1 AND sku = $2 AND location = $3 AND version < $4 ORDER BY version DESC LIMIT $5";

const AT_POSITION: &str = "
SELECT version, position, first_at, recorded_at, on_hand, reserved, backordered, safety_stock, backorder_limit
FROM stock_ledger WHERE tenant = $1 AND sku = $2 AND location = $3 AND position <= $4 ORDER BY position DESC LIMIT 1";

const AT_VERSION: &str = "
SELECT version, position, first_at, recorded_at, on_hand, reserved, backordered, safety_stock, backorder_limit
FROM stock_ledger WHERE tenant = $1 AND sku = $2 AND location = $3 AND version <= $4 ORDER BY version DESC LIMIT 1";

/// A moment of a stock's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// When the log had this position.
    Position(Position),
    /// When its stream had this version.
    Version(Version),
}

/// A movement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// Where.
    pub location: LocationId,
    /// The version of the stock's stream.
    pub version: Version,
    /// The position of the event.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: Micros,
    /// What it was: `received`, `reserved`, `shipped` …
    pub movement: String,
    /// Units more or fewer on hand.
    pub on_hand_change: i64,
    /// Units more or fewer held.
    pub reserved_change: i64,
    /// Units more or fewer promised.
    pub backordered_change: i64,
    /// Units on hand after it.
    pub on_hand: u32,
    /// Units held after it.
    pub reserved: u32,
    /// Units promised after it.
    pub backordered: u32,
    /// Why.
    pub reason: Option<String>,
    /// The order that it was for.
    pub order_id: Option<OrderId>,
    /// The reservation that it was of.
    pub reservation_id: Option<ReservationId>,
    /// The delivery, the shipment or the return that it was part of.
    pub source: Option<String>,
    /// Who did it.
    pub actor: String,
    /// The event.
    pub event_id: Uuid,
    /// The command.
    pub command_id: Uuid,
}

impl Projection for StockLedger {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn wants(&self, category: &str) -> bool {
        category == stream::STOCK
    }

    fn level(&self) -> Option<&'static str> {
        Some(LEVEL)
    }

    fn record(&self, fact: &Fact, level: Option<&Shown<Level>>, rows: &mut Rows) {
        let Some(after) = level else {
            return;
        };
        let entry = match &fact.event {
            domain::Event::Stock(event) => Entry::of(event),
            // The version of the stream moves on, and nothing of the stock.
            domain::Event::Record(domain::record::Event::SetAside(it)) => {
                Entry { movement: "set_aside", reason: Some(it.reason.clone()), ..Entry::default() }
            }
            _ => return,
        };
        let Some((location, sku)) = stream::parse_stock(&fact.record.stream.id) else {
            return;
        };
        let now = after.state;
        rows.put(
            &TABLE,
            vec![
                (&*fact.record.stream.tenant).into(),
                String::from(sku).into(),
                String::from(location).into(),
                fact.record.version.into(),
                fact.record.position.into(),
                after.first_at.into(),
                fact.record.recorded_at.into(),
                entry.movement.into(),
                entry.on_hand.into(),
                entry.reserved.into(),
                entry.backordered.into(),
                now.on_hand.into(),
                now.reserved.into(),
                now.backordered.into(),
                now.safety_stock.into(),
                now.backorder_limit.into(),
                entry.reason.into(),
                entry.order_id.map(|id| id.to_string()).into(),
                entry.reservation_id.map(|id| id.to_string()).into(),
                entry.source.into(),
                fact.metadata.actor.id.as_str().into(),
                fact.record.event_id.to_string().into(),
                fact.record.command_id.to_string().into(),
            ],
        );
    }
}

/// The ledger entry of an event.
#[derive(Default)]
struct Entry {
    movement: &'static str,
    on_hand: i64,
    reserved: i64,
    backordered: i64,
    reason: Option<String>,
    order_id: Option<OrderId>,
    reservation_id: Option<ReservationId>,
    source: Option<String>,
}

impl Entry {
    fn of(event: &Event) -> Self {
        let units = i64::from;
        match event {
            Event::Registered(_) => Self { movement: "registered", ..Self::default() },
            Event::Received(it) => {
                Self { movement: "received", on_hand: units(it.qty), source: it.source_ref.clone(), ..Self::default() }
            }
            Event::Reserved(it) => Self {
                movement: "reserved",
                reserved: units(it.qty),
                order_id: it.order_id,
                reservation_id: Some(it.reservation_id),
                ..Self::default()
            },
            Event::Backordered(it) => Self {
                movement: "backordered",
                backordered: units(it.qty),
                order_id: it.order_id,
                reservation_id: Some(it.reservation_id),
                ..Self::default()
            },
            Event::ReservationExtended(it) => {
                Self { movement: "extended", reservation_id: Some(it.reservation_id), ..Self::default() }
            }
            Event::ReservationReleased(it) => Self {
                movement: "released",
                reserved: -units(it.qty),
                backordered: -units(it.backordered),
                reason: Some(it.reason.clone()),
                order_id: it.order_id,
                reservation_id: Some(it.reservation_id),
                ..Self::default()
            },
            Event::ReservationExpired(it) => Self {
                movement: "expired",
                reserved: -units(it.qty),
                backordered: -units(it.backordered),
                order_id: it.order_id,
                reservation_id: Some(it.reservation_id),
                ..Self::default()
            },
            Event::Shipped(it) => Self {
                movement: "shipped",
                on_hand: -units(it.qty),
                reserved: -units(it.qty),
                order_id: it.order_id,
                reservation_id: Some(it.reservation_id),
                source: Some(it.shipment_id.to_string()),
                ..Self::default()
            },
            Event::ShipmentPutBack(it) => Self {
                movement: "put_back",
                on_hand: units(it.qty),
                reserved: if it.released { 0 } else { units(it.qty) },
                order_id: it.order_id,
                reservation_id: Some(it.reservation_id),
                source: Some(it.shipment_id.to_string()),
                ..Self::default()
            },
            Event::ReservationDeferred(it) => Self {
                movement: "deferred",
                reserved: -units(it.qty),
                backordered: units(it.qty),
                reason: Some(it.reason.clone()),
                order_id: it.order_id,
                reservation_id: Some(it.reservation_id),
                ..Self::default()
            },
            Event::ReservationOrdered(it) => Self {
                movement: "ordered",
                reserved: -units(it.freed),
                backordered: -units(it.backordered),
                order_id: Some(it.order_id),
                reservation_id: Some(it.reservation_id),
                ..Self::default()
            },
            Event::Returned(it) => Self {
                movement: "returned",
                on_hand: units(it.qty),
                order_id: it.order_id,
                source: Some(it.return_id.to_string()),
                ..Self::default()
            },
            Event::WrittenOff(it) => Self {
                movement: "written_off",
                on_hand: -units(it.qty),
                reason: Some(it.reason.clone()),
                source: Some(it.return_id.to_string()),
                ..Self::default()
            },
            Event::Adjusted(it) => {
                Self { movement: "adjusted", on_hand: it.delta, reason: Some(it.reason.clone()), ..Self::default() }
            }
            Event::Counted(it) => Self { movement: "counted", on_hand: it.difference, ..Self::default() },
            Event::BackorderAllocated(it) => Self {
                movement: "allocated",
                reserved: units(it.qty),
                backordered: -units(it.qty),
                order_id: it.order_id,
                reservation_id: Some(it.reservation_id),
                ..Self::default()
            },
        }
    }
}

/// The movements of a SKU at a location before a version of its stream, newest first.
///
/// # Errors
/// If the rows cannot be read.
pub async fn page(
    reads: &Reads,
    tenant: &str,
    sku: &Sku,
    location: &LocationId,
    before: Option<Version>,
    limit: u32,
) -> Result<Answer<Vec<Movement>>, Error> {
    let before = before.map_or(Value::Int(i64::MAX), Value::from);
    let values = vec![tenant.into(), sku.as_str().into(), location.as_str().into(), before, limit.into()];
    let name = stream::stock(location, sku);
    let stream = StreamId::new(tenant, name.category, name.id);
    let answer = reads.rows_up_to(SPEC.name, &stream, Statement::new(PAGE, values)).await?;
    answer.try_map(|rows| rows.iter().map(movement).collect())
}

/// The stock of a SKU at a location as it was at a moment, read off the last movement before it; none if there was none.
///
/// # Errors
/// If the rows cannot be read.
pub async fn at(
    reads: &Reads,
    tenant: &str,
    sku: &Sku,
    location: &LocationId,
    moment: Moment,
) -> Result<Answer<Option<Standing>>, Error> {
    let (sql, until) = match moment {
        Moment::Position(position) => (AT_POSITION, position),
        Moment::Version(version) => (AT_VERSION, version),
    };
    let values = vec![tenant.into(), sku.as_str().into(), location.as_str().into(), until.into()];
    let name = stream::stock(location, sku);
    let stream = StreamId::new(tenant, name.category, name.id);
    let answer = reads.rows_of(SPEC.name, &stream, Statement::new(sql, values)).await?;
    answer.try_map(|rows| {
        let standing = |row: &Row| {
            Ok(Standing {
                sku: sku.clone(),
                location: location.clone(),
                version: row.count(0)?,
                changed_at_position: row.count(1)?,
                first_at: row.int(2)?,
                last_at: row.int(3)?,
                level: Level {
                    on_hand: row.units(4)?,
                    reserved: row.units(5)?,
                    backordered: row.units(6)?,
                    safety_stock: row.units(7)?,
                    backorder_limit: row.units(8)?,
                },
            })
        };
        rows.first().map(standing).transpose()
    })
}

fn movement(row: &Row) -> Result<Movement, Error> {
    Ok(Movement {
        location: row.stored(0)?,
        version: row.count(1)?,
        position: row.count(2)?,
        recorded_at: row.int(3)?,
        movement: row.text(4)?.to_owned(),
        on_hand_change: row.int(5)?,
        reserved_change: row.int(6)?,
        backordered_change: row.int(7)?,
        on_hand: row.units(8)?,
        reserved: row.units(9)?,
        backordered: row.units(10)?,
        reason: row.maybe_text(11)?.map(str::to_owned),
        order_id: row.maybe_parsed(12)?,
        reservation_id: row.maybe_parsed(13)?,
        source: row.maybe_text(14)?.map(str::to_owned),
        actor: row.text(15)?.to_owned(),
        event_id: row.parsed(16)?,
        command_id: row.parsed(17)?,
    })
}
