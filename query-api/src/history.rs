//! The state of an order, or of any other subject, at a version, a position or an instant: its stream, folded up to
//! there. The same question always gets the same answer, and each answer names its position.

use domain::Aggregate;
use domain::ids::{LocationId, OrderId, Sku};
use domain::order::Order;
use domain::stock::Stock;
use domain::stream::{self, StreamName};
use event_store::record::{Micros, Position, Record, StreamId, Version};
use event_store::{Direction, EventStore};
use schemas::{Stored, StoredEvent as _};
use streams::Unreadable;

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
    /// Whether the answer to the same question can never change.
    pub settled: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The moment has not come yet.
    #[error("that moment is in the future: the log ends at position {head}")]
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
    #[error(transparent)]
    Unreadable(#[from] Box<Unreadable>),
}

impl From<streams::Error> for Error {
    fn from(error: streams::Error) -> Self {
        match error {
            streams::Error::Store(error) => error.into(),
            streams::Error::Unreadable(unreadable) => unreadable.into(),
        }
    }
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

/// The stock of a SKU at a location as a read model shows it, from the newest snapshot that is not beyond that.
///
/// # Errors
/// If the log cannot be read.
pub(crate) async fn stock_shown(
    log: &dyn EventStore,
    tenant: &str,
    location: &LocationId,
    sku: &Sku,
    version: Version,
) -> Result<Stock, Error> {
    let name = stream::stock(location, sku);
    let stream = StreamId::new(tenant, name.category, name.id.as_str());
    let start = snapshot(log, &stream, version).await?;
    let step = |stock: &mut Stock, _: &Record, event: Option<&domain::Event>| {
        if let Some(event) = event.and_then(<Stock as Aggregate>::Event::of) {
            stock.evolve(event);
        }
    };
    Ok(streams::fold(log, &stream, streams::Until::Version(version), start, Stock::default, step).await?)
}

/// A snapshot is a cache: what does not fit the log, or cannot be read, is passed over.
async fn snapshot(
    log: &dyn EventStore,
    stream: &StreamId,
    version: Version,
) -> Result<Option<streams::Start<Stock>>, Error> {
    let found = log.snapshot(stream, Stock::FOLD).await?;
    let Some(snapshot) = found.filter(|snapshot| snapshot.version <= version) else {
        return Ok(None);
    };
    let there = log.read_stream(stream, snapshot.version, Direction::Forwards, 1).await?;
    let fits =
        there.first().is_some_and(|record| record.version == snapshot.version && record.event_id == snapshot.event_id);
    let state = serde_json::from_slice(&snapshot.state).ok().filter(|_| fits);
    Ok(state.map(|state| streams::Start { state, version: snapshot.version }))
}

/// The fold of a stream at a moment.
///
/// # Errors
/// If the moment is in the future, or the log cannot be read.
pub async fn fold_at<A: Stored>(
    log: &dyn EventStore,
    tenant: &str,
    name: &StreamName,
    at: At,
) -> Result<Moment<A>, Error> {
    let until = until(log, at).await?;
    let stream = StreamId::new(tenant, name.category, name.id.as_str());
    let fresh =
        || Moment { state: A::default(), version: 0, position: until.position, recorded_at: 0, settled: until.settled };
    let moment = streams::fold(log, &stream, until.last, None, fresh, |moment, record, event| {
        if let Some(event) = event.and_then(<A as Aggregate>::Event::of) {
            moment.state.evolve(event);
        }
        moment.version = record.version;
        moment.recorded_at = record.recorded_at;
        if matches!(at, At::Version(_)) {
            moment.position = record.position;
        }
    })
    .await?;
    match at {
        At::Version(wanted) if wanted > moment.version => Err(Error::NoSuchVersion { last: moment.version }),
        _ => Ok(moment),
    }
}

/// How far to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    last: streams::Until,
    pub(crate) position: Position,
    pub(crate) settled: bool,
}

impl Until {
    fn position(position: Position, settled: bool) -> Self {
        Self { last: streams::Until::Position(position), position, settled }
    }
}

/// How far to read for a moment.
pub(crate) async fn until(log: &dyn EventStore, at: At) -> Result<Until, Error> {
    let head = *log.head().borrow();
    let future = Error::Future { head: head.position };
    Ok(match at {
        At::Now => Until::position(head.position, false),
        At::Version(version) => {
            Until { last: streams::Until::Version(version), position: head.position, settled: true }
        }
        At::Position(position) if position > head.position => return Err(future),
        At::Position(position) => Until::position(position, true),
        At::Instant(instant) if instant >= log.now() => return Err(future),
        // Until something later is on record, a clock that is set back could still put an event before the instant.
        At::Instant(instant) => Until::position(log.position_at(instant).await?, instant <= head.recorded_at),
    })
}
