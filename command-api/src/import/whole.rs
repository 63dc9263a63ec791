//! An order is taken with all of its rows or not at all: one row that is refused refuses the others of its order, each by its line. The
//! corrected file then places it.

use std::collections::{BTreeMap, BTreeSet};

use domain::import::RowRefusal;

use super::content::refusal;

/// A row that is refused.
pub(super) struct Bad {
    pub(super) line: u64,
    pub(super) code: &'static str,
    pub(super) reason: String,
    /// What is known of the order that it belongs to.
    pub(super) of: Of,
}

/// Whose row it is.
pub(super) enum Of {
    /// That order's.
    Order(String),
    /// No order's.
    Nobody,
    /// The number of its order is not known. It may be any of these, which stand in the row, or that of a row beside it.
    Unknown(Vec<String>),
}

/// The code of rows that have no fault of their own.
const WITH_ITS_ORDER: &str = "order-refused";

/// Takes out the rows of orders of which a row is refused. Rows are in the order of the file, `name` tells the number of a row's order.
pub(super) fn keep_whole<R>(
    rows: Vec<(u64, R)>,
    bad: Vec<Bad>,
    name: impl Fn(&R) -> &str,
) -> (Vec<(u64, R)>, Vec<RowRefusal>) {
    let spoilt = spoilt(&rows, &bad, &name);
    let mut refused: Vec<RowRefusal> = bad.into_iter().map(|row| refusal(row.line, row.code, row.reason)).collect();
    let mut kept = Vec::with_capacity(rows.len());
    for (line, row) in rows {
        match spoilt.get(name(&row)) {
            None => kept.push((line, row)),
            Some(first) => refused.push(with_its_order(line, *first)),
        }
    }
    refused.sort_by_key(|row| row.line);
    (kept, refused)
}

/// A row without a fault, refused since another row of its order is.
pub(super) fn with_its_order(line: u64, bad: u64) -> RowRefusal {
    let reason = format!("the row on line {bad} is refused, and an order is taken with all of its rows or not at all");
    refusal(line, WITH_ITS_ORDER, reason)
}

/// The orders that are not whole, each with the first line that is refused.
fn spoilt<'r, R>(rows: &'r [(u64, R)], bad: &[Bad], name: impl Fn(&'r R) -> &'r str) -> BTreeMap<String, u64> {
    let mut spoilt: BTreeMap<String, u64> = BTreeMap::new();
    // Every row whose order is known, those that are refused included: they stand beside others as well.
    let own = bad.iter().filter_map(|row| match &row.of {
        Of::Order(order) => Some((row.line, order.as_str())),
        _ => None,
    });
    let mut known: Vec<(u64, &str)> = rows.iter().map(|(line, row)| (*line, name(row))).chain(own).collect();
    known.sort_unstable();
    let names: BTreeSet<&str> = known.iter().map(|(_, order)| *order).collect();
    let mut spoil = |order: &str, line: u64| {
        let first = spoilt.entry(order.to_owned()).or_insert(line);
        *first = line.min(*first);
    };
    for row in bad {
        match &row.of {
            Of::Nobody => {}
            Of::Order(order) => spoil(order, row.line),
            Of::Unknown(texts) => {
                for text in texts.iter().filter(|text| names.contains(text.as_str())) {
                    spoil(text, row.line);
                }
                let after = known.partition_point(|(line, _)| *line < row.line);
                let beside = after.checked_sub(1).into_iter().chain([after]);
                for (_, neighbour) in beside.filter_map(|n| known.get(n)) {
                    spoil(neighbour, row.line);
                }
            }
        }
    }
    spoilt
}
