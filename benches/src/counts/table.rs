//! The counts as a person reads them: a row for each count, a column for each side and kind of order.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Counted, Counts};

/// What every side that has a log is asked for; where a side has none of it, that is said.
const FIRST: &[&str] = &[
    "events",
    "batches",
    "log commits",
    "store reads",
    "read-model transactions",
    "read-model pages written",
    "statements",
    "messages",
    "bytes of events",
    "allocations",
];

pub(super) fn text(counted: &[Counted]) -> String {
    let mut columns: Vec<(String, &Counts)> = Vec::new();
    for of in counted {
        columns.push((format!("{} checkout", of.side.text()), &of.checkout));
        if let Some(fulfilled) = &of.fulfilled {
            columns.push((format!("{} fulfilled", of.side.text()), fulfilled));
        }
    }
    let mut table = comfy_table::Table::new();
    let header = ["per order".to_owned()].into_iter().chain(columns.iter().map(|(name, _)| name.clone()));
    table.load_preset(comfy_table::presets::NOTHING).set_header(header);
    let all: BTreeSet<&str> = columns.iter().flat_map(|(_, counts)| counts.each.keys().copied()).collect();
    let others = all.iter().copied().filter(|name| !FIRST.contains(name));
    for name in FIRST.iter().copied().chain(others) {
        let cells = columns.iter().map(|(_, counts)| {
            counts.each.get(name).map_or_else(|| "not available".to_owned(), |value| figure(*value))
        });
        table.add_row([name.to_owned()].into_iter().chain(cells));
    }
    let mut text = format!("{table}\n");
    for of in counted {
        let kinds = [("checkout", Some(&of.checkout)), ("fulfilled", of.fulfilled.as_ref())];
        for (kind, counts) in kinds.into_iter().filter_map(|(kind, counts)| Some((kind, counts?))) {
            if !counts.batches.is_empty() {
                // Writing to a text never fails.
                let _ = writeln!(text, "\n{} {kind}: {}", of.side.text(), counts.batches.join(" | "));
            }
        }
    }
    text
}

fn figure(value: f64) -> String {
    if value >= 1_000.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}
