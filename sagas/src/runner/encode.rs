//! What a saga decided, as the log has it.

use domain::saga::Decision;
use event_store::append::NewEvent;
use schemas::registry::StoredEvent;
use uuid::Uuid;

/// A saga's decision as it is stored; `None` if it has no stored form.
pub(super) fn encode(decision: &Decision, metadata: bytes::Bytes) -> Option<NewEvent> {
    let encoded = decision
        .encode()
        .inspect_err(|error| {
            tracing::error!(
                %error,
                "a saga's decision cannot be encoded; see docs/operations.md, 'A saga needs a person'"
            )
        })
        .ok()?;
    Some(NewEvent {
        event_id: Uuid::now_v7(),
        kind: encoded.kind,
        schema_version: encoded.schema_version,
        data: encoded.data,
        metadata,
    })
}

/// The same append always has the same fingerprint, whatever the id of its event.
pub(super) fn fingerprint(append_id: Uuid) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    fingerprint[..16].copy_from_slice(append_id.as_bytes());
    fingerprint[16..].copy_from_slice(append_id.as_bytes());
    fingerprint
}
