//! The log itself, page by page: every event of the tenant in order, exactly once, for any reader and any number of
//! reads.

use axum::extract::State;
use event_store::Filter;
use schemas::http::event::EventBody;
use schemas::http::problem::Problem;
use schemas::{registry, stream};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::{Shown, event_body};
use super::caller::Caller;
use super::params::Params;
use super::problem::Failure;

/// The most events of a page by request; it may be longer, because the events of one command are never split.
const MOST: usize = 1_000;

/// Part of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventsBody {
    /// The events, in order of position.
    pub events: Vec<EventBody>,
    /// All requested events up to this position were returned: ask for the events after it.
    #[schema(example = 4711)]
    pub next: u64,
    /// The log's last position.
    #[schema(example = 4711)]
    pub head: u64,
}

/// The events of the log after a position.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(("after" = Option<u64>, Query, description = "Only events after this position; by default from the beginning"),
        ("types" = Option<String>, Query, description = "Only these types, comma-separated: `OrderPlaced,OrderConfirmed`"),
        ("streams" = Option<String>, Query, description = "Only streams of these kinds, comma-separated: `order,payment`"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000),
        ("min_position" = Option<u64>, Query, description = "Wait until the log has at least this position")),
    responses(
    (status = 200, description = "A page", body = EventsBody),
    (status = 400, description = "`malformed-query`, `future-instant`, `future-position`", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "`not-caught-up`, `log-damaged`, `unavailable`", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn page(State(api): State<Api>, caller: Caller, mut params: Params) -> Result<Shown, Failure> {
    let after = params.position("after")?.unwrap_or(0);
    let (kinds, categories) = (params.list("types")?, params.list("streams")?);
    let limit = params.limit(MOST)?;
    let min_position = params.min_position()?;
    params.end()?;
    if let Some(unknown) = kinds.iter().find(|kind| registry::newest_version(kind).is_none()) {
        let unknown: String = unknown.chars().take(80).collect();
        return Err(Failure::at("malformed-query", "types", format!("unknown event type {unknown}")));
    }
    if let Some(unknown) = categories.iter().find(|category| !stream::CATEGORIES.contains(&category.as_str())) {
        let unknown: String = unknown.chars().take(80).collect();
        return Err(Failure::at("malformed-query", "streams", format!("unknown kind of stream {unknown}")));
    }
    api.reach_log(min_position).await?;
    let head = api.log.head().borrow().position;
    if after > head {
        return Err(Failure::at("future-instant", "after", format!("the log ends at position {head}")));
    }
    let filter = Filter { tenants: vec![caller.tenant.as_str().to_owned()], categories, kinds };
    let page = api.log.read_log(after, &filter, limit).await?;
    let events = page.records.iter().map(event_body).collect();
    Shown::new(&EventsBody { events, next: page.next, head: page.head }, page.next)
}
