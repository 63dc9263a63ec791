//! `POST /v1/orders`: key, order, lines, stock and outbox in one transaction; then the provider; then what it says, in a second one.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use domain::text::Entered;
use sagas::gateway::Answer;
use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::order::{Order, Priced};
use super::provider::Authorise;
use super::view::Body;
use super::{Refusal, Service, settle, view};

/// Places an order and answers when it is confirmed or refused.
pub(super) async fn place(
    State(service): State<Service>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Body>), Refusal> {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).filter(|key| key.len() <= 255);
    let key = key.ok_or(Refusal::Malformed("Idempotency-Key"))?;
    let order: Order = serde_json::from_slice(&body).map_err(|_| Refusal::Malformed("the body"))?;
    let currency: Entered<domain::money::Currency> =
        serde_json::from_value(order.currency.clone().into()).map_err(|_| Refusal::Malformed("currency"))?;
    let priced = order.priced()?;
    let (order_id, payment_id) = (Uuid::now_v7(), Uuid::now_v7());
    let mut transaction = service.pool.begin().await?;
    let fingerprint = Sha256::digest(&body);
    if let Some(first) = taken(&mut transaction, key, &fingerprint, order_id).await? {
        transaction.rollback().await?;
        return match view::load(&service.pool, first).await? {
            Some(body) if body.status == "confirmed" => Ok((StatusCode::CREATED, Json(body))),
            Some(body) if body.status == "rejected" => Err(Refusal::Declined("rejected before".into())),
            _ => Err(Refusal::InProgress),
        };
    }
    store(&mut transaction, order_id, &order, &priced).await?;
    take(&mut transaction, &order).await?;
    outbox(&mut transaction, "order.placed", order_id, &order).await?;
    transaction.commit().await?;
    let asked = Authorise {
        order_id,
        payment_id,
        total: priced.total,
        currency: currency.0,
        instrument: &order.payment.instrument,
    };
    match service.provider.authorise(asked).await {
        Answer::Done(done) => {
            settle::confirm(&service.pool, order_id, payment_id, priced.total, &done.provider_ref).await?;
            Ok((StatusCode::CREATED, Json(Body::of(order_id, "confirmed", &order, &priced))))
        }
        Answer::NotDone { code } => {
            settle::reject(&service.pool, order_id, &order).await?;
            Err(Refusal::Declined(code))
        }
        // A later attempt finds out; until then the order is pending.
        Answer::Unknown { .. } | Answer::Later { .. } => Err(Refusal::InProgress),
    }
}

/// Takes the key for an order; the order that has it, if it is taken. A request with the same key that is under way is waited for by
/// the database itself.
async fn taken(
    transaction: &mut Transaction<'_, Postgres>,
    key: &str,
    fingerprint: &[u8],
    order_id: Uuid,
) -> Result<Option<Uuid>, Refusal> {
    let sql =
        "INSERT INTO idempotency_key (key, fingerprint, order_id) VALUES ($1, $2, $3) ON CONFLICT (key) DO NOTHING";
    let made = sqlx::query(sql).bind(key).bind(fingerprint).bind(order_id).execute(&mut **transaction).await?;
    if made.rows_affected() == 1 {
        return Ok(None);
    }
    let sql = "SELECT fingerprint, order_id FROM idempotency_key WHERE key = $1";
    let (stored, first): (Vec<u8>, Uuid) = sqlx::query_as(sql).bind(key).fetch_one(&mut **transaction).await?;
    if stored == fingerprint { Ok(Some(first)) } else { Err(Refusal::KeyReused) }
}

async fn store(
    transaction: &mut Transaction<'_, Postgres>,
    order_id: Uuid,
    order: &Order,
    priced: &Priced,
) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO customer_order (order_id, channel, customer_ref, currency, total, status) VALUES ($1, $2, $3, $4, $5, 'pending')";
    sqlx::query(sql)
        .bind(order_id)
        .bind(&order.channel)
        .bind(&order.customer_ref)
        .bind(&order.currency)
        .bind(priced.total)
        .execute(&mut **transaction)
        .await?;
    let column = |of: fn(&super::order::Line) -> &String| order.lines.iter().map(of).cloned().collect::<Vec<_>>();
    let numbers: Vec<i32> = (1..).take(order.lines.len()).collect();
    let sql = "INSERT INTO order_line (order_id, line_id, sku, title, qty, unit_price, tax_bp) \
               SELECT $1, * FROM UNNEST($2::int[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::int[])";
    sqlx::query(sql)
        .bind(order_id)
        .bind(numbers)
        .bind(column(|line| &line.sku))
        .bind(column(|line| &line.title))
        .bind(order.lines.iter().map(|line| line.qty).collect::<Vec<_>>())
        .bind(&priced.prices)
        .bind(order.lines.iter().map(|line| line.tax_bp).collect::<Vec<_>>())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Takes the stock, SKU by SKU in their order, so that no two orders wait for each other.
async fn take(transaction: &mut Transaction<'_, Postgres>, order: &Order) -> Result<(), Refusal> {
    let mut wanted: Vec<(&str, i64)> = order.lines.iter().map(|line| (line.sku.as_str(), line.qty)).collect();
    wanted.sort_unstable();
    for (sku, qty) in wanted {
        let sql = "UPDATE stock SET qty = qty - $2 WHERE sku = $1 AND qty >= $2";
        let taken = sqlx::query(sql).bind(sku).bind(qty).execute(&mut **transaction).await?;
        if taken.rows_affected() == 0 {
            return Err(Refusal::OutOfStock(sku.to_owned()));
        }
    }
    Ok(())
}

/// Says it to others, later: the row goes with the transaction.
pub(super) async fn outbox(
    connection: &mut PgConnection,
    kind: &str,
    order_id: Uuid,
    order: &Order,
) -> Result<(), sqlx::Error> {
    let body = serde_json::json!({ "order_id": order_id, "customer_ref": order.customer_ref, "lines": order.lines });
    let sql = "INSERT INTO outbox (kind, body) VALUES ($1, $2)";
    sqlx::query(sql).bind(kind).bind(body.to_string()).execute(connection).await?;
    Ok(())
}
