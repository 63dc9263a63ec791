//! The metadata of each event: who, on whose behalf, because of what. It never contains anything that a decision or a
//! fold reads.

use bytes::Bytes;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Who: a person's or a service's id; no name and no address.
    pub id: String,
    /// How it came in: `http`, `saga`, `import`, `cli` …
    pub via: String,
    /// The party on whose behalf the actor acted, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
}

/// The part of the envelope that the caller supplies. Fields may be added; fields that this version does not know are
/// ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Who did it.
    pub actor: Actor,
    /// The order, return, reservation or run that the work belongs to.
    pub correlation: Uuid,
    /// The event or the command that led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<Uuid>,
    /// When it happened in the business's own time, where that is not the time of recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// The request that brought it, as the logs name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The trace that it is part of, W3C form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The saga that asked for it, as its stream is named: what it decides next is decided with the answer. A hint about the way,
    /// which may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saga: Option<String>,
    /// Of a saga's decision: the process that wrote it carries out what it asks for. A hint, which may be wrong: that process may end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub carried_out: bool,
}

/// Metadata that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the metadata is not well-formed")]
pub struct Malformed(#[source] serde_json::Error);

impl Metadata {
    /// The minimum: the actor and the correlation.
    #[must_use]
    pub fn new(actor: Actor, correlation: Uuid) -> Self {
        Self {
            actor,
            correlation,
            causation: None,
            occurred_at: None,
            request_id: None,
            traceparent: None,
            saga: None,
            carried_out: false,
        }
    }

    /// That of what a saga decides.
    #[must_use]
    pub fn of_saga(correlation: Uuid, causation: Uuid) -> Self {
        let actor = Actor { id: "sagas".into(), via: "saga".into(), on_behalf_of: None };
        Self { causation: Some(causation), ..Self::new(actor, correlation) }
    }

    /// The bytes that are stored.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        // Texts, ids and instants always have a JSON form, so there is nothing that this could fail with.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// If a field is missing or of another type.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        serde_json::from_slice(bytes).map_err(Malformed)
    }
}

/// The correlation of a record: the order or the reservation itself, otherwise the one in its metadata. All records
/// that one saga must see have the same correlation. Nil if neither can be read; such a record concerns no saga.
#[must_use]
pub fn correlation(category: &str, stream_id: &str, metadata: &[u8]) -> Uuid {
    #[derive(Deserialize)]
    struct Of {
        correlation: Uuid,
    }
    let own = match category {
        domain::stream::ORDER | domain::stream::RESERVATION => stream_id.parse().ok(),
        _ => None,
    };
    own.or_else(|| serde_json::from_slice::<Of>(metadata).ok().map(|of| of.correlation)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &str = r#"{"actor":{"id":"clerk-7","via":"http","on_behalf_of":"customer-9"},"correlation":"01890a5d-ac96-774b-bcce-b302099a8057","causation":"01890a5d-ac96-774b-bcce-b302099a8058","occurred_at":"2011-09-06T16:57:00.000000Z","request_id":"r-1","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#;

    #[test]
    fn stored_metadata_reads_and_writes_as_the_same_bytes() {
        let metadata = Metadata::decode(STORED.as_bytes()).expect("well-formed");
        assert_eq!(metadata.encode(), STORED.as_bytes());
    }

    #[test]
    fn what_is_not_given_is_not_written() {
        let actor = Actor { id: "saga".into(), via: "saga".into(), on_behalf_of: None };
        let metadata = Metadata::new(actor, Uuid::nil());
        assert_eq!(
            metadata.encode(),
            r#"{"actor":{"id":"saga","via":"saga"},"correlation":"00000000-0000-0000-0000-000000000000"}"#
        );
        assert_eq!(Metadata::decode(&metadata.encode()).expect("well-formed"), metadata);
    }

    #[test]
    fn fields_of_a_newer_version_are_passed_over_and_wrong_types_are_not() {
        let newer = STORED.replacen('{', r#"{"session":{"id":1},"#, 1);
        assert!(Metadata::decode(newer.as_bytes()).is_ok());
        for wrong in [
            STORED.replace(r#""correlation":"01890a5d"#, r#""correlation":"no"#),
            STORED.replace(r#""id":"clerk-7","#, ""),
            STORED.replace("2011-09-06T", "yesterday "),
            String::new(),
        ] {
            assert!(Metadata::decode(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
