//! The trait of a read model: its declaration, and its rows for an event or a folded subject. Pure and total: the same
//! functions serve the live model and its rebuild, and none of them reads a clock, a store or its own rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::order::Order;
use domain::payment::Payment;
use event_store::record::{Micros, Position, Version};

use crate::fact::Fact;
use crate::level::Level;
use crate::store::Change;
use crate::value::{Shape, Spec, Table, Value};

/// A subject after an event of its stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown<S> {
    /// Whose it is.
    pub tenant: Arc<str>,
    /// Its stream's id.
    pub id: Arc<str>,
    /// Its stream's version.
    pub version: Version,
    /// The position of the event that has that version.
    pub position: Position,
    /// When its first event was recorded.
    pub first_at: Micros,
    /// When the event of that version was recorded.
    pub last_at: Micros,
    /// Where it stands.
    pub state: S,
}

/// A read model.
pub trait Projection: Send + Sync + 'static {
    /// Its declaration.
    fn spec(&self) -> &'static Spec;

    /// Whether events of streams of a category matter to it.
    fn wants(&self, category: &str) -> bool;

    /// Whether it needs the subjects of that category folded; a model that only lists events does not.
    fn folds(&self, category: &str) -> bool {
        self.wants(category)
    }

    /// The rows that an event itself adds. `level` is the stock's level after it, if it is an event of stock.
    fn record(&self, _fact: &Fact, _level: Option<&Shown<Level>>, _rows: &mut Rows) {}

    /// The rows that show an order.
    fn order(&self, _order: &Shown<Order>, _rows: &mut Rows) {}

    /// The rows that show a payment.
    fn payment(&self, _payment: &Shown<Payment>, _rows: &mut Rows) {}

    /// The rows that show the stock of a SKU at a location.
    fn stock(&self, _stock: &Shown<Level>, _rows: &mut Rows) {}

    /// Whether every subject always has the same row keys, so that new rows simply replace the old ones and the old
    /// ones need not be computed again for a comparison.
    fn replaces(&self) -> bool {
        false
    }

    /// SQL that finds the level of a SKU at a location in the rows: tenant, SKU and location in; version, position, first_at,
    /// last_at, on_hand, reserved, backordered, safety_stock, backorder_limit out.
    fn level(&self) -> Option<&'static str> {
        None
    }
}

/// Rows that a read model wants to be there.
#[derive(Debug, Default)]
pub struct Rows {
    rows: Vec<(&'static Table, Vec<Value>)>,
}

impl Rows {
    /// A row. In a table of tallies its last column is how much the subject adds to its key.
    pub fn put(&mut self, table: &'static Table, row: Vec<Value>) {
        debug_assert_eq!(row.len(), table.columns.len(), "a row of {}", table.name);
        self.rows.push((table, row));
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The changes that add these rows.
    pub(crate) fn added(self, changes: &mut Vec<Change>) {
        changes.extend(self.rows.into_iter().map(|(table, row)| Change::Put(table, row)));
    }

    /// The changes that take these rows away.
    pub(crate) fn removed(self, changes: &mut Vec<Change>) {
        changes.extend(self.rows.into_iter().map(|(table, mut row)| {
            row.truncate(table.key);
            Change::Remove(table, row)
        }));
    }

    /// The changes from the earlier rows of a subject to these rows, and the changes of the tallies.
    pub(crate) fn instead_of(self, before: Self, changes: &mut Vec<Change>, tallies: &mut Tallies) {
        let mut old = BTreeMap::new();
        for (table, row) in before.rows {
            match table.shape {
                Shape::Tally => tallies.add(table, row, -1),
                Shape::Rows => {
                    old.insert((table.name, row[..table.key].to_vec()), (table, row));
                }
            }
        }
        for (table, row) in self.rows {
            match table.shape {
                Shape::Tally => tallies.add(table, row, 1),
                Shape::Rows => {
                    let was = old.remove(&(table.name, row[..table.key].to_vec()));
                    if was.is_none_or(|(_, was)| was != row) {
                        changes.push(Change::Put(table, row));
                    }
                }
            }
        }
        changes.extend(old.into_values().map(|(table, mut row)| {
            row.truncate(table.key);
            Change::Remove(table, row)
        }));
    }
}

/// What a batch adds to tallies, summed by key.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    sums: BTreeMap<(&'static str, Vec<Value>), (&'static Table, i64)>,
}

impl Tallies {
    fn add(&mut self, table: &'static Table, mut row: Vec<Value>, sign: i64) {
        if let Some(Value::Int(delta)) = row.pop() {
            self.sums.entry((table.name, row)).or_insert((table, 0)).1 += sign * delta;
        }
    }

    /// The changes that they make; sums of nothing are left out.
    pub(crate) fn into_changes(self, changes: &mut Vec<Change>) {
        for ((_, mut row), (table, sum)) in self.sums {
            if sum != 0 {
                row.push(Value::Int(sum));
                changes.push(Change::Put(table, row));
            }
        }
    }
}
