//! Logs and metrics of the process.

use serde::{Deserialize, Serialize};

use super::Error;
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
    /// Logs and metrics of the process. Logs go to standard error; metrics are at /metrics.
    Telemetry {
        /// Which log lines are written, as a filter of `tracing`: `info`, `info,sagas=debug` …
        log: String = "info".to_owned(),
        /// The format of log lines: `text` or `json`.
        format: Format = Format::Text,
    }
}

impl Telemetry {
    pub(super) fn check(&self) -> Result<(), Error> {
        let why = |error| format!("`{}` is not a filter such as `info` or `info,sagas=debug`: {error}", self.log);
        let read = tracing_subscriber::EnvFilter::try_new(&self.log);
        read.map(drop).map_err(|error| Error::Value { key: "telemetry.log", why: why(error) })
    }
}
