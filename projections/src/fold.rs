//! The folded subjects of a worker: a bounded cache. A missing subject is folded from its stream, or read from the rows
//! of its model; so losing the cache loses nothing, and nothing in it is ever saved.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use domain::order::Order;
use domain::payment::Payment;
use domain::{Aggregate, Event, stream};
use event_store::EventStore;
use event_store::record::{Record, StreamId, Version};
use streams::{Unreadable, Until};

use crate::level::Level;
use crate::projection::{Projection, Shown};
use crate::store::{Error, ReadStore, Statement};
use crate::value::Row;

/// How many orders and payments are kept: an order of 13 lines weighs some 8 KiB.
const MOST_SUBJECTS: usize = 8_192;
/// How many stock levels are kept; one weighs some 200 bytes.
const MOST_LEVELS: usize = 131_072;

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
    /// Applies the next record of the stream; returns whether it is the next one.
    #[must_use]
    pub(crate) fn step(&mut self, record: &Record) -> bool {
        let next = record.version == self.version + 1;
        if next {
            self.pass(record);
        }
        next
    }

    /// Takes the next record, with its event if it counts.
    fn take(&mut self, record: &Record, event: Option<&Event>, evolve: fn(&mut S, &Event)) {
        self.pass(record);
        if let Some(event) = event {
            evolve(&mut self.state, event);
        }
    }

    /// Advances to a record, which must be the next one.
    pub(crate) fn pass(&mut self, record: &Record) {
        if self.version == 0 {
            self.first_at = record.recorded_at;
        }
        self.version = record.version;
        self.position = record.position;
        self.last_at = record.recorded_at;
    }
}

/// All subjects at hand.
#[derive(Debug)]
pub(crate) struct Folds {
    pub(crate) orders: Cache<Order>,
    pub(crate) payments: Cache<Payment>,
    pub(crate) levels: Cache<Level>,
}

