//! Orders: placing, editing, cancelling, holding, addressing, noting, refunding. A handler turns a request into a command and nothing else.

use axum::extract::State;
use axum::http::StatusCode;
use domain::ids::{HoldId, OrderId};
use domain::money::Currency;
use domain::order::event::RejectReason;
use domain::order::state::{Placed, Rejection};
use domain::order::{Command, Order};
use domain::stream;
use schemas::http::address::ChangeAddress;
use schemas::http::amendment::EditLines;
use schemas::http::cancellation::CancelOrder;
use schemas::http::hold::{PlaceHold, ReleaseHold};
use schemas::http::note::{AddNote, SetTags};
use schemas::http::order::RejectionBody;
use schemas::http::placement::{OnRefusal, PlaceOrder};
use serde_json::Value;

use super::answer::Answer;
use super::body::NoBody;
use super::describe::{CommandHeaders, CommandQuery, WaitHeader, answers};
use super::extract::{Ask, How, Id};
use super::problem::Failure;
use super::{Api, Told};
use crate::verdict::Awaited;

answers! {
    PlaceAnswers: [201] "OrderBody", [
        "already-placed", "duplicate-external-ref", "invalid-line", "order-rejected", "out-of-stock",
        "payment-declined", "reservation-ended", "reservation-not-found", "reservation-ordered", "totals-mismatch",
    ];
    EditAnswers: [200, 202] "OrderBody", [
        "id-taken", "if-match-required", "invalid-edit", "invalid-line", "order-state", "out-of-stock",
        "quantity-exceeds-open", "too-many",
    ];
    CancelAnswers: [200, 202] "OrderBody", [
        "already-shipped", "id-taken", "invalid-line", "order-state", "quantity-exceeds-open", "too-many",
    ];
    HoldAnswers: [201] "OrderBody", ["id-taken", "order-state", "too-many"];
    ReleaseAnswers: [200] "OrderBody", ["hold-not-found", "id-taken", "order-state"];
    AddressAnswers: [200] "OrderBody", ["already-shipped", "if-match-required", "order-state", "too-many"];
    NoteAnswers: [201] "OrderBody", ["id-taken", "order-state", "too-many"];
    TagsAnswers: [200] "OrderBody", ["order-state", "too-many"];
}

/// Place an order.
#[utoipa::path(post, path = "/v1/orders", tag = "orders", request_body = PlaceOrder,
    params(CommandHeaders, WaitHeader, CommandQuery), responses(PlaceAnswers))]
pub(super) async fn place(State(api): State<Api>, ask: Ask<PlaceOrder>) -> Result<Answer, Failure> {
    let rejection_is_problem = ask.body.on_refusal == OnRefusal::Problem;
    let defaults = &api.settings().defaults;
    let place = ask.body.try_into_command(ask.how.names(), defaults)?;
    let told = Told {
        awaited: Some(Awaited::Placement),
        occurred_at: place.occurred_at,
        rejection_is_problem,
        ..Told::at_once(StatusCode::CREATED)
    };
    let (order_id, command) = (place.order_id, Command::Place(Box::new(place)));
    api.order(&ask.how, order_id, command, told).await
}

/// Change an order's lines: add, set a quantity, a price, a discount. 202 while stock and money follow.
#[utoipa::path(patch, path = "/v1/orders/{id}/lines", tag = "orders", request_body = EditLines,
    params(("id" = uuid::Uuid, Path), CommandHeaders, WaitHeader, CommandQuery), responses(EditAnswers))]
pub(super) async fn edit_lines(
    State(api): State<Api>,
    Id(order_id): Id<OrderId>,
    ask: Ask<EditLines>,
) -> Result<Answer, Failure> {
    ask.how.require_if_match()?;
    let given = ask.body.currency();
    let currency = api.currency(&ask.how, order_id, given).await?;
    let names = ask.how.names();
    let awaited = Awaited::Edit(ask.body.edit_id(names));
    let command = ask.body.try_into_command(names, currency)?;
    api.order(&ask.how, order_id, command, Told::starting(awaited)).await
}

/// Cancel an order, or units of it that have not shipped. 202 while reserved stock and captured money are being
/// returned.
#[utoipa::path(post, path = "/v1/orders/{id}/cancellations", tag = "orders", request_body = CancelOrder,
    params(("id" = uuid::Uuid, Path), CommandHeaders, WaitHeader, CommandQuery), responses(CancelAnswers))]
pub(super) async fn cancel(
    State(api): State<Api>,
    Id(order_id): Id<OrderId>,
    ask: Ask<CancelOrder>,
) -> Result<Answer, Failure> {
    let names = ask.how.names();
    let awaited = Awaited::Cancellation(ask.body.cancellation_id(names));
    let command = ask.body.try_into_command(names)?;
    api.order(&ask.how, order_id, command, Told::starting(awaited)).await
}

