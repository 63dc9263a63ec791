//! Stock by hand: registered, received, adjusted, counted. Each is about one SKU at one location.

use axum::extract::State;
use axum::http::StatusCode;
use domain::ids::Sku;
use domain::stock::Stock;
use domain::stream;
use domain::text::Entered;
use schemas::http::stock::{AdjustStock, At, CountStock, ReceiveStock, RegisterStock, StockBody};

use super::Api;
use super::answer::{Answer, Place};
use super::describe::{CommandHeaders, CommandQuery, answers};
use super::extract::{Ask, How, Id};
use super::problem::Failure;
use crate::execute::Plan;

answers! {
    RegisterAnswers: [200] "StockBody", [];
    ReceiveAnswers: [201] "StockBody", ["invalid-quantity"];
    AdjustAnswers: [201] "StockBody", [
        "below-zero", "id-taken", "invalid-quantity", "stock-changed", "would-break-reservations",
    ];
    CountAnswers: [201] "StockBody", ["invalid-quantity", "would-break-reservations"];
}

/// Keep a SKU at a location, on these terms.
#[utoipa::path(put, path = "/v1/stock/{sku}", tag = "stock", request_body = RegisterStock,
    params(("sku" = String, Path), CommandHeaders, CommandQuery), responses(RegisterAnswers))]
pub(super) async fn register(
    State(api): State<Api>,
    Id(Entered(sku)): Id<Entered<Sku>>,
    ask: Ask<RegisterStock>,
) -> Result<Answer, Failure> {
    let defaults = &api.settings().defaults;
    let at = ask.body.try_into_command(sku.clone(), defaults)?;
    api.stock(&ask.how, &sku, at, StatusCode::OK).await
}

/// Record units that came in. Orders that wait for them get them, oldest first.
#[utoipa::path(post, path = "/v1/stock/{sku}/receipts", tag = "stock", request_body = ReceiveStock,
    params(("sku" = String, Path), CommandHeaders, CommandQuery), responses(ReceiveAnswers))]
pub(super) async fn receive(
    State(api): State<Api>,
    Id(Entered(sku)): Id<Entered<Sku>>,
    ask: Ask<ReceiveStock>,
) -> Result<Answer, Failure> {
    let defaults = &api.settings().defaults;
    let at = ask.body.try_into_command(sku.clone(), defaults)?;
    api.stock(&ask.how, &sku, at, StatusCode::CREATED).await
}

/// Say that there is more or less than the book says.
#[utoipa::path(post, path = "/v1/stock/{sku}/adjustments", tag = "stock", request_body = AdjustStock,
    params(("sku" = String, Path), CommandHeaders, CommandQuery), responses(AdjustAnswers))]
pub(super) async fn adjust(
    State(api): State<Api>,
    Id(Entered(sku)): Id<Entered<Sku>>,
    ask: Ask<AdjustStock>,
) -> Result<Answer, Failure> {
    let defaults = &api.settings().defaults;
    let at = ask.body.try_into_command(ask.how.names(), defaults)?;
    api.stock(&ask.how, &sku, at, StatusCode::CREATED).await
}

/// Record a count.
#[utoipa::path(post, path = "/v1/stock/{sku}/counts", tag = "stock", request_body = CountStock,
    params(("sku" = String, Path), CommandHeaders, CommandQuery), responses(CountAnswers))]
pub(super) async fn count(
    State(api): State<Api>,
    Id(Entered(sku)): Id<Entered<Sku>>,
    ask: Ask<CountStock>,
) -> Result<Answer, Failure> {
    let at = ask.body.try_into_command(&api.settings().defaults)?;
    api.stock(&ask.how, &sku, at, StatusCode::CREATED).await
}

impl Api {
    /// Runs a command to stock and answers with the stock. The work belongs to nothing but the command itself.
    async fn stock(
        &self,
        how: &How,
        sku: &Sku,
        (location, command): At,
        status: StatusCode,
    ) -> Result<Answer, Failure> {
        let name = stream::stock(&location, sku);
        let plan = Plan::new().and::<Stock>(name.clone(), command);
        let done = self.run(how, &name, how.command_id, plan).await?;
        if how.dry_run {
            return self.dry_run(how, &done);
        }
        let version = done.version(&name).unwrap_or(0);
        let stock = done.state::<Stock>(&name);
        match stock.and_then(|stock| StockBody::new(&stock, version)) {
            Some(body) => self.answer(how, status, &body, Place::of(&done, &name)),
            None => Err(Failure::internal(how.request_id.as_deref(), &"the answer lacks its stock")),
        }
    }
}
