//! One micro-batch: facts in, row changes of each model out. Nothing is written and nothing is waited for here.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use domain::{Aggregate, Event, stream};
use event_store::record::{Record, StreamId, Version};

use crate::fact::Step;
use crate::fold::Folds;
use crate::held;
use crate::level::Level;
use crate::projection::{Projection, Rows, Shown, Tallies};
use crate::repost::Following;
use crate::store::Change;

/// Why a batch cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The model that failed, `None` if the shared part failed.
    pub(crate) model: Option<&'static str>,
    /// What happened.
    pub(crate) reason: String,
}

/// Folds events and collects the changes of the models.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) folds: Folds,
    pub(crate) batch: u64,
    /// The held streams of each model, in their order: prepared changes may be ahead of committed ones.
    pub(crate) held: Vec<held::All>,
    /// The record for whose sake held streams are being read on, if there is one.
    pub(crate) following: Option<Box<Following>>,
    /// The model that was at work when a panic came.
    doing: Option<&'static str>,
}

/// The rows of a subject before the batch, for each model that does not hold it.
type Before = HashMap<StreamId, Vec<Option<Rows>>>;

impl Engine {
    /// For this many models, with the held streams of each.
    pub(crate) fn new(held: Vec<held::All>) -> Self {
        Self { folds: Folds::new(), batch: 0, held, following: None, doing: None }
    }

    /// Whether a model does not show a record, since it holds the record's stream.
    pub(crate) fn skips(&self, model: usize, record: &Record) -> bool {
        let held = self.held.get(model).filter(|held| !held.is_empty());
        held.and_then(|held| held.get(&record.stream)).is_some_and(|held| held.covers(record))
    }

    /// Whether some model needs the subject of a record folded.
    pub(crate) fn folds_for(&self, record: &Record, models: &[Arc<dyn Projection>]) -> bool {
        let category = &*record.stream.category;
        matches!(category, stream::ORDER | stream::PAYMENT | stream::STOCK)
            && models.iter().enumerate().any(|(at, model)| model.folds(category) && !self.skips(at, record))
    }

    /// The changes of these steps for each model. After a failure the engine is unusable.
    pub(crate) fn apply(
        &mut self,
        steps: &[Step],
        models: &[Arc<dyn Projection>],
    ) -> Result<Vec<Vec<Change>>, Failure> {
        self.doing = None;
        let applied = catch_unwind(AssertUnwindSafe(|| self.run(steps, models)));
        applied.unwrap_or_else(|panic| {
            Err(Failure { model: self.doing.take(), reason: format!("panicked: {}", message(&*panic)) })
        })
    }

    fn run(&mut self, steps: &[Step], models: &[Arc<dyn Projection>]) -> Result<Vec<Vec<Change>>, Failure> {
        self.batch += 1;
        let mut changes: Vec<Vec<Change>> = models.iter().map(|_| Vec::new()).collect();
        let mut touched = Vec::new();
        let mut before = Before::new();
        for step in steps {
            let record = step.record();
            let stream = &record.stream;
            let folded = self.folds_for(record, models);
            if folded && !before.contains_key(stream) {
                let shown = |(at, model): (usize, &Arc<dyn Projection>)| {
                    (!self.skips(at, record)).then(|| self.shown_before(&**model, stream))
                };
                let shown = models.iter().enumerate().map(shown).collect();
                before.insert(stream.clone(), shown);
                touched.push(stream.clone());
            }
            self.doing = None;
            let level = if folded { self.evolve(step)? } else { None };
            let Step::Happened(fact) = step else {
                continue;
            };
            for (at, (model, changes)) in models.iter().zip(&mut changes).enumerate() {
                if model.wants(&stream.category) && !self.skips(at, record) {
                    self.doing = Some(model.spec().name);
                    let mut rows = Rows::default();
                    model.record(fact, level.as_ref(), &mut rows);
                    rows.added(changes);
                }
            }
        }
        let mut tallies: Vec<Tallies> = models.iter().map(|_| Tallies::default()).collect();
        for stream in touched {
            let was = before.remove(&stream).unwrap_or_default();
            for (at, was) in was.into_iter().enumerate() {
                let Some(was) = was else {
                    continue;
                };
                self.doing = Some(models[at].spec().name);
                let is = self.shown(&*models[at], &stream);
                is.instead_of(was, &mut changes[at], &mut tallies[at]);
            }
        }
        for (tallies, changes) in tallies.into_iter().zip(&mut changes) {
            tallies.into_changes(changes);
            in_order(changes);
        }
        self.folds.shrink(self.batch);
        Ok(changes)
    }

