//! The timeline of an order: its own events, and those of its payment, its stock, its sagas and its refused commands.
//! Each entry says who, what, why and what it follows from. Rows are added and never changed.

mod summary;

use domain::ids::OrderId;
use domain::{Event, order, record, stock};
use event_store::record::{Micros, Position, Version};
use uuid::Uuid;

use crate::fact::Fact;
use crate::level::Level;
use crate::projection::{Projection, Rows, Shown};
use crate::reads::{Answer, Reads};
use crate::store::{Error, Statement};
use crate::value::{Row, Shape, Spec, Spread, Table, int, text};

pub use summary::{reason, summary};

/// The read model.
#[derive(Debug)]
pub struct OrderTimeline;

static ENTRIES: Table = Table {
    name: "order_timeline",
    shape: Shape::Rows,
    columns: &[
        text("tenant"),
        text("subject"),
        int("position"),
        text("category"),
        text("stream"),
        int("version"),
        text("kind"),
        text("summary"),
        text("reason").or_null(),
        text("actor"),
        text("via"),
        text("on_behalf_of").or_null(),
        int("recorded_at"),
        int("occurred_at"),
        text("event_id"),
        text("command_id"),
        text("causation").or_null(),
    ],
    key: 3,
    indexes: &[],
};

/// Subjects that belong to an order: events of its returns are filed under the return.
static LINKS: Table = Table {
    name: "order_timeline_link",
    shape: Shape::Rows,
    columns: &[text("tenant"), text("order_id"), text("subject")],
    key: 3,
    indexes: &[],
};

/// Records that were set aside, of all streams: few, and queried as a list.
static ASIDES: Table = Table {
    name: "order_timeline_aside",
    shape: Shape::Rows,
    columns: &[
        text("tenant"),
        int("by_position"),
        text("category"),
        text("stream"),
        int("version"),
        int("position"),
        text("kind"),
        text("unreadable"),
        text("reason"),
        text("actor"),
        int("recorded_at"),
    ],
    key: 2,
    indexes: &[],
};

static SPEC: Spec =
    Spec { name: "order_timeline", version: 3, spread: Spread::ByStream, tables: &[&ENTRIES, &LINKS, &ASIDES] };

/// The name of the read model: it wants every stream, so what it holds is all that cannot be read.
pub const NAME: &str = "order_timeline";

const ASIDE_PAGE: &str = "
SELECT by_position, category, stream, version, position, kind, unreadable, reason, actor, recorded_at FROM order_timeline_aside
WHERE tenant = $1 AND by_position > $2 ORDER BY by_position LIMIT $3";

/// An order's entries come from several streams. If these are projected in partitions, the page ends at the position
/// that all partitions have reached: otherwise a client that continues after the last entry would miss one that a
/// slower partition adds before it.
const PAGE: &str = "
SELECT position, category, stream, version, kind, summary, reason, actor, via, on_behalf_of, recorded_at, occurred_at, event_id,
    command_id, causation
FROM order_timeline WHERE tenant = $1 AND subject = $2 AND position > $3
    AND position <= (SELECT MIN(position) FROM checkpoint WHERE name = $4 AND slot = 'live')
ORDER BY position LIMIT $5";

const LINKED: &str = "SELECT subject FROM order_timeline_link WHERE tenant = $1 AND order_id = $2";

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The event's position.
    pub position: Position,
    /// The kind of stream that it is in.
    pub category: String,
    /// The stream's id.
    pub stream: String,
    /// Its version there.
    pub version: Version,
    /// The stored type name.
    pub kind: String,
    /// What happened, for people.
    pub summary: String,
    /// Why, where the event says so.
    pub reason: Option<String>,
    /// Who did it.
    pub actor: String,
    /// How it came in.
    pub via: String,
    /// The party on whose behalf the actor acted.
    pub on_behalf_of: Option<String>,
    /// When it was recorded.
    pub recorded_at: Micros,
    /// When it happened in the business's own time.
    pub occurred_at: Micros,
    /// The event.
    pub event_id: Uuid,
    /// The command whose batch wrote it.
    pub command_id: Uuid,
    /// The event or the command that led to it.
    pub causation: Option<Uuid>,
}

