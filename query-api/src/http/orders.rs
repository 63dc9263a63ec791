//! Orders: the list, one order now or in the past, and the difference between two moments of it.

use axum::extract::State;
use axum::http::HeaderMap;
use domain::ids::OrderId;
use domain::order::Order;
use domain::stream;
use domain::time::Timestamp;
use projections::order_detail;
use projections::order_list::{self, Filter, Query, Sort, Summary};
use schemas::http::money::Money;
use schemas::http::order::OrderBody;
use schemas::http::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::{CountBody, Listing, Shown};
use super::caller::Caller;
use super::params::{Id, MOST, Params};
use super::problem::{Absent, Failure, Late};
use crate::diff::{self, Change};
use crate::history::{self, At, Moment};

/// One order of the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrderSummaryBody {
    /// The order.
    #[schema(value_type = uuid::Uuid)]
    pub order_id: OrderId,
    /// Its stream's version.
    #[schema(example = 7)]
    pub version: u64,
    /// When it was placed, in the business's own time.
    #[schema(value_type = String, format = DateTime)]
    pub placed_at: Timestamp,
    /// When that was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
    /// When its last event was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// How far it is.
    #[schema(example = "confirmed")]
    pub status: String,
    /// Where its stock stands.
    #[schema(example = "reserved")]
    pub stock_status: String,
    /// Where its money stands.
    #[schema(example = "authorised")]
    pub payment_status: String,
    /// Where its goods stand.
    #[schema(example = "unfulfilled")]
    pub fulfilment_status: String,
    /// Where its returns stand.
    #[schema(example = "none")]
    pub return_status: String,
    /// Whether a hold is open.
    pub on_hold: bool,
    /// Whether an authorisation of it ends soon or has ended, and what it held is still to be taken and nowhere else held.
    pub payment_ending: bool,
    /// Where it comes from.
    #[schema(example = "web")]
    pub channel: String,
    /// Its number there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_ref: Option<String>,
    /// Who ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The total, edits included.
    pub total: Money,
    /// The amount that the customer owes in all.
    pub owed: Money,
    /// The captured amount.
    pub captured: Money,
    /// The refunded amount.
    pub refunded: Money,
    /// How many lines it has.
    pub lines: u64,
    /// How many units were ordered.
    pub units: u64,
    /// Its labels.
    pub tags: Vec<String>,
    /// Why it was rejected, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reject_reason: Option<String>,
}

impl TryFrom<Summary> for OrderSummaryBody {
    type Error = Failure;

    fn try_from(order: Summary) -> Result<Self, Failure> {
        let currency = order.currency.parse().map_err(|error| Failure::internal(&error))?;
        let money = |amount| Money::new(amount, currency);
        Ok(Self {
            order_id: order.order_id,
            version: order.version,
            placed_at: Timestamp::from_micros(order.placed_at),
            recorded_at: Timestamp::from_micros(order.recorded_at),
            updated_at: Timestamp::from_micros(order.updated_at),
            status: order.status,
            stock_status: order.stock_status,
            payment_status: order.payment_status,
            fulfilment_status: order.fulfilment_status,
            return_status: order.return_status,
            on_hold: order.on_hold,
            payment_ending: order.payment_ending,
            channel: order.channel,
            external_ref: order.external_ref,
            customer: order.customer,
            total: money(order.total),
            owed: money(order.owed),
            captured: money(order.captured),
            refunded: money(order.refunded),
            lines: order.lines,
            units: order.units,
            tags: order.tags,
            reject_reason: order.reject_reason,
        })
    }
}

/// The filters of the list. Each field can also be compared by `field[op]`, with `eq`, `in` (comma-separated), `gte`,
/// `lt`, `prefix`, as far as the field supports them: `placed_at[gte]=2011-01-01T00:00:00Z`,
/// `status[in]=pending,confirmed`. The description of the route says which can be combined.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the handler reads")]
struct ListParams {
    /// Only orders of this status; likewise `stock_status`, `payment_status`, `fulfilment_status`, `return_status`.
    status: Option<String>,
    /// Only orders with this stock status.
    stock_status: Option<String>,
    /// Only orders with this payment status.
    payment_status: Option<String>,
    /// Only orders with this fulfilment status.
    fulfilment_status: Option<String>,
    /// Only orders with this return status.
    return_status: Option<String>,
    /// Only orders with an open hold, or without.
    on_hold: Option<bool>,
    /// Only orders of which an authorisation ends soon or has ended with money still to be taken, or the others.
    payment_ending: Option<bool>,
    /// Only orders of this channel.
    channel: Option<String>,
    /// Only orders of this external reference.
    external_ref: Option<String>,
    /// Only orders of this customer.
    customer: Option<String>,
    /// Only orders in this currency.
    currency: Option<String>,
    /// Only orders placed at this instant of business time.
    placed_at: Option<String>,
    /// Only orders that changed last at this instant.
    updated_at: Option<String>,
    /// Only orders of this total, in minor units.
    total: Option<i64>,
    /// Only orders with a line of this SKU.
    sku: Option<String>,
    /// Only orders with this label.
    tag: Option<String>,
    /// `placed_at`, `updated_at` or `total`, with `-` before it for falling; `-placed_at` if left out.
    sort: Option<String>,
    /// How many.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
    /// `exact` or `estimate`: return the number of orders. It comes from counters: exact without filters and with a
    /// single filter on a status, `on_hold` or `payment_ending`; otherwise an estimate, and marked as one.
    count: Option<String>,
    /// Wait until the answer shows at least this position.
    min_position: Option<u64>,
}