/// Hold an order: no capture and no shipping while a hold is open.
#[utoipa::path(post, path = "/v1/orders/{id}/holds", tag = "orders", request_body = PlaceHold,
    params(("id" = uuid::Uuid, Path), CommandHeaders, CommandQuery), responses(HoldAnswers))]
pub(super) async fn place_hold(
    State(api): State<Api>,
    Id(order_id): Id<OrderId>,
    ask: Ask<PlaceHold>,
) -> Result<Answer, Failure> {
    let command = ask.body.try_into_command(ask.how.names())?;
    let told = Told::at_once(StatusCode::CREATED);
    api.order(&ask.how, order_id, command, told).await
}

/// Release a hold.
#[utoipa::path(delete, path = "/v1/orders/{id}/holds/{hold_id}", tag = "orders",
    params(("id" = uuid::Uuid, Path), ("hold_id" = uuid::Uuid, Path), ReleaseHold, CommandHeaders, CommandQuery),
    responses(ReleaseAnswers))]
pub(super) async fn release_hold(
    State(api): State<Api>,
    Id((order_id, hold_id)): Id<(OrderId, HoldId)>,
    ask: Ask<NoBody, ReleaseHold>,
) -> Result<Answer, Failure> {
    let command = ask.query.try_into_command(hold_id)?;
    let told = Told::at_once(StatusCode::OK);
    api.order(&ask.how, order_id, command, told).await
}

/// Send an order elsewhere.
#[utoipa::path(patch, path = "/v1/orders/{id}/shipping-address", tag = "orders", request_body = ChangeAddress,
    params(("id" = uuid::Uuid, Path), CommandHeaders, CommandQuery), responses(AddressAnswers))]
pub(super) async fn change_address(
    State(api): State<Api>,
    Id(order_id): Id<OrderId>,
    ask: Ask<ChangeAddress>,
) -> Result<Answer, Failure> {
    ask.how.require_if_match()?;
    let command = Command::try_from(ask.body)?;
    let told = Told::at_once(StatusCode::OK);
    api.order(&ask.how, order_id, command, told).await
}

/// Add a note.
#[utoipa::path(post, path = "/v1/orders/{id}/notes", tag = "orders", request_body = AddNote,
    params(("id" = uuid::Uuid, Path), CommandHeaders, CommandQuery), responses(NoteAnswers))]
pub(super) async fn add_note(
    State(api): State<Api>,
    Id(order_id): Id<OrderId>,
    ask: Ask<AddNote>,
) -> Result<Answer, Failure> {
    let command = ask.body.try_into_command(ask.how.names())?;
    let told = Told::at_once(StatusCode::CREATED);
    api.order(&ask.how, order_id, command, told).await
}

/// Label an order: all its labels from now on.
#[utoipa::path(put, path = "/v1/orders/{id}/tags", tag = "orders", request_body = SetTags,
    params(("id" = uuid::Uuid, Path), CommandHeaders, CommandQuery), responses(TagsAnswers))]
pub(super) async fn set_tags(
    State(api): State<Api>,
    Id(order_id): Id<OrderId>,
    ask: Ask<SetTags>,
) -> Result<Answer, Failure> {
    let command = Command::try_from(ask.body)?;
    let told = Told::at_once(StatusCode::OK);
    api.order(&ask.how, order_id, command, told).await
}

impl Api {
    /// The currency of an order; for a missing order the caller's one, because the decision will report that the order
    /// is missing.
    pub(super) async fn currency(
        &self,
        how: &How,
        order_id: OrderId,
        given: Option<Currency>,
    ) -> Result<Currency, Failure> {
        let Some(given) = given else {
            return Ok(Currency::default());
        };
        let name = stream::order(order_id);
        let loaded = self.executor().load::<Order>(&how.caller.tenant, &name).await;
        let (order, _) = loaded.map_err(|error| Failure::unanswered(&error, how.request_id.as_deref()))?;
        Ok(match &*order {
            Order::Placed(order) => order.currency,
            Order::Absent => given,
        })
    }
}

/// The problem for a rejected order, for callers who asked for one.
pub(super) fn rejected(order: &Placed, rejection: &Rejection) -> Failure {
    let (code, detail) = match rejection.reason {
        RejectReason::OutOfStock => ("out-of-stock", "not all that is ordered can be promised"),
        RejectReason::PaymentDeclined => ("payment-declined", "the provider will not hold the money"),
        RejectReason::Expired => ("order-rejected", "the reservation ended before the order could be confirmed"),
        RejectReason::Fraud => ("order-rejected", "the order was taken for fraud"),
    };
    let mut failure = Failure::new(code, detail).with("order_id", order.order_id.to_string());
    if let Ok(Value::Object(numbers)) = serde_json::to_value(RejectionBody::new(rejection)) {
        for (name, value) in numbers {
            // `detail` is a field of the problem itself; the provider's detail is stored beside it.
            let name = if name == "detail" { "provider_code" } else { name.as_str() };
            failure = failure.with(name, value);
        }
    }
    failure
}
