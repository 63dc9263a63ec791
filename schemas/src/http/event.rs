//! Events on the wire: in a history, in the answer to a stale `If-Match`, in a dry run. The payload is the stored one without the
//! tokens of means of payment.

use domain::instrument::MASK;
use domain::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// An event. In a dry run it has no position, no id and no time, since it was not written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventBody {
    /// Its place in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 4711)]
    pub position: Option<u64>,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<Uuid>,
    /// The stream that it belongs to.
    #[schema(example = "order-0198c1a2-7b1e-7c44-9d4e-0b8f6a1c2d3e")]
    pub stream: String,
    /// Its place in the stream.
    #[schema(example = 7)]
    pub version: u64,
    /// What happened.
    #[serde(rename = "type")]
    #[schema(example = "ShipmentRequested")]
    pub kind: String,
    /// The version of the type's schema.
    #[schema(example = 1)]
    pub schema_version: u32,
    /// The event's data; null if the stored data is not JSON.
    #[schema(value_type = Option<Object>)]
    pub data: Payload,
    /// Why it cannot be read here, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// When it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub recorded_at: Option<Timestamp>,
    /// When it happened in the business's own time, where that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub occurred_at: Option<Timestamp>,
    /// The actor, the channel, and the party acted for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub actor: Option<Value>,
    /// The command whose batch wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<Uuid>,
    /// What the work belongs to: the order, the return, the import.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// What caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<String>,
}

impl EventBody {
    /// An event that would be written: it has no place in the log yet.
    #[must_use]
    pub fn planned(stream: String, version: u64, kind: String, schema_version: u32, data: Payload) -> Self {
        Self {
            position: None,
            event_id: None,
            stream,
            version,
            kind,
            schema_version,
            data,
            unreadable: None,
            recorded_at: None,
            occurred_at: None,
            actor: None,
            command_id: None,
            correlation: None,
            causation: None,
        }
    }
}

/// The payload of an event as it is shown: all that is stored, but for tokens of means of payment, which are never shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Payload(Value);

/// A payload never contains a token, however it is created.
impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        mask(&mut value);
        Ok(Self(value))
    }
}

impl Payload {
    /// The view of a stored payload.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn shown(stored: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(stored)
    }

    /// The view of a stored payload that may be damaged; empty if it is not JSON.
    #[must_use]
    pub fn readable(stored: &[u8]) -> Self {
        Self::shown(stored).unwrap_or(Self(Value::Null))
    }

    /// The fields.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.0
    }
}

/// At any place: an order's terms, an authorisation, the input of a saga.
fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(token) if name == "instrument" && !token.is_empty() => MASK.clone_into(token),
                    field => mask(field),
                }
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(mask),
        _ => {}
    }
}

/// What a command would have written. Nothing is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DryRunBody {
    /// Always true.
    pub dry_run: bool,
    /// The events, stream by stream; none if it is already so.
    pub events: Vec<EventBody>,
}

impl DryRunBody {
    /// What would have been written.
    #[must_use]
    pub fn new(events: Vec<EventBody>) -> Self {
        Self { dry_run: true, events }
    }
}
