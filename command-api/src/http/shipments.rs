//! Shipments, by their own ids: the name that was taken with the request leads to the order.

use axum::extract::State;
use axum::http::StatusCode;
use domain::ids::{OrderId, ShipmentId};
use domain::stream;
use schemas::http::shipment::{
    ConfirmDelivery, DecideLoss, ReportFound, ReportLoss, RequestShipment, UpdateTracking, WithdrawShipment,
};

use super::answer::Answer;
use super::describe::{CommandHeaders, CommandQuery, WaitHeader, answers};
use super::extract::{Ask, Id};
use super::problem::Failure;
use super::{Api, Told};
use crate::verdict::Awaited;

answers! {
    RequestAnswers: [200, 202] "OrderBody", [
        "exceeds-on-hand", "id-taken", "invalid-line", "not-paid", "not-reserved", "on-hold", "order-state", "payment-unknown",
        "quantity-exceeds-open", "shipment-state", "too-many",
    ];
    TrackingAnswers: [200] "OrderBody", ["order-state", "shipment-not-found", "shipment-state", "too-many"];
    WithdrawAnswers: [200, 202] "OrderBody", ["order-state", "shipment-not-found", "shipment-state", "too-many"];
    LossAnswers: [200] "OrderBody", [
        "already-placed", "invalid-line", "nothing-lost", "order-state", "quantity-exceeds-shipment", "shipment-not-found",
        "shipment-state",
    ];
    DeliveryAnswers: [200] "OrderBody", [
        "invalid-line", "order-state", "quantity-exceeds-shipment", "shipment-not-found", "shipment-state",
    ];
}

/// Ship reserved units. 202 while they are paid for; then they leave, or the shipment is refused.
#[utoipa::path(post, path = "/v1/orders/{id}/shipments", tag = "shipments", request_body = RequestShipment,
    params(("id" = uuid::Uuid, Path), CommandHeaders, WaitHeader, CommandQuery), responses(RequestAnswers))]
pub(super) async fn request(
    State(api): State<Api>,
    Id(order_id): Id<OrderId>,
    ask: Ask<RequestShipment>,
) -> Result<Answer, Failure> {
    let names = ask.how.names();
    let awaited = Awaited::Shipment(ask.body.shipment_id(names));
    let command = ask.body.try_into_command(names)?;
    api.order(&ask.how, order_id, command, Told::starting(awaited)).await
}

/// Set the carrier and the tracking number of a shipment.
#[utoipa::path(patch, path = "/v1/shipments/{id}", tag = "shipments", request_body = UpdateTracking,
    params(("id" = uuid::Uuid, Path), CommandHeaders, CommandQuery), responses(TrackingAnswers))]
pub(super) async fn update_tracking(
    State(api): State<Api>,
    Id(shipment_id): Id<ShipmentId>,
    ask: Ask<UpdateTracking>,
) -> Result<Answer, Failure> {
    let command = ask.body.try_into_command(shipment_id)?;
    let order_id = api.owner(&ask.how, &stream::shipment(shipment_id)).await?;
    let told = Told::at_once(StatusCode::OK);
    api.order(&ask.how, order_id, command, told).await
}

/// Confirm that a shipment arrived, or some of it.
#[utoipa::path(post, path = "/v1/shipments/{id}/delivery", tag = "shipments", request_body = ConfirmDelivery,
    params(("id" = uuid::Uuid, Path), CommandHeaders, CommandQuery), responses(DeliveryAnswers))]
pub(super) async fn confirm_delivery(
    State(api): State<Api>,
    Id(shipment_id): Id<ShipmentId>,
    ask: Ask<ConfirmDelivery>,
) -> Result<Answer, Failure> {
    let command = ask.body.try_into_command(shipment_id)?;
    let order_id = api.owner(&ask.how, &stream::shipment(shipment_id)).await?;
    let told = Told::at_once(StatusCode::OK);
    api.order(&ask.how, order_id, command, told).await
}

/// Report that a shipment, or some of it, will not arrive, and what to do about it.
#[utoipa::path(post, path = "/v1/shipments/{id}/loss", tag = "shipments", request_body = ReportLoss,
    params(("id" = uuid::Uuid, Path), CommandHeaders, CommandQuery), responses(LossAnswers))]
pub(super) async fn report_loss(
    State(api): State<Api>,
    Id(shipment_id): Id<ShipmentId>,
    ask: Ask<ReportLoss>,
) -> Result<Answer, Failure> {
    let command = ask.body.try_into_command(shipment_id)?;
    let order_id = api.owner(&ask.how, &stream::shipment(shipment_id)).await?;
    let told = Told::at_once(StatusCode::OK);
    api.order(&ask.how, order_id, command, told).await
}

/// Decide what to do about the lost units of a shipment without a decision.
#[utoipa::path(post, path = "/v1/shipments/{id}/loss-decisions", tag = "shipments", request_body = DecideLoss,
    params(("id" = uuid::Uuid, Path), CommandHeaders, CommandQuery), responses(LossAnswers))]
pub(super) async fn decide_loss(
    State(api): State<Api>,
    Id(shipment_id): Id<ShipmentId>,
    ask: Ask<DecideLoss>,
) -> Result<Answer, Failure> {
    let command = ask.body.try_into_command(shipment_id)?;
    let order_id = api.owner(&ask.how, &stream::shipment(shipment_id)).await?;
    let told = Told::at_once(StatusCode::OK);
    api.order(&ask.how, order_id, command, told).await
}

/// Report that lost units arrived after all.
#[utoipa::path(post, path = "/v1/shipments/{id}/found", tag = "shipments", request_body = ReportFound,
    params(("id" = uuid::Uuid, Path), CommandHeaders, CommandQuery), responses(DeliveryAnswers))]
pub(super) async fn report_found(
    State(api): State<Api>,
    Id(shipment_id): Id<ShipmentId>,
    ask: Ask<ReportFound>,
) -> Result<Answer, Failure> {
    let command = ask.body.try_into_command(shipment_id)?;
    let order_id = api.owner(&ask.how, &stream::shipment(shipment_id)).await?;
    let told = Told::at_once(StatusCode::OK);
    api.order(&ask.how, order_id, command, told).await
}

/// Withdraw a shipment that has not left. 202 while its units are put back.
#[utoipa::path(post, path = "/v1/shipments/{id}/withdrawal", tag = "shipments", request_body = WithdrawShipment,
    params(("id" = uuid::Uuid, Path), CommandHeaders, WaitHeader, CommandQuery), responses(WithdrawAnswers))]
pub(super) async fn withdraw(
    State(api): State<Api>,
    Id(shipment_id): Id<ShipmentId>,
    ask: Ask<WithdrawShipment>,
) -> Result<Answer, Failure> {
    let command = ask.body.try_into_command(shipment_id)?;
    let order_id = api.owner(&ask.how, &stream::shipment(shipment_id)).await?;
    api.order(&ask.how, order_id, command, Told::starting(Awaited::Shipment(shipment_id))).await
}
