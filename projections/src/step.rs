//! One micro-batch: facts in, row changes of each model out. Nothing is written and nothing is waited for here.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use domain::{Aggregate, Event};
use event_store::record::StreamId;

use crate::fact::Fact;
use crate::fold::Folds;
use crate::level::Level;
use crate::projection::{Projection, Rows, Shown, Tallies};
use crate::store::Change;

/// Why a batch cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The model that failed, `None` if it is what all models share that did.
    pub(crate) model: Option<&'static str>,
    /// The category of the stream at which it happened.
    pub(crate) category: Arc<str>,
    /// What happened.
    pub(crate) reason: String,
}

/// Folds facts and collects what the models make of them.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) folds: Folds,
    pub(crate) batch: u64,
    /// What was being done when a panic came.
    doing: Option<(Option<&'static str>, Arc<str>)>,
}

/// What was shown of a subject before the batch, for each model.
type Before = HashMap<StreamId, Vec<Rows>>;

impl Engine {
    pub(crate) fn new() -> Self {
        Self { folds: Folds::new(), batch: 0, doing: None }
    }

    /// The changes that these facts make to each model. After a failure the engine is of no more use.
    pub(crate) fn apply(
        &mut self,
        facts: &[Fact],
        models: &[Arc<dyn Projection>],
    ) -> Result<Vec<Vec<Change>>, Failure> {
        self.doing = None;
        let applied = catch_unwind(AssertUnwindSafe(|| self.run(facts, models)));
        applied.unwrap_or_else(|panic| {
            let (model, category) = self.doing.take().unwrap_or((None, "".into()));
            Err(Failure { model, category, reason: format!("panicked: {}", message(&*panic)) })
        })
    }

    fn run(&mut self, facts: &[Fact], models: &[Arc<dyn Projection>]) -> Result<Vec<Vec<Change>>, Failure> {
        self.batch += 1;
        let mut changes: Vec<Vec<Change>> = models.iter().map(|_| Vec::new()).collect();
        let mut touched = Vec::new();
        let mut before = Before::new();
        for fact in facts {
            let stream = &fact.record.stream;
            let folded = is_folded(fact, models);
            if folded && !before.contains_key(stream) {
                let shown = models.iter().map(|model| self.shown_before(&**model, stream)).collect();
                before.insert(stream.clone(), shown);
                touched.push(stream.clone());
            }
            self.doing = Some((None, Arc::clone(&stream.category)));
            let level = if folded { self.evolve(fact)? } else { None };
            for (model, changes) in models.iter().zip(&mut changes) {
                if model.wants(&stream.category) {
                    self.doing = Some((Some(model.spec().name), Arc::clone(&stream.category)));
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
                self.doing = Some((Some(models[at].spec().name), Arc::clone(&stream.category)));
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

    /// Moves the fact's subject past it; the stock level after it, if it is about stock.
    fn evolve(&mut self, fact: &Fact) -> Result<Option<Shown<Level>>, Failure> {
        let (record, batch) = (&fact.record, self.batch);
        let hole = |version| Failure {
            model: None,
            category: Arc::clone(&record.stream.category),
            reason: format!(
                "{} is at version {version} and its next event has version {}",
                record.stream, record.version
            ),
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
            Event::Reservation(_) | Event::Reference(_) | Event::Outcome(_) | Event::Import(_) | Event::Saga(_) => {}
        }
        Ok(None)
    }

    fn shown_before(&mut self, model: &dyn Projection, stream: &StreamId) -> Rows {
        if model.replaces() { Rows::default() } else { self.shown(model, stream) }
    }

    /// What a model shows of a subject; nothing before its first event.
    fn shown(&mut self, model: &dyn Projection, stream: &StreamId) -> Rows {
        let mut rows = Rows::default();
        if !model.folds(&stream.category) {
            return rows;
        }
        match &*stream.category {
            domain::stream::ORDER => {
                let shown = self.folds.orders.subject(stream, self.batch);
                if shown.version > 0 {
                    model.order(shown, &mut rows);
                }
            }
            domain::stream::PAYMENT => {
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

/// Whether the fact's subject is one that these models need folded.
fn is_folded(fact: &Fact, models: &[Arc<dyn Projection>]) -> bool {
    let category = &fact.record.stream.category;
    matches!(fact.event, Event::Order(_) | Event::Payment(_) | Event::Stock(_))
        && models.iter().any(|model| model.folds(category))
}

/// Changes of one kind to one table side by side, so that one prepared statement serves them all; the order of
/// what concerns one key stays.
fn in_order(changes: &mut [Change]) {
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
