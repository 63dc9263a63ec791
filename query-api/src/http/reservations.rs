//! Reservations without an order: each folded from its own short stream, and so always current.

use axum::extract::State;
use axum::http::HeaderMap;
use domain::ids::ReservationId;
use domain::reservation::Reservation;
use domain::stream;
use schemas::http::problem::Problem;
use schemas::http::reservation::ReservationBody;

use super::Api;
use super::answer::Shown;
use super::caller::Caller;
use super::params::{Id, Params};
use super::problem::{Absent, Failure, Malformed};
use crate::history::{self, At, Moment};

/// One reservation.
#[utoipa::path(get, path = "/v1/reservations/{id}", tag = "reservations",
    params(("id" = uuid::Uuid, Path), ("If-None-Match" = Option<String>, Header, description = "The known ETag"),
        ("min_position" = Option<u64>, Query, description = "Wait until the log has at least this position")),
    responses(
    (status = 200, description = "The reservation", body = ReservationBody),
    (status = 304, description = "It still has the known version"),
    Malformed,
    Absent,
    (status = 503, description = "`not-caught-up`, `unreadable-record`, `log-damaged`, `unavailable`", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn one(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id<ReservationId>,
    mut params: Params,
    headers: HeaderMap,
) -> Result<Shown, Failure> {
    let min_position = params.min_position()?;
    params.end()?;
    api.reach_log(min_position).await?;
    let moment: Moment<Reservation> =
        history::fold_at(&*api.log, caller.tenant.as_str(), &stream::reservation(id), At::Now).await?;
    let Some(body) = ReservationBody::new(&moment.state, moment.version) else {
        return Err(Failure::absent("reservation"));
    };
    Ok(Shown::new(&body, moment.position)?.at_version(moment.version, &headers))
}
