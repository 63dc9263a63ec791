//! What became of a command: the body of `GET /v1/commands/{idempotency_key}`.

use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CommandBody {
    /// The key that it was sent with.
    pub idempotency_key: String,
    /// Its id.
    pub command_id: Uuid,
    /// What became of it.
    pub outcome: CommandOutcome,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<RefusalBody>,
    /// The streams that it wrote; if it wrote nothing, those that it was decided on.
    pub streams: Vec<CommandStream>,
    /// The position of its last event.
    #[schema(example = 4711)]
    pub position: u64,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandOutcome {
    /// It took effect.
    Done,
    /// It was already so.
    NothingToDo,
    /// It was refused.
    Refused,
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RefusalBody {
    /// The stable kebab-case code.
    #[schema(example = "out-of-stock")]
    pub code: String,
    /// For a person.
    pub detail: String,
    /// The numbers.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

/// A stream that a command wrote to, or was decided on if it wrote nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommandStream {
    /// The stream.
    #[schema(example = "order-0198c1a2-7b1e-7c44-9d4e-0b8f6a1c2d3e")]
    pub stream: String,
    /// Its version then.
    pub version: u64,
}