/// The list of orders.
#[utoipa::path(get, path = "/v1/orders", tag = "orders", params(ListParams), responses(
    (status = 200, description = "A page", body = Listing<OrderSummaryBody>,
        headers(("daybook-position" = u64, description = "The last position that the page shows"))),
    (status = 400, description = "`bad-filter`, `malformed-query`, `future-position`", body = Problem, content_type = "application/problem+json"),
    (status = 410, description = "`cursor-expired`", body = Problem, content_type = "application/problem+json"),
    Late,
))]
pub(super) async fn list(State(api): State<Api>, caller: Caller, mut params: Params) -> Result<Shown, Failure> {
    let min_position = params.min_position()?;
    let count = match params.text("count")?.as_deref() {
        None => false,
        Some("exact" | "estimate") => true,
        Some(_) => {
            return Err(Failure::at("malformed-query", "count", "count must be exact or estimate"));
        }
    };
    let query = Query {
        tenant: caller.tenant.as_str().to_owned(),
        limit: params.limit(MOST)?,
        cursor: params.text("cursor")?,
        sort: params.text("sort")?.map_or(Ok(Sort::default()), |sort| Sort::parse(&sort))?,
        count,
        filters: filters(params)?,
    };
    api.reach("order_list", min_position).await?;
    let answer = order_list::page(&api.reads(), &query).await?;
    let page = answer.value;
    Shown::page(&Listing {
        items: page.orders.into_iter().map(OrderSummaryBody::try_from).collect::<Result<Vec<_>, _>>()?,
        next: page.next,
        count: page.count.map(|count| CountBody { value: count.value, exact: count.exact }),
        position: answer.position,
        stale: answer.stale,
        held: answer.held,
    })
}

/// The most conditions that a list is narrowed by.
const MOST_FILTERS: usize = 20;

fn filters(params: Params) -> Result<Vec<Filter>, Failure> {
    let rest = params.rest();
    if rest.len() > MOST_FILTERS {
        return Err(Failure::new("bad-filter", format!("there are more than {MOST_FILTERS} filters")));
    }
    Ok(rest.iter().map(|(name, value)| Filter::parse(name, value)).collect::<Result<_, _>>()?)
}

/// When.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the handlers read")]
pub(super) struct AsOf {
    /// As it was at this instant of the server's clock.
    #[param(format = DateTime)]
    as_of_time: Option<String>,
    /// As it was when the log had this position.
    as_of_position: Option<u64>,
    /// As it was when its stream had this version.
    as_of_version: Option<u64>,
    /// Wait until the answer shows at least this position.
    min_position: Option<u64>,
}

