//! A bulk run: what it read, what it refused, and the credits that matched nothing.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{CustomerRef, ImportId, Sku};
use crate::money::Minor;

/// What to do with bad rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// One bad row and nothing is done.
    All,
    /// The other rows are done, and the bad ones reported (the default).
    #[default]
    Rows,
    /// As `rows`, and orders that are there already are passed over without comparing them.
    Skip,
}

/// `ImportStarted`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Started {
    /// The run; made from the content, so that the same file is the same run.
    pub import_id: ImportId,
    /// `retail`, `orders-csv` or `orders-ndjson`.
    pub layout: String,
    /// SHA-256 of the content, hexadecimal.
    pub sha256: String,
    /// What the caller calls it; a file name, say.
    pub source: String,
    /// What to do with bad rows.
    pub policy: Policy,
}

/// A row that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowRefusal {
    /// The row's line in the content, counted from 1, the header included.
    pub line: u64,
    /// A stable kebab-case code.
    pub code: String,
    /// What a person reads.
    pub reason: String,
}

/// `ImportRowsRefused`: some of the rows that were refused, at most a thousand an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowsRefused {
    /// Which part of the report this is, counted from 1. The same part takes effect once.
    pub part: u32,
    /// The rows.
    pub rows: Vec<RowRefusal>,
}

/// `CreditRecorded`: a credit that matches no sale; without stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreditRecorded {
    /// Row key; the same one takes effect once.
    pub row_key: String,
    /// The credit note's number.
    pub invoice: String,
    /// What was credited.
    pub sku: Sku,
    /// To whom.
    pub customer: Option<CustomerRef>,
    /// Units, at least 1.
    pub qty: u32,
    /// Its value in minor units.
    pub amount: Minor,
}

/// `ImportFinished`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finished {
    /// How many of what, by class.
    pub counts: BTreeMap<String, i64>,
}

/// A fact about a bulk run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Event {
    Started(Started),
    RowsRefused(RowsRefused),
    CreditRecorded(CreditRecorded),
    Finished(Finished),
}

/// A wish about a bulk run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Start it; again: nothing.
    Start(Started),
    /// Report refused rows.
    RefuseRows(RowsRefused),
    /// Record a credit that matches no sale.
    RecordCredit(CreditRecorded),
    /// Finish it; again with the same counts: nothing.
    Finish(Finished),
}
