//! The folded subjects that a worker has at hand: a bounded cache. What is not there is folded from its stream, or read from the rows
//! of the model that it is for; so nothing is lost with the cache, and nothing in it is ever saved.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use domain::order::Order;
use domain::payment::Payment;
use domain::{Aggregate, Event, stream};
use event_store::record::{Record, StreamId, Version};
use event_store::{Direction, EventStore};

use crate::fact::Fact;
use crate::level::Level;
use crate::projection::{Projection, Shown};
use crate::store::{Error, ReadStore, Statement};
use crate::value::Row;

/// How many orders and payments are kept: an order of 13 lines weighs some 8 KiB.
const MOST_SUBJECTS: usize = 8_192;
/// How many stock levels are kept; one weighs some 200 bytes.
const MOST_LEVELS: usize = 131_072;
/// How many records of a stream are read at once.
const PAGE: usize = 1_024;

/// Subjects of one kind.
#[derive(Debug)]
pub(crate) struct Cache<S> {
    entries: HashMap<StreamId, (u64, Shown<S>)>,
    most: usize,
}

impl<S> Cache<S> {
    fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), most }
    }

    /// The subject of a stream, used in this batch; a new one, before its first event, if it is not there.
    pub(crate) fn subject(&mut self, stream: &StreamId, batch: u64) -> &mut Shown<S>
    where
        S: Default,
    {
        let (used, shown) = self.entries.entry(stream.clone()).or_insert_with(|| (batch, new(stream)));
        *used = batch;
        shown
    }

    /// Forgets the subjects that were used the longest ago, if there are too many. What the last two batches used stays: their rows
    /// may not be written yet.
    fn shrink(&mut self, batch: u64) {
        if self.entries.len() <= self.most {
            return;
        }
        let mut used: Vec<_> = self.entries.values().map(|(used, _)| *used).collect();
        used.sort_unstable();
        let keep_from = used[used.len() - self.most * 3 / 4].min(batch.saturating_sub(1));
        self.entries.retain(|_, (used, _)| *used >= keep_from);
    }
}

fn new<S: Default>(stream: &StreamId) -> Shown<S> {
    Shown {
        tenant: Arc::clone(&stream.tenant),
        id: Arc::clone(&stream.id),
        version: 0,
        position: 0,
        first_at: 0,
        last_at: 0,
        state: S::default(),
    }
}

impl<S> Shown<S> {
    /// Steps to the next record of the stream; answers whether it is the next one.
    #[must_use]
    pub(crate) fn step(&mut self, record: &Record) -> bool {
        if record.version != self.version + 1 {
            return false;
        }
        if self.version == 0 {
            self.first_at = record.recorded_at;
        }
        self.version = record.version;
        self.position = record.position;
        self.last_at = record.recorded_at;
        true
    }
}

/// All subjects at hand.
#[derive(Debug)]
pub(crate) struct Folds {
    pub(crate) orders: Cache<Order>,
    pub(crate) payments: Cache<Payment>,
    pub(crate) levels: Cache<Level>,
}

/// Subjects that a batch needs and that are not at hand, with the version before their first record in the batch.
#[derive(Debug, Default)]
pub(crate) struct Absent(BTreeMap<StreamId, Version>);

impl Folds {
    pub(crate) fn new() -> Self {
        Self { orders: Cache::new(MOST_SUBJECTS), payments: Cache::new(MOST_SUBJECTS), levels: Cache::new(MOST_LEVELS) }
    }

    pub(crate) fn shrink(&mut self, batch: u64) {
        self.orders.shrink(batch);
        self.payments.shrink(batch);
        self.levels.shrink(batch);
    }

    /// Which subjects of these facts are not at hand.
    pub(crate) fn absent(&self, facts: &[Fact], models: &[Arc<dyn Projection>]) -> Absent {
        let mut absent = Absent::default();
        let mut seen = BTreeSet::new();
        for Fact { record, .. } in facts {
            let category = &*record.stream.category;
            let at_hand = match category {
                stream::ORDER => self.orders.entries.contains_key(&record.stream),
                stream::PAYMENT => self.payments.entries.contains_key(&record.stream),
                stream::STOCK => self.levels.entries.contains_key(&record.stream),
                _ => true,
            };
            let wanted = || models.iter().any(|model| model.folds(category));
            if !at_hand && wanted() && seen.insert(&record.stream) && record.version > 1 {
                absent.0.insert(record.stream.clone(), record.version - 1);
            }
        }
        absent
    }