/// One order, now or as it was.
#[utoipa::path(get, path = "/v1/orders/{id}", tag = "orders",
    params(("id" = uuid::Uuid, Path), AsOf, ("If-None-Match" = Option<String>, Header, description = "The known ETag")),
    responses(
    (status = 200, description = "The order. As of a past moment it never changes, and may be cached permanently", body = OrderBody,
        headers(("etag" = String, description = "The version of its stream"),
            ("daybook-position" = u64, description = "The position that the answer shows"))),
    (status = 304, description = "It still has the known version"),
    (status = 400, description = "`future-instant`, `future-position`, `malformed-query`, `malformed-path`", body = Problem,
        content_type = "application/problem+json"),
    Absent,
    Late,
))]
pub(super) async fn one(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id<OrderId>,
    mut params: Params,
    headers: HeaderMap,
) -> Result<Shown, Failure> {
    let (min_position, as_of) = (params.min_position()?, params.as_of()?);
    params.end()?;
    if let Some(at) = as_of {
        api.reach_log(min_position).await?;
        let moment = history::order_at(&*api.log, caller.tenant.as_str(), id, at).await?;
        let Order::Placed(placed) = &moment.state else {
            return Err(Failure::absent("order"));
        };
        let body = OrderBody::new(placed, moment.version);
        return Ok(Shown::new(&body, moment.position)?.settled(moment.settled).at_version(moment.version, &headers));
    }
    let tenant = caller.tenant.as_str();
    api.reach_stream("order_detail", tenant, stream::order(id), min_position).await?;
    let mut answer = order_detail::by_id(&api.reads(), tenant, id).await?;
    if answer.value.is_none() {
        api.surely("order_detail", tenant, Some(stream::order(id)), "order").await?;
        answer = order_detail::by_id(&api.reads(), tenant, id).await?;
    }
    let Some(detail) = answer.value else {
        return Err(Failure::absent("order"));
    };
    let Order::Placed(placed) = &detail.order else {
        return Err(Failure::absent("order"));
    };
    let body = OrderBody::new(placed, detail.version);
    Ok(Shown::new(&body, answer.position)?.stale(answer.stale).at_version(detail.version, &headers))
}

/// A moment of an order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MomentBody {
    /// Its stream's version then; 0 if it was not there yet.
    pub version: u64,
    /// The position that this stands for.
    pub position: u64,
    /// When the event of that version was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub recorded_at: Option<Timestamp>,
}

impl<S> From<&Moment<S>> for MomentBody {
    fn from(moment: &Moment<S>) -> Self {
        Self {
            version: moment.version,
            position: moment.position,
            recorded_at: (moment.version > 0).then(|| Timestamp::from_micros(moment.recorded_at)),
        }
    }
}

/// The difference between two moments of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DiffBody {
    /// The first moment.
    pub from: MomentBody,
    /// The second one.
    pub to: MomentBody,
    /// What differs, place by place.
    pub changes: Vec<Change>,
}

/// The difference between two moments of an order.
#[utoipa::path(get, path = "/v1/orders/{id}/diff", tag = "orders",
    params(("id" = uuid::Uuid, Path),
        ("from" = String, Query, description = "A version (`v3`), a position (`p4711`) or an instant"),
        ("to" = Option<String>, Query, description = "The same; by default now")),
    responses(
    (status = 200, description = "The differences", body = DiffBody),
    (status = 400, description = "`future-instant`, `malformed-query`, `malformed-path`", body = Problem,
        content_type = "application/problem+json"),
    Absent,
    (status = 503, description = "`unreadable-record`, `log-damaged`, `unavailable`", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn diff(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id<OrderId>,
    mut params: Params,
) -> Result<Shown, Failure> {
    let from = params.text("from")?.ok_or_else(|| Failure::at("malformed-query", "from", "from is compulsory"))?;
    let to = params.text("to")?;
    params.end()?;
    let (from, to) = (moment("from", &from)?, to.map_or(Ok(At::Now), |to| moment("to", &to))?);
    let tenant = caller.tenant.as_str();
    let before = history::order_at(&*api.log, tenant, id, from).await?;
    let after = history::order_at(&*api.log, tenant, id, to).await?;
    if before.version == 0 && after.version == 0 {
        return Err(Failure::absent("order"));
    }
    let changes = diff::changes(&document(&before)?, &document(&after)?);
    let body = DiffBody { from: (&before).into(), to: (&after).into(), changes };
    Ok(Shown::new(&body, before.position.max(after.position))?.settled(before.settled && after.settled))
}

/// `v3` is a version, `p4711` a position, anything else an instant.
fn moment(name: &str, text: &str) -> Result<At, Failure> {
    let bad = || {
        Failure::at("malformed-query", name, format!("{name} must be v and a version, p and a position, or an instant"))
    };
    let number =
        |digits: &str| digits.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok()).ok_or_else(bad);
    match text.split_at_checked(1) {
        Some(("v", version)) => number(version).map(At::Version),
        Some(("p", position)) => number(position).map(At::Position),
        _ => text.parse::<Timestamp>().map(|at| At::Instant(at.micros())).map_err(|_| bad()),
    }
}

/// The view of an order at a moment, without the version, which always differs.
fn document(moment: &Moment<Order>) -> Result<Value, Failure> {
    let Order::Placed(placed) = &moment.state else {
        return Ok(json!({}));
    };
    let body = OrderBody::new(placed, moment.version);
    let mut document = serde_json::to_value(body).map_err(|error| Failure::internal(&error))?;
    if let Some(fields) = document.as_object_mut() {
        fields.remove("version");
    }
    Ok(document)
}
