//! What the process says of itself.

use serde::{Deserialize, Serialize};

use super::concern::concern;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

concern! {
    /// What the process says of itself. Logs go to standard error; metrics are at /metrics.
    Telemetry {
        /// Which log lines are written, as `tracing` filters them: `info`, `info,sagas=debug` …
        log: String = "info".to_owned(),
        /// How they are written: `text` or `json`.
        format: Format = Format::Text,
    }
}
