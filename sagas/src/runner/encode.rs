//! What a saga decided, as the log has it.

use domain::Event;
use domain::saga::event;
use event_store::append::NewEvent;
use schemas::{Actor, Metadata};
use uuid::Uuid;

/// A saga's events as they are stored; `None` if one has no stored form.
pub(super) fn encode(events: &[event::Event], metadata: &bytes::Bytes) -> Option<Vec<NewEvent>> {
    let encode = |event: &event::Event| {
        let encoded = schemas::registry::encode(&Event::Saga(event.clone()));
        let encoded = encoded
            .inspect_err(|error| {
                tracing::error!(
                    %error,
                    "a saga's event cannot be encoded; see docs/operations.md, 'A saga needs a person'"
                )
            })
            .ok()?;
        Some(NewEvent {
            event_id: Uuid::now_v7(),
            kind: encoded.kind,
            schema_version: encoded.schema_version,
            data: encoded.data,
            metadata: metadata.clone(),
        })
    };
    events.iter().map(encode).collect()
}

/// The same append always has the same fingerprint, whatever the ids of its events.
pub(super) fn fingerprint(append_id: Uuid) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    fingerprint[..16].copy_from_slice(append_id.as_bytes());
    fingerprint[16..].copy_from_slice(append_id.as_bytes());
    fingerprint
}

/// The metadata: the actor, and the correlation.
pub(super) fn metadata(correlation: Uuid, causation: Uuid) -> Metadata {
    let actor = Actor { id: "sagas".into(), via: "saga".into(), on_behalf_of: None };
    let mut metadata = Metadata::new(actor, correlation);
    metadata.causation = Some(causation);
    metadata
}
