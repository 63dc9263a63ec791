//! Answers: a body, and headers with the position that it shows, its version, and how long it may be cached.

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH};
use axum::response::{IntoResponse, Response};
use event_store::record::{Position, Version};
use projections::Answer;
use schemas::http::event::{EventBody, Payload};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Failure;

/// Which position an answer shows.
pub const POSITION: HeaderName = HeaderName::from_static("daybook-position");
/// Set when the read model behind the answer has stopped, so the data is getting old.
pub const STALE: HeaderName = HeaderName::from_static("daybook-stale");

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Listing<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// The cursor or position of the next page; left out on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How many there are in all, if that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<CountBody>,
    /// The last position that the page shows.
    #[schema(example = 4711)]
    pub position: u64,
    /// Whether the page may be old or lack something: the read model has stopped, or holds streams.
    pub stale: bool,
    /// How many streams the read model holds: for these it shows the state before a record that cannot be read. Left
    /// out if none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub held: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CountBody {
    /// How many.
    pub value: u64,
    /// Whether that is counted, or estimated from counters.
    pub exact: bool,
}

/// An answer on its way.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    status: StatusCode,
    body: Vec<u8>,
    headers: HeaderMap,
}

impl Shown {
    /// A body that shows a position.
    pub(super) fn new(body: &impl Serialize, position: Position) -> Result<Self, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::internal(&error))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(POSITION, HeaderValue::from(position));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        Ok(Self { status: StatusCode::OK, body, headers })
    }

    /// A page of a list.
    pub(super) fn page<T: Serialize>(listing: &Listing<T>) -> Result<Self, Failure> {
        Ok(Self::new(listing, listing.position)?.stale(listing.stale))
    }

    /// The first `limit` of the items read, if one more was requested; `next` gives the position after an item.
    pub(super) fn first<T, B: From<T> + Serialize>(
        answer: Answer<Vec<T>>,
        limit: usize,
        next: impl Fn(&T) -> String,
    ) -> Result<Self, Failure> {
        let mut read = answer.value;
        let more = read.len() > limit;
        read.truncate(limit);
        let next = read.last().filter(|_| more).map(next);
        Self::page(&Listing {
            items: read.into_iter().map(B::from).collect(),
            next,
            count: None,
            position: answer.position,
            stale: answer.stale,
            held: answer.held,
        })
    }

    /// With another status.
    pub(super) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Said to grow old, if it does.
    pub(super) fn stale(mut self, stale: bool) -> Self {
        if stale {
            self.headers.insert(STALE, HeaderValue::from_static("true"));
        }
        self
    }

    /// At a version; without the body if that is what the caller has already.
    pub(super) fn at_version(mut self, version: Version, request: &HeaderMap) -> Self {
        let tag = format!("\"v{version}\"");
        if matches(request, &tag) {
            self.status = StatusCode::NOT_MODIFIED;
            self.body = Vec::new();
            self.headers.remove(CONTENT_TYPE);
        }
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            self.headers.insert(ETAG, tag);
        }
        self
    }

    /// Never going to change, if so.
    pub(super) fn settled(mut self, settled: bool) -> Self {
        if settled {
            let for_ever = HeaderValue::from_static("private, max-age=31536000, immutable");
            self.headers.insert(CACHE_CONTROL, for_ever);
        }
        self
    }
}

fn matches(request: &HeaderMap, tag: &str) -> bool {
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == "*" || known == tag)
}

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        (self.status, self.headers, self.body).into_response()
    }
}

/// An event of the log.
pub(super) fn event_body(record: &event_store::record::Record) -> EventBody {
    let metadata = schemas::Metadata::decode(&record.metadata).ok();
    EventBody {
        position: Some(record.position),
        event_id: Some(record.event_id),
        stream: record.stream.to_string(),
        version: record.version,
        kind: record.kind.to_string(),
        schema_version: record.schema_version,
        // One event that cannot be read does not hide the others of its page.
        data: Payload::readable(&record.data),
        unreadable: streams::decode(record).err().map(|unreadable| unreadable.reason),
        recorded_at: Some(domain::time::Timestamp::from_micros(record.recorded_at)),
        occurred_at: metadata.as_ref().and_then(|metadata| metadata.occurred_at),
        actor: metadata.as_ref().and_then(|metadata| serde_json::to_value(&metadata.actor).ok()),
        command_id: Some(record.command_id),
        correlation: metadata.as_ref().map(|metadata| metadata.correlation.to_string()),
        causation: metadata.as_ref().and_then(|metadata| metadata.causation).map(|id| id.to_string()),
    }
}
