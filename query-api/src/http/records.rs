//! Records of the log that cannot be read, and those that were set aside: for operators when a part is degraded.

use axum::extract::State;
use domain::time::Timestamp;
use projections::Held;
use projections::order_timeline::{self, Aside};
use schemas::http::problem::Problem;
use schemas::http::record::{RecordBody, RecordState, SetAsideBody};

use super::Api;
use super::answer::{Listing, Shown};
use super::caller::Caller;
use super::params::{MOST, Params};
use super::problem::{Failure, Late};

/// Records that cannot be read, the first one of each stream; or those that were set aside.
#[utoipa::path(get, path = "/v1/records", tag = "records",
    params(("state" = String, Query, description = "`unreadable` or `set-aside`"),
        ("after" = Option<u64>, Query, description = "Only records after this position: the `next` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200),
        ("min_position" = Option<u64>, Query, description = "Wait until the answer shows at least this position")),
    responses(
    (status = 200, description = "A page; `next` is the position after which the next page begins", body = Listing<RecordBody>),
    (status = 400, description = "`malformed-query`", body = Problem, content_type = "application/problem+json"),
    Late,
))]
pub(super) async fn list(State(api): State<Api>, caller: Caller, mut params: Params) -> Result<Shown, Failure> {
    let state = params.text("state")?;
    let (after, limit) = (params.position("after")?.unwrap_or(0), params.limit(MOST)?);
    let min_position = params.min_position()?;
    params.end()?;
    let unreadable = match state.as_deref() {
        Some("unreadable") => true,
        Some("set-aside") => false,
        _ => return Err(Failure::at("malformed-query", "state", "state must be unreadable or set-aside")),
    };
    api.reach(order_timeline::NAME, min_position).await?;
    let tenant = caller.tenant.as_str();
    let wanted = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    // In both cases the read model supplies the position of the answer, and whether it is built.
    let answer = order_timeline::asides(&api.reads(), tenant, after, wanted).await?;
    let (position, stale, held) = (answer.position, answer.stopped, answer.held);
    let mut found: Vec<(u64, RecordBody)> = if unreadable {
        let held = api.reads().held(order_timeline::NAME).await?;
        let mut held: Vec<_> = held.into_iter().filter(|held| *held.stream.tenant == *tenant).collect();
        held.sort_by_key(|held| held.position);
        held.into_iter().filter(|held| held.position > after).map(|held| (held.position, of_held(held))).collect()
    } else {
        answer.value.into_iter().map(|aside| (aside.by_position, of_aside(aside))).collect()
    };
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(at, _)| at.to_string());
    let items = found.into_iter().map(|(_, body)| body).collect();
    Shown::page(&Listing { items, next, count: None, position, stale, held })
}

fn of_held(held: Held) -> RecordBody {
    RecordBody {
        position: held.position,
        stream: held.stream.to_string(),
        version: held.version,
        kind: held.kind,
        state: RecordState::Unreadable,
        unreadable: held.reason,
        set_aside: None,
    }
}

fn of_aside(aside: Aside) -> RecordBody {
    let (category, id) = aside.stream;
    RecordBody {
        position: aside.position,
        stream: format!("{category}-{id}"),
        version: aside.version,
        kind: aside.kind,
        state: RecordState::SetAside,
        unreadable: aside.unreadable,
        set_aside: Some(SetAsideBody {
            reason: aside.reason,
            actor: aside.actor,
            position: aside.by_position,
            recorded_at: Timestamp::from_micros(aside.recorded_at),
        }),
    }
}
