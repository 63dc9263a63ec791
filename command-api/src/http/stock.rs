//! Stock by hand: registered, received, adjusted, counted. Each is about one SKU at one location.

use axum::extract::State;
use axum::http::StatusCode;
use domain::ids::{OrderId, Sku};
use domain::stock::Stock;
use domain::stream::{self, StreamName};
use domain::text::Entered;
use schemas::http::stock::{AdjustStock, At, CountStock, DeferStock, ReceiveStock, RegisterStock, StockBody};

use super::Api;
use super::answer::{Answer, Place};
use super::describe::{CommandHeaders, CommandQuery, answers};
use super::extract::{Ask, How, Id};
use super::problem::Failure;
use crate::claims::{self, Held, Known};
use crate::execute::{Done, Plan};

answers! {
    RegisterAnswers: [200] "StockBody", [];
    ReceiveAnswers: [201] "StockBody", ["invalid-quantity"];
    AdjustAnswers: [201] "StockBody", [
        "below-zero", "id-taken", "invalid-quantity", "stock-changed", "would-break-reservations",
    ];
    CountAnswers: [201] "StockBody", ["invalid-quantity", "would-break-reservations"];
    DeferAnswers: [201] "StockBody", ["not-reserved", "not-short", "order-state"];
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

/// Adjust the stock by a difference from the recorded quantity.
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

/// Let reserved units of an order that are short wait for stock again. They are reserved again when stock arrives, in
/// the order's old place in the queue.
#[utoipa::path(post, path = "/v1/stock/{sku}/backorders", tag = "stock", request_body = DeferStock,
    params(("sku" = String, Path), CommandHeaders, CommandQuery), responses(DeferAnswers))]
pub(super) async fn defer(
    State(api): State<Api>,
    Id(Entered(sku)): Id<Entered<Sku>>,
    ask: Ask<DeferStock>,
) -> Result<Answer, Failure> {
    let wish = ask.body.check(&api.settings().defaults)?;
    let name = stream::stock(&wish.location, &sku);
    let held = Held { sku, location: wish.location, qty: wish.qty, reason: wish.reason };
    api.defer(&ask.how, &name, wish.order_id, &held).await
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
        self.stock_answer(how, &name, &done, status)
    }

    async fn defer(&self, how: &How, name: &StreamName, order_id: OrderId, held: &Held) -> Result<Answer, Failure> {
        let (executor, tenant) = (self.executor(), &how.caller.tenant);
        let plan = |again| claims::deferral(Known { executor, tenant, again }, order_id, held);
        let answer = executor.execute_planned(how.envelope(name, order_id.0), plan).await;
        let done = self.done(how, name, answer).await?;
        self.stock_answer(how, name, &done, StatusCode::CREATED)
    }

    fn stock_answer(&self, how: &How, name: &StreamName, done: &Done, status: StatusCode) -> Result<Answer, Failure> {
        if how.dry_run {
            return self.dry_run(how, done);
        }
        let version = done.version(name).unwrap_or(0);
        let stock = done.state::<Stock>(name);
        match stock.and_then(|stock| StockBody::new(&stock, version)) {
            Some(body) => self.answer(how, status, &body, Place::of(done, name)),
            None => Err(Failure::internal(how.request_id.as_deref(), &"the answer lacks its stock")),
        }
    }
}
