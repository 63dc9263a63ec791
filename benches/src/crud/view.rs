//! What the opponent answers: an order, and a page of orders.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use super::order::{self, Order, Priced};
use super::{Refusal, Service};

/// An order as it is answered.
#[derive(Debug, Serialize)]
pub(super) struct Body {
    pub(super) order_id: Uuid,
    pub(super) status: String,
    channel: String,
    customer_ref: String,
    currency: String,
    total: String,
    lines: Vec<LineBody>,
}

#[derive(Debug, Serialize)]
struct LineBody {
    line_id: i32,
    sku: String,
    title: String,
    qty: i64,
    #[serde(serialize_with = "minor")]
    unit_price: i64,
    tax_bp: i32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn minor<S: serde::Serializer>(amount: &i64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&order::text(*amount))
}

/// An order in a list.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    order_id: Uuid,
    status: String,
    channel: String,
    customer_ref: String,
    currency: String,
    #[serde(serialize_with = "minor")]
    total: i64,
}

/// The columns of an order as its query names them.
type Row = (Uuid, String, String, String, String, i64);

impl From<Row> for Summary {
    fn from((order_id, status, channel, customer_ref, currency, total): Row) -> Self {
        Self { order_id, status, channel, customer_ref, currency, total }
    }
}

/// A page of orders.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    items: Vec<Summary>,
}

/// Which page.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    limit: i64,
}

impl Body {
    /// An order that was just written.
    pub(super) fn of(order_id: Uuid, status: &str, order: &Order, priced: &Priced) -> Self {
        let lines = (1..).zip(order.lines.iter().zip(&priced.prices));
        Self {
            order_id,
            status: status.to_owned(),
            channel: order.channel.clone(),
            customer_ref: order.customer_ref.clone(),
            currency: order.currency.clone(),
            total: order::text(priced.total),
            lines: lines
                .map(|(line_id, (line, price))| LineBody {
                    line_id,
                    sku: line.sku.clone(),
                    title: line.title.clone(),
                    qty: line.qty,
                    unit_price: *price,
                    tax_bp: line.tax_bp,
                })
                .collect(),
        }
    }
}

/// Reads an order with its lines.
pub(super) async fn load(pool: &PgPool, order_id: Uuid) -> Result<Option<Body>, sqlx::Error> {
    let sql = "SELECT order_id, status, channel, customer_ref, currency, total FROM customer_order WHERE order_id = $1";
    let Some(row) = sqlx::query_as::<_, Row>(sql).bind(order_id).fetch_optional(pool).await? else {
        return Ok(None);
    };
    let found = Summary::from(row);
    let sql =
        "SELECT line_id, sku, title, qty, unit_price, tax_bp FROM order_line WHERE order_id = $1 ORDER BY line_id";
    let rows: Vec<(i32, String, String, i64, i64, i32)> = sqlx::query_as(sql).bind(order_id).fetch_all(pool).await?;
    let lines = rows.into_iter().map(|(line_id, sku, title, qty, unit_price, tax_bp)| LineBody {
        line_id,
        sku,
        title,
        qty,
        unit_price,
        tax_bp,
    });
    Ok(Some(Body {
        order_id,
        status: found.status,
        channel: found.channel,
        customer_ref: found.customer_ref,
        currency: found.currency,
        total: order::text(found.total),
        lines: lines.collect(),
    }))
}

/// `GET /v1/orders/{id}`
pub(super) async fn order(State(service): State<Service>, Path(order_id): Path<Uuid>) -> Result<Json<Body>, Refusal> {
    load(&service.pool, order_id).await?.map(Json).ok_or(Refusal::Unknown)
}

/// `GET /v1/orders`: the newest first.
pub(super) async fn page(State(service): State<Service>, Query(wanted): Query<Wanted>) -> Result<Json<Page>, Refusal> {
    let sql = "SELECT order_id, status, channel, customer_ref, currency, total FROM customer_order \
               ORDER BY placed_at DESC, order_id LIMIT $1";
    let rows: Vec<Row> = sqlx::query_as(sql).bind(wanted.limit.clamp(1, 200)).fetch_all(&service.pool).await?;
    Ok(Json(Page { items: rows.into_iter().map(Summary::from).collect() }))
}
