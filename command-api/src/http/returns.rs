//! Returns, by their own ids: the name that was taken with the announcement leads to the order.

use axum::extract::State;
use axum::http::StatusCode;
use domain::ids::{OrderId, ReturnId};
use domain::reference::{self, Reference};
use domain::stream::{self, StreamName};
use schemas::http::returns::{DeclineReturn, ReceiveReturn, RequestReturn};

use super::answer::Answer;
use super::describe::{CommandHeaders, CommandQuery, answers};
use super::extract::{Ask, How, Id};
use super::problem::Failure;
use super::{Api, Told};
use crate::execute::Plan;

answers! {
    RequestAnswers: [201] "OrderBody", [
        "id-taken", "invalid-line", "order-state", "quantity-exceeds-shipped", "return-state",
        "too-many",
    ];
    ReceiveAnswers: [200] "OrderBody", [
        "id-taken", "invalid-line", "never-kept", "order-state", "quantity-exceeds-announced", "receipt-out-of-order",
        "return-not-found", "return-state", "too-many",
    ];
    DeclineAnswers: [200] "OrderBody", ["id-taken", "order-state", "return-not-found", "return-state", "too-many"];
}

/// Announce that units come back.
#[utoipa::path(post, path = "/v1/orders/{id}/returns", tag = "returns", request_body = RequestReturn,
    params(("id" = uuid::Uuid, Path), CommandHeaders, CommandQuery), responses(RequestAnswers))]
pub(super) async fn request(
    State(api): State<Api>,
    Id(order_id): Id<OrderId>,
    ask: Ask<RequestReturn>,
) -> Result<Answer, Failure> {
    let command = ask.body.try_into_command(ask.how.names())?;
    let told = Told::at_once(StatusCode::CREATED);
    api.order(&ask.how, order_id, command, told).await
}

/// Record returned goods. This restocks and refunds them.
#[utoipa::path(post, path = "/v1/returns/{id}/receipts", tag = "returns", request_body = ReceiveReturn,
    params(("id" = uuid::Uuid, Path), CommandHeaders, CommandQuery), responses(ReceiveAnswers))]
pub(super) async fn receive(
    State(api): State<Api>,
    Id(return_id): Id<ReturnId>,
    ask: Ask<ReceiveReturn>,
) -> Result<Answer, Failure> {
    let command = ask.body.try_into_command(return_id)?;
    let order_id = api.owner(&ask.how, &stream::returned(return_id)).await?;
    let told = Told::at_once(StatusCode::OK);
    api.order(&ask.how, order_id, command, told).await
}

/// Do not take a return back.
#[utoipa::path(post, path = "/v1/returns/{id}/decline", tag = "returns", request_body = DeclineReturn,
    params(("id" = uuid::Uuid, Path), CommandHeaders, CommandQuery), responses(DeclineAnswers))]
pub(super) async fn decline(
    State(api): State<Api>,
    Id(return_id): Id<ReturnId>,
    ask: Ask<DeclineReturn>,
) -> Result<Answer, Failure> {
    let command = ask.body.try_into_command(return_id)?;
    let order_id = api.owner(&ask.how, &stream::returned(return_id)).await?;
    let told = Told::at_once(StatusCode::OK);
    api.order(&ask.how, order_id, command, told).await
}

impl Api {
    /// The order that a name leads to. That there is none is put on record like any refusal, a version that it should have included: the
    /// same request gets the same answer.
    pub(super) async fn owner(&self, how: &How, name: &StreamName) -> Result<OrderId, Failure> {
        let failed = |error| Failure::unanswered(&error, how.request_id.as_deref());
        let executor = self.executor();
        let tenant = &how.caller.tenant;
        let (found, _) = executor.load::<Reference>(tenant, name).await.map_err(failed)?;
        if let Reference(Some(order_id)) = *found {
            return Ok(order_id);
        }
        let plan = Plan::new().and_unseen::<Reference>(name.clone(), reference::Command::Find);
        let done = self.run(how, name, how.command_id, plan).await?;
        // Another request has just taken the id: the terms of this request are not recorded yet, so the client must
        // repeat it.
        Err(Failure::new("request-in-progress", "send the same request again under a new key")
            .with("position", done.position))
    }
}