    /// Applies a step to its subject; returns the stock level after it, if it is an event of stock.
    fn evolve(&mut self, step: &Step) -> Result<Option<Shown<Level>>, Failure> {
        let (record, batch) = (step.record(), self.batch);
        let hole = |version| Failure {
            model: None,
            reason: format!(
                "{} is at version {version} and its next event has version {}",
                record.stream, record.version
            ),
        };
        let Step::Happened(fact) = step else {
            return self.pass(record).map_err(hole);
        };
        match &fact.event {
            Event::Order(event) => {
                let shown = self.folds.orders.subject(&record.stream, batch);
                if !shown.step(record) {
                    return Err(hole(shown.version));
                }
                shown.state.evolve(event);
            }
            Event::Payment(event) => {
                let shown = self.folds.payments.subject(&record.stream, batch);
                if !shown.step(record) {
                    return Err(hole(shown.version));
                }
                shown.state.evolve(event);
            }
            Event::Stock(event) => {
                let shown = self.folds.levels.subject(&record.stream, batch);
                if !shown.step(record) {
                    return Err(hole(shown.version));
                }
                shown.state.evolve(event);
                return Ok(Some(shown.clone()));
            }
            Event::Record(_) => return self.pass(record).map_err(hole),
            Event::Reservation(_) | Event::Reference(_) | Event::Outcome(_) | Event::Import(_) | Event::Saga(_) => {}
        }
        Ok(None)
    }

    /// Moves a record's subject past it without changing it. `Err`: it is not the next one after that version.
    fn pass(&mut self, record: &Record) -> Result<Option<Shown<Level>>, Version> {
        let (stream, batch) = (&record.stream, self.batch);
        fn step<S: Clone>(shown: &mut Shown<S>, record: &Record) -> Result<Shown<S>, Version> {
            if shown.step(record) { Ok(shown.clone()) } else { Err(shown.version) }
        }
        match &*stream.category {
            stream::ORDER => step(self.folds.orders.subject(stream, batch), record).map(|_| None),
            stream::PAYMENT => step(self.folds.payments.subject(stream, batch), record).map(|_| None),
            stream::STOCK => step(self.folds.levels.subject(stream, batch), record).map(Some),
            _ => Ok(None),
        }
    }

    fn shown_before(&mut self, model: &dyn Projection, stream: &StreamId) -> Rows {
        if model.replaces() { Rows::default() } else { self.shown(model, stream) }
    }

    /// What a model shows of a subject; nothing before its first event.
    pub(crate) fn shown(&mut self, model: &dyn Projection, stream: &StreamId) -> Rows {
        let mut rows = Rows::default();
        if !model.folds(&stream.category) {
            return rows;
        }
        match &*stream.category {
            stream::ORDER => {
                let shown = self.folds.orders.subject(stream, self.batch);
                if shown.version > 0 {
                    model.order(shown, &mut rows);
                }
            }
            stream::PAYMENT => {
                let shown = self.folds.payments.subject(stream, self.batch);
                if shown.version > 0 {
                    model.payment(shown, &mut rows);
                }
            }
            _ => {
                let shown = self.folds.levels.subject(stream, self.batch);
                if shown.version > 0 {
                    model.stock(shown, &mut rows);
                }
            }
        }
        rows
    }
}

/// Changes of one kind to one table side by side, so that one prepared statement serves them all; the order of
/// what concerns one key stays.
pub(crate) fn in_order(changes: &mut [Change]) {
    changes.sort_by(|a, b| place(a).cmp(&place(b)));
}

fn place(change: &Change) -> (bool, &'static str, &[crate::value::Value]) {
    match change {
        Change::Put(table, row) => (true, table.name, &row[..table.key]),
        Change::Remove(table, key) => (false, table.name, key),
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
