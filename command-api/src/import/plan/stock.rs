//! The stock movements before any order: receipts of the content, simulated opening stock so that no sale lacks units,
//! and corrections in business-time order. Opening stock covers every sale and every downward correction, so the order
//! in which sales arrive does not matter.

use std::collections::BTreeMap;

use domain::ids::{LocationId, Sku};
use domain::time::Timestamp;

use super::Options;
use crate::import::content::Content;
use crate::import::keys::RowKey;

/// The most units of one receipt.
const MOST_UNITS: u64 = 1_000_000;

/// What happens to the stock of a SKU at a location, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockPlan {
    /// Where.
    pub location: LocationId,
    /// What.
    pub sku: Sku,
    /// The steps.
    pub steps: Vec<StockStep>,
}

/// One thing that happens to stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StockStep {
    /// Units come in.
    Receive {
        /// The command's idempotency key.
        key: String,
        /// The line of the file; 0 for stock that the import made up.
        line: u64,
        /// When, in business time.
        at: Option<Timestamp>,
        /// Units.
        qty: u32,
        /// The delivery that they came with.
        source_ref: Option<String>,
    },
    /// The book is corrected.
    Adjust {
        /// The command's idempotency key.
        key: String,
        /// The line of the file.
        line: u64,
        /// When, in business time.
        at: Timestamp,
        /// Units more, or fewer.
        delta: i64,
        /// The clerk's note.
        reason: String,
    },
}

pub(super) fn plan(content: &Content, sha256: &str, options: &Options, simulated: bool) -> Vec<StockPlan> {
    let mut plans: BTreeMap<(LocationId, Sku), Vec<StockStep>> = BTreeMap::new();
    let at = |location: &Option<LocationId>| location.clone().unwrap_or_else(|| options.location.clone());
    for receipt in &content.receipts {
        plans.entry((at(&receipt.location), receipt.sku.clone())).or_default().push(StockStep::Receive {
            key: options.origin.row_key(&receipt.key, ""),
            line: receipt.line,
            at: receipt.at,
            qty: receipt.qty,
            source_ref: receipt.source_ref.clone(),
        });
    }
    if simulated {
        for ((location, sku), units) in opening(content, options) {
            let name = format!("opening-stock/{sha256}/{location}/{sku}");
            let steps = open(name, units, content, options);
            plans.entry((location, sku)).or_default().extend(steps);
        }
    }
    let mut corrections: Vec<_> = content.corrections.iter().collect();
    corrections.sort_by_key(|correction| (correction.at, correction.line));
    for correction in corrections {
        plans.entry((options.location.clone(), correction.sku.clone())).or_default().push(StockStep::Adjust {
            key: options.origin.row_key(&correction.key, ""),
            line: correction.line,
            at: correction.at,
            delta: correction.delta,
            reason: correction.reason.clone(),
        });
    }
    plans.into_iter().map(|((location, sku), steps)| StockPlan { location, sku, steps }).collect()
}

/// How much stock there has to be before the first row, by SKU.
fn opening(content: &Content, options: &Options) -> BTreeMap<(LocationId, Sku), u64> {
    let mut units: BTreeMap<(LocationId, Sku), u64> = BTreeMap::new();
    for sale in &content.sales {
        let location = sale.location.as_ref().unwrap_or(&options.location);
        for line in sale.lines.iter().filter(|line| line.stocked) {
            *units.entry((location.clone(), line.sku.clone())).or_default() += u64::from(line.qty);
        }
    }
    for correction in content.corrections.iter().filter(|correction| correction.delta < 0) {
        let entry = units.entry((options.location.clone(), correction.sku.clone())).or_default();
        *entry += correction.delta.unsigned_abs();
    }
    units
}

fn open(name: String, units: u64, content: &Content, options: &Options) -> Vec<StockStep> {
    let sales = content.sales.iter().map(|sale| sale.at);
    let first = sales.chain(content.corrections.iter().map(|row| row.at)).min();
    let mut key = RowKey { invoice: name, ordinal: 0 };
    let mut steps = Vec::new();
    let mut left = units;
    while left > 0 {
        let qty = left.min(MOST_UNITS);
        left -= qty;
        key.ordinal += 1;
        steps.push(StockStep::Receive {
            key: options.origin.row_key(&key, ""),
            line: 0,
            at: first,
            qty: u32::try_from(qty).unwrap_or(u32::MAX),
            source_ref: Some("simulated opening stock".to_owned()),
        });
    }
    steps
}
