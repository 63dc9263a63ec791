//! What an order, or any other subject, was at a version, a position or an instant: its stream, folded that far. The same question gets
//! the same answer for ever, and each answer names the position that it stands for.

use domain::Aggregate;
use domain::ids::{LocationId, OrderId, Sku};
use domain::order::Order;
use domain::stock::Stock;
use domain::stream::{self, StreamName};
use event_store::record::{Micros, Position, Record, StreamId, Version};
use event_store::{Direction, EventStore};
use schemas::{Stored, StoredEvent};

/// How many records are read at once.
const PAGE: usize = 512;

/// When.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Now.
    Now,
    /// When the stream had this version.
    Version(Version),
    /// When the log had this position.
    Position(Position),
    /// At this instant of the store's clock, in microseconds.
    Instant(Micros),
}

/// A subject at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment<S> {
    /// What it was.
    pub state: S,
    /// Its stream's version then; 0 if it was not there yet.
    pub version: Version,
    /// The position that this stands for: the last one at or before the moment.
    pub position: Position,
    /// When the event of that version was recorded; 0 if it was not there yet.
    pub recorded_at: Micros,
    /// Whether the same question will get this answer for ever.
    pub settled: bool,
}

/// Why it cannot be told.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The moment has not come yet.
    #[error("that moment has not come yet: the log ends at position {head}")]
    Future {
        /// The log's last position.
        head: Position,
    },
    /// The stream does not have that version (yet).
    #[error("its last version is {last}")]
    NoSuchVersion {
        /// The stream's last version.
        last: Version,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] event_store::Error),
    /// A record cannot be read.
    #[error("the event at position {position} cannot be read")]
    Unreadable {
        /// Its position.
        position: Position,
        /// Why.
        source: std::sync::Arc<schemas::registry::Error>,
    },
}

/// An order at a moment.
///
/// # Errors
/// If the moment has not come yet, or the log cannot be read.
pub async fn order_at(log: &dyn EventStore, tenant: &str, id: OrderId, at: At) -> Result<Moment<Order>, Error> {
    fold_at(log, tenant, &stream::order(id), at).await
}

/// The stock of a SKU at a location, at a moment.
///
/// # Errors
/// If the moment has not come yet, or the log cannot be read.
pub async fn stock_at(
    log: &dyn EventStore,
    tenant: &str,
    location: &LocationId,
    sku: &Sku,
    at: At,
) -> Result<Moment<Stock>, Error> {
    fold_at(log, tenant, &stream::stock(location, sku), at).await
}

/// Whatever a stream folds to, at a moment.
///
/// # Errors
/// If the moment has not come yet, or the log cannot be read.
pub async fn fold_at<A: Stored>(
    log: &dyn EventStore,
    tenant: &str,
    name: &StreamName,
    at: At,
) -> Result<Moment<A>, Error> {
    let until = until(log, at).await?;
    let stream = StreamId::new(tenant, name.category, name.id.as_str());
    let mut moment =
        Moment { state: A::default(), version: 0, position: until.position, recorded_at: 0, settled: until.settled };
    loop {
        let page = log.read_stream(&stream, moment.version + 1, Direction::Forwards, PAGE).await?;
        let whole = page.len() >= PAGE;
        for record in &page {
            if record.position > until.position || record.version > until.version {
                return Ok(moment);
            }
            step(&mut moment, record, at)?;
        }
        if !whole {
            break;
        }
    }
    match at {
        At::Version(wanted) if wanted > moment.version => Err(Error::NoSuchVersion { last: moment.version }),
        _ => Ok(moment),
    }
}

fn step<A: Stored>(moment: &mut Moment<A>, record: &Record, at: At) -> Result<(), Error> {
    let event = <A as Aggregate>::Event::decode(&record.kind, record.schema_version, &record.data)
        .map_err(|source| Error::Unreadable { position: record.position, source: std::sync::Arc::new(source) })?;
    moment.state.evolve(&event);
    moment.version = record.version;
    moment.recorded_at = record.recorded_at;
    if matches!(at, At::Version(_)) {
        moment.position = record.position;
    }
    Ok(())
}

/// How far to read.
struct Until {
    position: Position,
    version: Version,
    settled: bool,
}

async fn until(log: &dyn EventStore, at: At) -> Result<Until, Error> {
    let head = *log.head().borrow();
    let future = Error::Future { head: head.position };
    Ok(match at {
        At::Now => Until { position: head.position, version: Version::MAX, settled: false },
        At::Version(version) => Until { position: head.position, version, settled: true },
        At::Position(position) if position > head.position => return Err(future),
        At::Position(position) => Until { position, version: Version::MAX, settled: true },
        At::Instant(instant) if instant >= log.now() => return Err(future),
        // Until something later is on record, a clock that is set back could still put an event before the instant.
        At::Instant(instant) => Until {
            position: log.position_at(instant).await?,
            version: Version::MAX,
            settled: instant <= head.recorded_at,
        },
    })
}
