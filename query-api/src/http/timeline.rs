//! The history of an order: the stored events of its own stream, and its timeline over all streams.

use axum::extract::State;
use domain::ids::OrderId;
use domain::stream;
use domain::time::Timestamp;
use event_store::Direction;
use event_store::record::StreamId;
use projections::Held;
use projections::order_timeline::{self, Entry};
use schemas::http::event::EventBody;
use schemas::http::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::answer::{Listing, Shown, event_body};
use super::caller::Caller;
use super::params::{Id, MOST, Params};
use super::problem::{Absent, Failure, Late, Malformed};

/// An entry of a timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimelineEntryBody {
    /// The event's position.
    #[schema(example = 4711)]
    pub position: u64,
    /// The stream that it is in: the order's, its payment's, a stock's, a saga's, or the outcome of a refused command.
    #[schema(example = "payment-0198c1a2-7b1e-7c44-9d4e-0b8f6a1c2d3e")]
    pub stream: String,
    /// Its version there.
    pub version: u64,
    /// What happened.
    #[serde(rename = "type")]
    #[schema(example = "PaymentCaptured")]
    pub kind: String,
    /// What happened, for people.
    #[schema(example = "1234 captured")]
    pub summary: String,
    /// Why, where the event says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who did it.
    #[schema(example = "clerk-7")]
    pub actor: String,
    /// How it came in.
    #[schema(example = "http")]
    pub via: String,
    /// The party on whose behalf the actor acted, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
    /// When it happened in the business's own time.
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: Timestamp,
    /// The event.
    pub event_id: Uuid,
    /// The command whose batch wrote it.
    pub command_id: Uuid,
    /// The event or the command that led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<Uuid>,
}

impl From<Entry> for TimelineEntryBody {
    fn from(entry: Entry) -> Self {
        Self {
            position: entry.position,
            stream: format!("{}-{}", entry.category, entry.stream),
            version: entry.version,
            kind: entry.kind,
            summary: entry.summary,
            reason: entry.reason,
            actor: entry.actor,
            via: entry.via,
            on_behalf_of: entry.on_behalf_of,
            recorded_at: Timestamp::from_micros(entry.recorded_at),
            occurred_at: Timestamp::from_micros(entry.occurred_at),
            event_id: entry.event_id,
            command_id: entry.command_id,
            causation: entry.causation,
        }
    }
}

/// The events of an order's own stream, as they are stored.
#[utoipa::path(get, path = "/v1/orders/{id}/events", tag = "orders",
    params(("id" = uuid::Uuid, Path),
        ("after" = Option<u64>, Query, description = "Only events after this version"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200),
        ("min_position" = Option<u64>, Query, description = "Wait until the log has at least this position")),
    responses(
    (status = 200, description = "A page; `next` is the version after which the next page begins", body = Listing<EventBody>),
    Malformed,
    Absent,
    (status = 503, description = "`not-caught-up`, `log-damaged`, `unavailable`", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn stream(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id<OrderId>,
    mut params: Params,
) -> Result<Shown, Failure> {
    let (after, limit) = (params.position("after")?.unwrap_or(0), params.limit(MOST)?);
    let min_position = params.min_position()?;
    params.end()?;
    api.reach_log(min_position).await?;
    let name = stream::order(id);
    let stream = StreamId::new(caller.tenant.as_str(), name.category, name.id);
    let Some((last, _)) = api.log.stream_head(&stream).await? else {
        return Err(Failure::absent("order"));
    };
    let position = api.log.head().borrow().position;
    let mut records = api.log.read_stream(&stream, after.saturating_add(1), Direction::Forwards, limit).await?;
    records.truncate(limit);
    let next = records.last().filter(|record| record.version < last).map(|record| record.version.to_string());
    let items: Vec<EventBody> = records.iter().map(event_body).collect();
    Shown::page(&Listing { items, next, count: None, position, stale: false, held: 0 })
}

/// The timeline of an order over all streams: who, what, why, and what each entry follows from.
#[utoipa::path(get, path = "/v1/orders/{id}/timeline", tag = "orders",
    params(("id" = uuid::Uuid, Path, description = "The id of an order, a return, a reservation or an import"),
        ("after" = Option<u64>, Query, description = "Only entries after this position"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200),
        ("min_position" = Option<u64>, Query, description = "Wait until the answer shows at least this position")),
    responses(
    (status = 200, description = "A page; `next` is the position after which the next page begins", body = Listing<TimelineEntryBody>),
    Malformed,
    Absent,
    Late,
))]
pub(super) async fn timeline(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id<Uuid>,
    mut params: Params,
) -> Result<Shown, Failure> {
    let (after, limit) = (params.position("after")?.unwrap_or(0), params.limit(MOST)?);
    let min_position = params.min_position()?;
    params.end()?;
    api.reach(order_timeline::NAME, min_position).await?;
    let wanted = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let tenant = caller.tenant.as_str();
    let mut answer = order_timeline::page(&api.reads(), tenant, id, after, wanted).await?;
    if answer.value.is_empty() && after == 0 {
        api.surely(order_timeline::NAME, tenant, None, "order").await?;
        answer = order_timeline::page(&api.reads(), tenant, id, after, wanted).await?;
    }
    let mut lacks = None;
    if answer.held > 0 {
        // What cannot be read at all may belong to anything.
        let concerned = |held: &Held| {
            held.correlation == id
                || held.correlation.is_nil()
                || held.stream.id.parse::<Uuid>().is_ok_and(|of| of == id)
        };
        lacks = api.held_among(order_timeline::NAME, tenant, concerned).await?;
    }
    answer.stale = answer.stopped || lacks.is_some();
    if answer.value.is_empty() && after == 0 {
        return Err(lacks.unwrap_or_else(|| Failure::absent("order")));
    }
    Shown::first::<_, TimelineEntryBody>(answer, limit, |entry| entry.position.to_string())
}