impl Projection for OrderTimeline {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn wants(&self, _category: &str) -> bool {
        true
    }

    fn folds(&self, _category: &str) -> bool {
        false
    }

    fn record(&self, fact: &Fact, _level: Option<&Shown<Level>>, rows: &mut Rows) {
        let (record, metadata) = (&fact.record, &fact.metadata);
        let tenant = || (&*record.stream.tenant).into();
        rows.put(
            &ENTRIES,
            vec![
                tenant(),
                subject(fact).into(),
                record.position.into(),
                (&*record.stream.category).into(),
                (&*record.stream.id).into(),
                record.version.into(),
                (&*record.kind).into(),
                summary(&fact.event).into(),
                reason(&fact.event).into(),
                metadata.actor.id.as_str().into(),
                metadata.actor.via.as_str().into(),
                metadata.actor.on_behalf_of.as_deref().into(),
                record.recorded_at.into(),
                fact.occurred_at().into(),
                record.event_id.to_string().into(),
                record.command_id.to_string().into(),
                metadata.causation.map(|id| id.to_string()).into(),
            ],
        );
        if let Event::Record(record::Event::SetAside(it)) = &fact.event {
            rows.put(
                &ASIDES,
                vec![
                    tenant(),
                    record.position.into(),
                    (&*record.stream.category).into(),
                    (&*record.stream.id).into(),
                    it.version.into(),
                    it.position.into(),
                    it.kind.as_str().into(),
                    it.unreadable.as_str().into(),
                    it.reason.as_str().into(),
                    metadata.actor.id.as_str().into(),
                    record.recorded_at.into(),
                ],
            );
        }
        if let Event::Order(order::Event::ReturnRequested(it)) = &fact.event {
            rows.put(&LINKS, vec![tenant(), (&*record.stream.id).into(), it.return_id.to_string().into()]);
        }
    }
}

/// The timeline an event is filed under: the order it names, otherwise its correlation.
fn subject(fact: &Fact) -> String {
    let order = match &fact.event {
        Event::Order(_) => return fact.record.stream.id.to_string(),
        Event::Payment(domain::payment::Event::AuthorisationRequested(it)) => Some(it.order_id),
        Event::Reference(domain::reference::Event::Claimed(it)) => Some(it.order_id),
        Event::Stock(event) => order_of_stock(event),
        Event::Payment(_) | Event::Reservation(_) | Event::Outcome(_) | Event::Import(_) => None,
        Event::Saga(_) | Event::Record(_) => None,
    };
    order.map_or_else(|| fact.metadata.correlation.to_string(), |order| order.to_string())
}

fn order_of_stock(event: &stock::Event) -> Option<OrderId> {
    match event {
        stock::Event::Reserved(it) => it.order_id,
        stock::Event::Backordered(it) => it.order_id,
        stock::Event::ReservationReleased(it) => it.order_id,
        stock::Event::ReservationExpired(it) => it.order_id,
        stock::Event::Shipped(it) => it.order_id,
        stock::Event::ShipmentPutBack(it) => it.order_id,
        stock::Event::ReservationDeferred(it) => it.order_id,
        stock::Event::ReservationOrdered(it) => Some(it.order_id),
        stock::Event::Returned(it) => it.order_id,
        stock::Event::BackorderAllocated(it) => it.order_id,
        stock::Event::Registered(_)
        | stock::Event::Received(_)
        | stock::Event::ReservationExtended(_)
        | stock::Event::WrittenOff(_)
        | stock::Event::Adjusted(_)
        | stock::Event::Counted(_) => None,
    }
}

