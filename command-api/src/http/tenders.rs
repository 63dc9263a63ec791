//! Further payments of an order: another instrument, or money that came another way.

use axum::extract::State;
use domain::ids::OrderId;
use schemas::http::tender::AddPayment;

use super::answer::Answer;
use super::describe::{CommandHeaders, CommandQuery, WaitHeader, answers};
use super::extract::{Ask, Id};
use super::problem::Failure;
use super::{Api, Told};
use crate::verdict::Awaited;

answers! {
    AddAnswers: [200, 202] "OrderBody", ["exceeds-owed", "id-taken", "order-state", "too-many"];
}

/// Add a payment to an order, or record money that was paid another way. 202 while the provider is asked.
#[utoipa::path(post, path = "/v1/orders/{id}/payments", tag = "orders", request_body = AddPayment,
    params(("id" = uuid::Uuid, Path), CommandHeaders, WaitHeader, CommandQuery), responses(AddAnswers))]
pub(super) async fn add(
    State(api): State<Api>,
    Id(order_id): Id<OrderId>,
    ask: Ask<AddPayment>,
) -> Result<Answer, Failure> {
    let names = ask.how.names();
    let awaited = Awaited::Payment(ask.body.payment_id(names));
    let given = ask.body.currency();
    let currency = api.currency(&ask.how, order_id, given).await?;
    let command = ask.body.try_into_command(names, currency)?;
    api.order(&ask.how, order_id, command, Told::starting(awaited)).await
}
