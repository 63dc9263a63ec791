//! Answers to commands that were not refused. Their content comes from the state at the versions of the commit, never
//! from later ones, so that a repetition gets the same bytes.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, LOCATION};
use axum::response::{IntoResponse, Response};
use domain::ids::Tenant;
use domain::stream::StreamName;
use domain::time::Timestamp;
use event_store::record::Record;
use event_store::{Direction, EventStore};
use schemas::Metadata;
use schemas::http::event::{DryRunBody, EventBody, Payload};
use serde::Serialize;
use serde_json::Value;

use crate::execute::{Done, Error, Planned, stream_id};

/// The position in the log that an answer shows.
pub const POSITION: HeaderName = HeaderName::from_static("daybook-position");
/// Marks a repeated answer.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Says which preferences were followed.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The most events that the answer to a stale `If-Match` carries; the rest is read from the resource's history.
const MOST_EVENTS: u64 = 200;

/// The version and position of an answer, and whether it is a repetition.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) version: Option<u64>,
    pub(super) position: Option<u64>,
    pub(super) location: Option<String>,
    pub(super) replayed: bool,
    pub(super) waited: Option<u64>,
}

impl Place {
    /// The version and position of a command's answer about one of its streams.
    pub(super) fn of(done: &Done, stream: &StreamName) -> Self {
        Self {
            version: done.version(stream).filter(|version| *version > 0),
            position: Some(done.position),
            replayed: done.replayed,
            ..Self::default()
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    place: Place,
}

impl Answer {
    /// With a body.
    pub(super) fn new(status: StatusCode, body: &impl Serialize, place: Place) -> Result<Self, serde_json::Error> {
        let body = serde_json::to_vec(body)?;
        Ok(Self { status, body, place })
    }

    /// What a dry run would write.
    pub(super) fn dry_run(done: &Done) -> Result<Self, serde_json::Error> {
        let events = done.events.iter().map(planned).collect::<Result<_, _>>()?;
        Self::new(StatusCode::OK, &DryRunBody::new(events), Place::default())
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        let into = response.headers_mut();
        into.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers(into, &self.place);
        response
    }
}

/// Writes the headers with the version and the position of an answer.
pub(super) fn headers(into: &mut HeaderMap, place: &Place) {
    if let Some(version) = place.version {
        text(into, ETAG, &format!("\"v{version}\""));
    }
    if let Some(position) = place.position {
        into.insert(POSITION, HeaderValue::from(position));
    }
    if let Some(location) = &place.location {
        text(into, LOCATION, location);
    }
    if let Some(seconds) = place.waited {
        text(into, PREFERENCE_APPLIED, &format!("wait={seconds}"));
    }
    if place.replayed {
        into.insert(REPLAYED, HeaderValue::from_static("true"));
    }
}

fn text(into: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        into.insert(name, value);
    }
}

fn planned(event: &Planned) -> Result<EventBody, serde_json::Error> {
    let stream = format!("{}-{}", event.stream.category, event.stream.id);
    let data = Payload::shown(&event.data)?;
    Ok(EventBody::planned(stream, event.version, event.kind.to_string(), event.schema_version, data))
}

fn recorded(record: &Record) -> EventBody {
    let metadata = Metadata::decode(&record.metadata).ok();
    EventBody {
        position: Some(record.position),
        event_id: Some(record.event_id),
        stream: record.stream.to_string(),
        version: record.version,
        kind: record.kind.to_string(),
        schema_version: record.schema_version,
        data: Payload::readable(&record.data),
        unreadable: streams::decode(record).err().map(|unreadable| unreadable.reason),
        recorded_at: Some(Timestamp::from_micros(record.recorded_at)),
        occurred_at: metadata.as_ref().and_then(|m| m.occurred_at),
        actor: metadata.as_ref().and_then(|m| serde_json::to_value(&m.actor).ok()),
        command_id: Some(record.command_id),
        correlation: metadata.as_ref().map(|m| m.correlation.to_string()),
        causation: metadata.as_ref().and_then(|m| m.causation).map(|id| id.to_string()),
    }
}

/// The events of a stream after one version and up to another, and whether there are more than returned.
pub(super) async fn events_since(
    store: &dyn EventStore,
    tenant: &Tenant,
    stream: &StreamName,
    after: u64,
    until: u64,
) -> Result<(Value, bool), Error> {
    let wanted = until.saturating_sub(after);
    let told = usize::try_from(wanted.min(MOST_EVENTS)).unwrap_or(0);
    let mut records = Vec::new();
    if told > 0 {
        records = store.read_stream(&stream_id(tenant, stream), after + 1, Direction::Forwards, told).await?;
        records.truncate(told);
    }
    let events: Vec<_> = records.iter().map(recorded).collect();
    let events = serde_json::to_value(events).map_err(|error| Error::Store(error.to_string()))?;
    Ok((events, wanted > MOST_EVENTS))
}