/// The entries of an order (or a return, a reservation, an import) after a position, oldest first. A page is read from
/// the index for each subject, and an order has one more subject for each return: the pages are merged here, so that no
/// database sorts an order's whole history for its first page.
///
/// # Errors
/// If the rows cannot be read.
pub async fn page(
    reads: &Reads,
    tenant: &str,
    subject: Uuid,
    after: Position,
    limit: u32,
) -> Result<Answer<Vec<Entry>>, Error> {
    let id = subject.to_string();
    let linked = Statement::new(LINKED, vec![tenant.into(), id.as_str().into()]);
    let own = part(tenant, &id, after, limit);
    let mut answer = reads.ask(SPEC.name, vec![own, linked]).await?;
    let linked = answer.value.pop().unwrap_or_default();
    let subjects = linked.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
    if !subjects.is_empty() {
        // Only entries that both queries know are shown: a newer entry may be of a return that the first query did not
        // know yet.
        let parts = subjects.into_iter().map(|subject| part(tenant, subject, after, limit)).collect();
        answer.value.extend(reads.ask(SPEC.name, parts).await?.value);
    }
    let upto = answer.position;
    answer.try_map(|parts| {
        let mut entries = parts.iter().flatten().map(entry).collect::<Result<Vec<_>, _>>()?;
        entries.retain(|entry| entry.position <= upto);
        entries.sort_by_key(|entry| entry.position);
        entries.truncate(limit as usize);
        Ok(entries)
    })
}

fn part(tenant: &str, subject: &str, after: Position, limit: u32) -> Statement {
    Statement::new(PAGE, vec![tenant.into(), subject.into(), after.into(), SPEC.name.into(), limit.into()])
}

/// A record that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// Where that is said.
    pub by_position: Position,
    /// Its stream: the category and the id.
    pub stream: (String, String),
    /// Its version there.
    pub version: Version,
    /// Its position.
    pub position: Position,
    /// Its stored type name.
    pub kind: String,
    /// Why it could not be read.
    pub unreadable: String,
    /// Why it was set aside.
    pub reason: String,
    /// Who did it.
    pub actor: String,
    /// When.
    pub recorded_at: Micros,
}

/// The records that were set aside after a position of the log, oldest first.
///
/// # Errors
/// If the rows cannot be read.
pub async fn asides(reads: &Reads, tenant: &str, after: Position, limit: u32) -> Result<Answer<Vec<Aside>>, Error> {
    let statement = Statement::new(ASIDE_PAGE, vec![tenant.into(), after.into(), limit.into()]);
    let of = |row: &Row| {
        Ok(Aside {
            by_position: row.count(0)?,
            stream: (row.text(1)?.to_owned(), row.text(2)?.to_owned()),
            version: row.count(3)?,
            position: row.count(4)?,
            kind: row.text(5)?.to_owned(),
            unreadable: row.text(6)?.to_owned(),
            reason: row.text(7)?.to_owned(),
            actor: row.text(8)?.to_owned(),
            recorded_at: row.int(9)?,
        })
    };
    reads.rows(SPEC.name, statement).await?.try_map(|rows| rows.iter().map(of).collect())
}

fn entry(row: &Row) -> Result<Entry, Error> {
    Ok(Entry {
        position: row.count(0)?,
        category: row.text(1)?.to_owned(),
        stream: row.text(2)?.to_owned(),
        version: row.count(3)?,
        kind: row.text(4)?.to_owned(),
        summary: row.text(5)?.to_owned(),
        reason: row.maybe_text(6)?.map(str::to_owned),
        actor: row.text(7)?.to_owned(),
        via: row.text(8)?.to_owned(),
        on_behalf_of: row.maybe_text(9)?.map(str::to_owned),
        recorded_at: row.int(10)?,
        occurred_at: row.int(11)?,
        event_id: row.parsed(12)?,
        command_id: row.parsed(13)?,
        causation: row.maybe_parsed(14)?,
    })
}
