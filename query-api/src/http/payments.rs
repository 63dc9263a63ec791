//! Payments: one of them, as the read model shows it. No means of payment is ever shown.

use axum::extract::State;
use axum::http::HeaderMap;
use domain::ids::PaymentId;
use domain::payment::Payment;
use domain::stream;
use projections::payments;
use schemas::http::payment::PaymentBody;

use super::Api;
use super::answer::Shown;
use super::caller::Caller;
use super::params::{Id, Params};
use super::problem::{Absent, Failure, Late, Malformed};

/// One payment.
#[utoipa::path(get, path = "/v1/payments/{id}", tag = "payments",
    params(("id" = uuid::Uuid, Path), ("If-None-Match" = Option<String>, Header, description = "The known ETag"),
        ("min_position" = Option<u64>, Query, description = "Wait until the answer shows at least this position")),
    responses(
    (status = 200, description = "The payment", body = PaymentBody),
    (status = 304, description = "It still has the known version"),
    Malformed,
    Absent,
    Late,
))]
pub(super) async fn one(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id<PaymentId>,
    mut params: Params,
    headers: HeaderMap,
) -> Result<Shown, Failure> {
    let min_position = params.min_position()?;
    params.end()?;
    let tenant = caller.tenant.as_str();
    api.reach_stream("payments", tenant, stream::payment(id), min_position).await?;
    let mut answer = payments::by_id(&api.reads(), tenant, id).await?;
    if answer.value.is_none() {
        api.surely("payments", tenant, Some(stream::payment(id)), "payment").await?;
        answer = payments::by_id(&api.reads(), tenant, id).await?;
    }
    let Some(detail) = answer.value else {
        return Err(Failure::absent("payment"));
    };
    let Payment::Requested(payment) = &detail.payment else {
        return Err(Failure::absent("payment"));
    };
    let body = PaymentBody::new(payment, detail.version);
    Ok(Shown::new(&body, answer.position)?.stale(answer.stale).at_version(detail.version, &headers))
}
