//! Records of the log as such: an operator sets aside a record that cannot be read, so that its stream can be read
//! again. This applies to streams of every category, and is handled where streams are read, never by an aggregate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `RecordSetAside`: an earlier record of the same stream, which could not be read, counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetAside {
    /// The position of that record.
    pub position: u64,
    /// Its version in the stream.
    pub version: u64,
    /// Its stored type name.
    pub kind: String,
    /// Why it could not be read.
    pub unreadable: String,
    /// Why it was set aside, as the operator put it.
    pub reason: String,
}

/// A fact about a record of the stream that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Event {
    SetAside(SetAside),
}
