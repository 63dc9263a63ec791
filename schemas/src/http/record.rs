//! Records of the log that cannot be read here, and setting one aside: a decision of an operator, on record with its reason.

use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::{Check, Invalid};

/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;

/// A record to be set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetAsideRecord {
    /// The reason, which the history of the stream shows.
    #[schema(
        min_length = 1,
        max_length = 500,
        example = "written by a build that was never released; the parcel was counted again"
    )]
    pub reason: String,
}

impl SetAsideRecord {
    /// The reason.
    ///
    /// # Errors
    /// If it is out of bounds.
    pub fn try_into_reason(self) -> Result<String, Invalid> {
        let mut check = Check::new();
        let reason = check.text("/reason", &self.reason, LONGEST_REASON);
        check.finish(reason)
    }
}

/// The state of a record that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordState {
    /// Its stream cannot be read from there on.
    Unreadable,
    /// It counts for nothing.
    SetAside,
}

/// A record that cannot be read, or could not when it was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordBody {
    /// Its place in the log.
    #[schema(example = 4711)]
    pub position: u64,
    /// The stream that it belongs to.
    #[schema(example = "order-0198c1a2-7b1e-7c44-9d4e-0b8f6a1c2d3e")]
    pub stream: String,
    /// Its place in the stream.
    #[schema(example = 7)]
    pub version: u64,
    /// Its stored type name.
    #[serde(rename = "type")]
    #[schema(example = "ShipmentRequested")]
    pub kind: String,
    /// Its state.
    pub state: RecordState,
    /// Why it cannot be read.
    pub unreadable: String,
    /// How it was set aside, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<SetAsideBody>,
}

/// How a record was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetAsideBody {
    /// Why, as the operator put it.
    pub reason: String,
    /// Who did it.
    pub actor: String,
    /// The position of the event that says so.
    #[schema(example = 4712)]
    pub position: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
}
