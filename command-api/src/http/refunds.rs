//! Refunds of orders: granted manually, granted again, paid by hand, withdrawn.

use axum::extract::State;
use axum::http::StatusCode;
use domain::ids::{OrderId, RefundId};
use domain::order::Command;
use schemas::http::refund::{ConfirmRefundPaid, GrantRefund, RetryRefund, WithdrawRefund};

use super::answer::Answer;
use super::describe::{CommandHeaders, CommandQuery, WaitHeader, answers};
use super::extract::{Ask, Id};
use super::problem::Failure;
use super::{Api, Told};
use crate::verdict::Awaited;

answers! {
    GrantAnswers: [200, 202] "OrderBody", [
        "exceeds-refundable", "id-taken", "invalid-line", "invalid-refund", "order-state", "payment-unknown",
        "refund-exceeds-line", "refund-exceeds-shipping", "refund-sums-differ", "too-many",
    ];
    RetryAnswers: [200, 202] "OrderBody", [
        "exceeds-refundable", "order-state", "payment-unknown", "refund-exceeds-line", "refund-exceeds-shipping",
        "refund-not-found",
    ];
    ByHandAnswers: [200] "OrderBody", ["nothing-owed-by-hand", "order-state", "refund-not-found", "too-many"];
}

/// Grant a refund. 202 while the money is on its way back.
#[utoipa::path(post, path = "/v1/orders/{id}/refunds", tag = "orders", request_body = GrantRefund,
    params(("id" = uuid::Uuid, Path), CommandHeaders, WaitHeader, CommandQuery), responses(GrantAnswers))]
pub(super) async fn grant(
    State(api): State<Api>,
    Id(order_id): Id<OrderId>,
    ask: Ask<GrantRefund>,
) -> Result<Answer, Failure> {
    let names = ask.how.names();
    let awaited = Awaited::Refund(ask.body.refund_id(names));
    let given = ask.body.currency();
    let currency = api.currency(&ask.how, order_id, given).await?;
    let command = ask.body.try_into_command(names, currency)?;
    api.order(&ask.how, order_id, command, Told::starting(awaited)).await
}

/// Grant the failed and withdrawn parts of a refund again. 202 while the provider is asked.
#[utoipa::path(post, path = "/v1/orders/{id}/refunds/{refund_id}/retry", tag = "orders", request_body = RetryRefund,
    params(("id" = uuid::Uuid, Path), ("refund_id" = uuid::Uuid, Path), CommandHeaders, WaitHeader, CommandQuery),
    responses(RetryAnswers))]
pub(super) async fn retry(
    State(api): State<Api>,
    Id((order_id, refund_id)): Id<(OrderId, RefundId)>,
    ask: Ask<RetryRefund>,
) -> Result<Answer, Failure> {
    let command = Command::RetryRefund { refund_id, attempt: None };
    api.order(&ask.how, order_id, command, Told::starting(Awaited::Refund(refund_id))).await
}

/// Record that the parts of a refund that were owed by hand are paid.
#[utoipa::path(post, path = "/v1/orders/{id}/refunds/{refund_id}/paid", tag = "orders", request_body = ConfirmRefundPaid,
    params(("id" = uuid::Uuid, Path), ("refund_id" = uuid::Uuid, Path), CommandHeaders, CommandQuery),
    responses(ByHandAnswers))]
pub(super) async fn confirm_paid(
    State(api): State<Api>,
    Id((order_id, refund_id)): Id<(OrderId, RefundId)>,
    ask: Ask<ConfirmRefundPaid>,
) -> Result<Answer, Failure> {
    let command = ask.body.try_into_command(refund_id)?;
    api.order(&ask.how, order_id, command, Told::at_once(StatusCode::OK)).await
}

/// Withdraw what of a refund is owed by hand.
#[utoipa::path(post, path = "/v1/orders/{id}/refunds/{refund_id}/withdrawal", tag = "orders",
    request_body = WithdrawRefund,
    params(("id" = uuid::Uuid, Path), ("refund_id" = uuid::Uuid, Path), CommandHeaders, CommandQuery),
    responses(ByHandAnswers))]
pub(super) async fn withdraw(
    State(api): State<Api>,
    Id((order_id, refund_id)): Id<(OrderId, RefundId)>,
    ask: Ask<WithdrawRefund>,
) -> Result<Answer, Failure> {
    let command = ask.body.try_into_command(refund_id)?;
    api.order(&ask.how, order_id, command, Told::at_once(StatusCode::OK)).await
}
