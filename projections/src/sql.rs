//! Definitions in SQL that both databases accept. It reads and writes no rows.

use std::fmt::Write as _;

use crate::store::Slot;
use crate::value::{Shape, Spec, Table};

/// A table's name in the database.
pub(crate) fn physical(table: &Table, slot: Slot) -> String {
    format!("{}{}", table.name, slot.suffix())
}

/// Drops a model's tables.
pub(crate) fn drop(spec: &Spec, slot: Slot) -> String {
    spec.tables.iter().fold(String::new(), |mut sql, table| {
        let _ = write!(sql, "DROP TABLE IF EXISTS {};", physical(table, slot));
        sql
    })
}

/// Puts the tables of the next slot in the place of the live ones.
pub(crate) fn take_over(spec: &Spec) -> String {
    spec.tables.iter().fold(String::new(), |mut sql, table| {
        let (live, next) = (physical(table, Slot::Live), physical(table, Slot::Next));
        let _ = write!(sql, "DROP TABLE IF EXISTS {live}; ALTER TABLE {next} RENAME TO {live};");
        sql
    })
}

/// The clause for a row whose key exists already.
pub(crate) fn clash(table: &Table, slot: Slot) -> String {
    let name = physical(table, slot);
    let set: Vec<_> = table.columns[table.key..]
        .iter()
        .map(|column| match table.shape {
            Shape::Rows => format!("{0} = excluded.{0}", column.name),
            Shape::Tally => format!("{0} = {name}.{0} + excluded.{0}", column.name),
        })
        .collect();
    if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", set.join(", ")) }
}
