//! Bulk imports: the view of a run, and of the rows that it refused.

use std::collections::BTreeMap;

use domain::ids::ImportId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::mirror::mirror;

mirror! {
    /// What to do with bad rows: import nothing, import the others and report the bad ones, or the same without
    /// comparing orders that exist already.
    ImportPolicy of domain::import::Policy { All, Rows, Skip }
}

/// How the rows of an import are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImportLayout {
    /// The Online Retail layout: one row a line, invoices and credit notes.
    Retail,
    /// One row a line, our own columns.
    OrdersCsv,
    /// One order, or one receipt of stock, a line.
    OrdersNdjson,
}

/// How an import is run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportParams {
    /// How the rows are laid out; `orders-ndjson` by the content type if left out, or what the header of the CSV shows.
    #[serde(default)]
    #[param(inline)]
    pub layout: Option<ImportLayout>,
    /// What to do with bad rows; `rows` if left out.
    #[serde(default)]
    #[param(inline)]
    pub policy: Option<ImportPolicy>,
    /// The caller's name for the source, for example a file name.
    #[serde(default)]
    #[param(max_length = 200, example = "2010-12.csv")]
    pub source: Option<String>,
    /// Whether the content is only read, and nothing is done.
    #[serde(default)]
    pub dry_run: bool,
}

/// How far a bulk run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportStatus {
    /// It is running, or was interrupted and continues when the same content is sent again.
    Running,
    /// It is done.
    Finished,
}

/// A bulk run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportBody {
    /// The run; made from the content, so that the same file is the same run.
    #[schema(value_type = uuid::Uuid)]
    pub import_id: ImportId,
    /// How the rows are laid out.
    pub layout: String,
    /// SHA-256 of the content, hexadecimal.
    pub sha256: String,
    /// What the caller calls it.
    pub source: String,
    /// What to do with bad rows.
    pub policy: ImportPolicy,
    /// How far it is.
    pub status: ImportStatus,
    /// How many rows were refused until now.
    pub refused: u64,
    /// The counts by class; empty until it is done.
    pub counts: BTreeMap<String, i64>,
}

/// What content says, with `dry_run`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportPreview {
    /// The run that would import it.
    #[schema(value_type = uuid::Uuid)]
    pub import_id: ImportId,
    /// How the rows are laid out.
    pub layout: String,
    /// SHA-256 of the content, hexadecimal.
    pub sha256: String,
    /// The counts by class.
    pub counts: BTreeMap<String, i64>,
    /// The rows that would be refused for what they say, in the order of the content.
    pub refused: Vec<RefusedRow>,
}

/// The rows that a bulk run refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportErrorsBody {
    /// The run.
    #[schema(value_type = uuid::Uuid)]
    pub import_id: ImportId,
    /// The rows, in the order of the content.
    pub rows: Vec<RefusedRow>,
}

/// A row that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedRow {
    /// The row's line in the content, counted from 1, the header included.
    #[schema(example = 3)]
    pub line: u64,
    /// A stable kebab-case code.
    #[schema(example = "bad-field")]
    pub code: String,
    /// What a person reads.
    pub reason: String,
}

impl From<&domain::import::RowRefusal> for RefusedRow {
    fn from(row: &domain::import::RowRefusal) -> Self {
        Self { line: row.line, code: row.code.clone(), reason: row.reason.clone() }
    }
}
