//! The second transaction: what the provider said of an order's payment.

use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::order::Order;

/// Confirms an order: its status, its payment, an audit row and an outbox row.
pub(super) async fn confirm(
    pool: &PgPool,
    order_id: Uuid,
    payment_id: Uuid,
    total: i64,
    provider_ref: &str,
) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    status(&mut transaction, order_id, "confirmed").await?;
    let sql = "INSERT INTO payment (payment_id, order_id, amount, provider_ref, status) VALUES ($1, $2, $3, $4, 'authorised')";
    sqlx::query(sql).bind(payment_id).bind(order_id).bind(total).bind(provider_ref).execute(&mut *transaction).await?;
    told(&mut transaction, order_id, "order.confirmed").await?;
    transaction.commit().await
}

/// Rejects an order, and puts its stock back.
pub(super) async fn reject(pool: &PgPool, order_id: Uuid, order: &Order) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    status(&mut transaction, order_id, "rejected").await?;
    let mut back: Vec<(&str, i64)> = order.lines.iter().map(|line| (line.sku.as_str(), line.qty)).collect();
    back.sort_unstable();
    for (sku, qty) in back {
        let sql = "UPDATE stock SET qty = qty + $2 WHERE sku = $1";
        sqlx::query(sql).bind(sku).bind(qty).execute(&mut *transaction).await?;
    }
    told(&mut transaction, order_id, "order.rejected").await?;
    transaction.commit().await
}

async fn status(transaction: &mut Transaction<'_, Postgres>, order_id: Uuid, status: &str) -> Result<(), sqlx::Error> {
    let sql = "UPDATE customer_order SET status = $2 WHERE order_id = $1 AND status = 'pending'";
    sqlx::query(sql).bind(order_id).bind(status).execute(&mut **transaction).await?;
    Ok(())
}

async fn told(transaction: &mut Transaction<'_, Postgres>, order_id: Uuid, what: &str) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO audit (order_id, actor, what) VALUES ($1, 'web', $2)";
    sqlx::query(sql).bind(order_id).bind(what).execute(&mut **transaction).await?;
    let body = serde_json::json!({ "order_id": order_id });
    let sql = "INSERT INTO outbox (kind, body) VALUES ($1, $2)";
    sqlx::query(sql).bind(what).bind(body.to_string()).execute(&mut **transaction).await?;
    Ok(())
}