/// Subjects that a batch needs and that are not at hand, with the version before their first record in the batch; 0 for a
/// stream that begins in it.
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

    /// Adds the missing subject of a stream, which must be folded from this record on, to `absent`.
    pub(crate) fn need(&self, record: &Record, absent: &mut Absent) {
        let at_hand = match &*record.stream.category {
            stream::ORDER => self.orders.entries.contains_key(&record.stream),
            stream::PAYMENT => self.payments.entries.contains_key(&record.stream),
            stream::STOCK => self.levels.entries.contains_key(&record.stream),
            _ => true,
        };
        if !at_hand {
            // The first of its records in the batch counts: after a stream's very first event nothing of it is to be loaded.
            absent.0.entry(record.stream.clone()).or_insert(record.version - 1);
        }
    }

    /// Forgets a subject, which may have changed otherwise than by its next event.
    pub(crate) fn forget(&mut self, stream: &StreamId) {
        self.orders.entries.remove(stream);
        self.payments.entries.remove(stream);
        self.levels.entries.remove(stream);
    }

    /// Loads the subjects, and returns the streams of which an earlier record cannot be read (any longer). Stock levels
    /// come from the rows of the models that the worker writes, which are at the worker's position.
    pub(crate) async fn bring(
        &mut self,
        absent: Absent,
        log: &dyn EventStore,
        rows: &dyn ReadStore,
        models: &[Arc<dyn Projection>],
        level_suffix: &str,
        batch: u64,
    ) -> Result<Vec<Box<Unreadable>>, Error> {
        let (mut levels, mut unreadable) = (Vec::new(), Vec::new());
        for (stream, version) in absent.0.into_iter().filter(|(_, version)| *version > 0) {
            let brought = match &*stream.category {
                stream::ORDER => at(log, &stream, version, evolve_order).await.map(|shown| {
                    self.orders.entries.insert(stream, (batch, shown));
                }),
                stream::PAYMENT => at(log, &stream, version, evolve_payment).await.map(|shown| {
                    self.payments.entries.insert(stream, (batch, shown));
                }),
                _ => {
                    levels.push((stream, version));
                    Ok(())
                }
            };
            unreadable.extend(told(brought)?);
        }
        unreadable.extend(self.bring_levels(levels, log, rows, models, level_suffix, batch).await?);
        Ok(unreadable)
    }

    /// Puts a subject as it is at a version of its stream.
    pub(crate) async fn put(
        &mut self,
        log: &dyn EventStore,
        stream: &StreamId,
        version: Version,
        asides: &BTreeSet<Version>,
    ) -> Result<(), streams::Error> {
        let until = Until::Version(version);
        match &*stream.category {
            stream::ORDER => {
                let shown = with(log, stream, until, asides, evolve_order).await?;
                self.orders.entries.insert(stream.clone(), (0, shown));
            }
            stream::PAYMENT => {
                let shown = with(log, stream, until, asides, evolve_payment).await?;
                self.payments.entries.insert(stream.clone(), (0, shown));
            }
            stream::STOCK => {
                let shown = with(log, stream, until, asides, evolve_level).await?;
                self.levels.entries.insert(stream.clone(), (0, shown));
            }
            _ => {}
        }
        Ok(())
    }

    async fn bring_levels(
        &mut self,
        wanted: Vec<(StreamId, Version)>,
        log: &dyn EventStore,
        rows: &dyn ReadStore,
        models: &[Arc<dyn Projection>],
        suffix: &str,
        batch: u64,
    ) -> Result<Vec<Box<Unreadable>>, Error> {
        let mut unreadable = Vec::new();
        let kept = models.iter().find_map(|model| model.level());
        let mut found = Vec::new();
        if let Some(sql) = kept {
            let sql = sql.replace("{slot}", suffix);
            let statements = wanted.iter().map(|(stream, _)| Statement::new(sql.clone(), level_key(stream)));
            if !wanted.is_empty() {
                found = rows.read(statements.collect()).await?;
            }
        }
        for (place, (stream, version)) in wanted.into_iter().enumerate() {
            let row = found.get(place).and_then(|rows| rows.first());
            let shown = match row.map(|row| level_row(&stream, row)).transpose()? {
                Some(shown) if shown.version == version => Ok(shown),
                // The rows do not reach that version (for example, of a model without levels): the stream does.
                _ => at(log, &stream, version, evolve_level).await,
            };
            let brought = shown.map(|shown| {
                self.levels.entries.insert(stream, (batch, shown));
            });
            unreadable.extend(told(brought)?);
        }
        Ok(unreadable)
    }
}

/// What could not be read, if that is why it failed.
fn told(brought: Result<(), streams::Error>) -> Result<Option<Box<Unreadable>>, Error> {
    match brought {
        Ok(()) => Ok(None),
        Err(streams::Error::Unreadable(unreadable)) => Ok(Some(unreadable)),
        Err(streams::Error::Store(error)) => Err(error.into()),
    }
}

fn evolve_order(state: &mut Order, event: &Event) {
    if let Event::Order(event) = event {
        state.evolve(event);
    }
}

fn evolve_payment(state: &mut Payment, event: &Event) {
    if let Event::Payment(event) = event {
        state.evolve(event);
    }
}

fn evolve_level(state: &mut Level, event: &Event) {
    if let Event::Stock(event) = event {
        state.evolve(event);
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

/// The first `version` events of a stream folded, as it was known to be readable then.
async fn at<S: Default>(
    log: &dyn EventStore,
    stream: &StreamId,
    version: Version,
    evolve: fn(&mut S, &Event),
) -> Result<Shown<S>, streams::Error> {
    let until = Until::Version(version);
    streams::fold_here(log, stream, until, || new(stream), |shown, record, event| shown.take(record, event, evolve))
        .await
}

/// The same, with known set-aside records. A record that only a later record sets aside still counts.
async fn with<S: Default>(
    log: &dyn EventStore,
    stream: &StreamId,
    until: Until,
    asides: &BTreeSet<Version>,
    evolve: fn(&mut S, &Event),
) -> Result<Shown<S>, streams::Error> {
    let step = |shown: &mut Shown<S>, record: &Record, event: Option<&Event>| shown.take(record, event, evolve);
    streams::fold_knowing(log, stream, until, asides, || new(stream), step).await
}