    /// Brings them. Stock levels come from the rows of the models that the worker writes, which stand where the worker stands.
    pub(crate) async fn bring(
        &mut self,
        absent: Absent,
        log: &dyn EventStore,
        rows: &dyn ReadStore,
        models: &[Arc<dyn Projection>],
        level_suffix: &str,
        batch: u64,
    ) -> Result<(), Error> {
        let mut levels = Vec::new();
        for (stream, version) in absent.0 {
            match &*stream.category {
                stream::ORDER => {
                    let shown = fold(log, &stream, version, |state: &mut Order, event| {
                        if let Event::Order(event) = event {
                            state.evolve(event);
                        }
                    });
                    self.orders.entries.insert(stream.clone(), (batch, shown.await?));
                }
                stream::PAYMENT => {
                    let shown = fold(log, &stream, version, |state: &mut Payment, event| {
                        if let Event::Payment(event) = event {
                            state.evolve(event);
                        }
                    });
                    self.payments.entries.insert(stream.clone(), (batch, shown.await?));
                }
                _ => levels.push((stream, version)),
            }
        }
        self.bring_levels(levels, log, rows, models, level_suffix, batch).await
    }

    async fn bring_levels(
        &mut self,
        wanted: Vec<(StreamId, Version)>,
        log: &dyn EventStore,
        rows: &dyn ReadStore,
        models: &[Arc<dyn Projection>],
        suffix: &str,
        batch: u64,
    ) -> Result<(), Error> {
        let kept = models.iter().find_map(|model| model.level());
        let mut found = Vec::new();
        if let Some(sql) = kept {
            let sql = sql.replace("{slot}", suffix);
            let statements = wanted.iter().map(|(stream, _)| Statement::new(sql.clone(), level_key(stream)));
            if !wanted.is_empty() {
                found = rows.read(statements.collect()).await?;
            }
        }
        for (at, (stream, version)) in wanted.into_iter().enumerate() {
            let row = found.get(at).and_then(|rows| rows.first());
            let shown = match row.map(|row| level_row(&stream, row)).transpose()? {
                Some(shown) if shown.version == version => shown,
                // The rows do not go that far (a model that keeps no levels, say): the stream does.
                _ => {
                    fold(log, &stream, version, |state: &mut Level, event| {
                        if let Event::Stock(event) = event {
                            state.evolve(event);
                        }
                    })
                    .await?
                }
            };
            self.levels.entries.insert(stream, (batch, shown));
        }
        Ok(())
    }
}

fn level_key(stream: &StreamId) -> Vec<crate::value::Value> {
    let (location, sku) = stream::parse_stock(&stream.id)
        .map_or_else(Default::default, |(location, sku)| (String::from(location), String::from(sku)));
    vec![(&*stream.tenant).into(), sku.into(), location.into()]
}

fn level_row(stream: &StreamId, row: &Row) -> Result<Shown<Level>, Error> {
    Ok(Shown {
        tenant: Arc::clone(&stream.tenant),
        id: Arc::clone(&stream.id),
        version: row.count(0)?,
        position: row.count(1)?,
        first_at: row.int(2)?,
        last_at: row.int(3)?,
        state: Level {
            on_hand: row.units(4)?,
            reserved: row.units(5)?,
            backordered: row.units(6)?,
            safety_stock: row.units(7)?,
            backorder_limit: row.units(8)?,
        },
    })
}

/// Folds the first `version` events of a stream.
async fn fold<S: Default>(
    log: &dyn EventStore,
    stream: &StreamId,
    version: Version,
    evolve: impl Fn(&mut S, &Event),
) -> Result<Shown<S>, Error> {
    let mut shown = new(stream);
    while shown.version < version {
        let page = log.read_stream(stream, shown.version + 1, Direction::Forwards, PAGE).await?;
        if page.is_empty() {
            return Err(Error::Read(format!("the stream {stream} has no event {}", shown.version + 1)));
        }
        for record in page {
            if record.version > version {
                break;
            }
            let event = schemas::registry::decode(&record.kind, record.schema_version, &record.data)
                .map_err(|error| Error::Read(format!("{stream} version {}: {error}", record.version)))?;
            if !shown.step(&record) {
                return Err(Error::Read(format!("the stream {stream} has a hole before {}", record.version)));
            }
            evolve(&mut shown.state, &event);
        }
    }
    Ok(shown)
}
