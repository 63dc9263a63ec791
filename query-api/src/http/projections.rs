//! The read models themselves: their positions, and rebuilds.

use axum::extract::State;
use axum::http::StatusCode;
use projections::Standing;
use schemas::http::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::Shown;
use super::caller::Caller;
use super::params::{Id, Params};
use super::problem::{Absent, Failure, Malformed};

/// Where a read model stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectionBody {
    /// The model.
    #[schema(example = "order_list")]
    pub name: String,
    /// The version of its tables and its apply.
    pub version: u32,
    /// The last position that its rows show.
    pub position: u64,
    /// How many positions it is behind the log.
    pub lag: u64,
    /// Whether it is being built and not to be read yet.
    pub building: bool,
    /// How far the tables are that are built beside it, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<u64>,
    /// How many streams it holds, because one of their records cannot be read or applied: it shows their state before
    /// that record. Other streams continue.
    pub held: u64,
    /// The position of the record that stopped it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<u64>,
    /// Why it stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<String>,
}

/// Where all of them stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectionsBody {
    /// The log's last position.
    pub head: u64,
    /// The read models, in order of name.
    pub items: Vec<ProjectionBody>,
}

/// A rebuild that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RebuildBody {
    /// The model; `GET /v1/projections` shows how far it is.
    pub name: String,
}

impl From<Standing> for ProjectionBody {
    fn from(standing: Standing) -> Self {
        Self {
            name: standing.name.to_owned(),
            version: standing.version,
            position: standing.position,
            lag: standing.lag,
            building: standing.building,
            rebuild: standing.rebuild,
            held: standing.held,
            stopped_at: standing.stopped.as_ref().map(|stop| stop.position),
            stop_reason: standing.stopped.map(|stop| stop.reason),
        }
    }
}

/// Where the read models stand.
#[utoipa::path(get, path = "/v1/projections", tag = "operations", responses(
    (status = 200, description = "All of them", body = ProjectionsBody),
    (status = 400, description = "`malformed-query`", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(State(api): State<Api>, _caller: Caller, params: Params) -> Result<Shown, Failure> {
    params.end()?;
    // A caller of this route looks for a fault: if the database cannot be read, the last known positions are still an
    // answer.
    let now = api.projections.standings().await;
    let items: Vec<_> =
        now.unwrap_or_else(|_| api.projections.positions()).into_iter().map(ProjectionBody::from).collect();
    let shown = items.iter().map(|item| item.position).min().unwrap_or(0);
    Shown::new(&ProjectionsBody { head: api.log.head().borrow().position, items }, shown)
}

/// Rebuild a read model from the first record, beside the live one, and then replace the live one.
#[utoipa::path(post, path = "/v1/projections/{name}/rebuild", tag = "operations", params(("name" = String, Path)), responses(
    (status = 202, description = "It has begun, or is queued", body = RebuildBody),
    Malformed,
    Absent,
    (status = 409, description = "`rebuild-in-progress`", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn rebuild(
    State(api): State<Api>,
    _caller: Caller,
    Id(name): Id<String>,
    params: Params,
) -> Result<Shown, Failure> {
    params.end()?;
    api.projections.request_rebuild(&name)?;
    let position = api.log.head().borrow().position;
    Ok(Shown::new(&RebuildBody { name }, position)?.status(StatusCode::ACCEPTED))
}
