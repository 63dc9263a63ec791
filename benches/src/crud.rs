//! The opponent: the service that a careful team writes without events, on PostgreSQL, with the provider that Daybook has. One
//! transaction places and takes the stock, the provider is asked, a second transaction confirms. It keeps no history and has no read
//! models, and must do nothing that such a team would not do, neither less nor more.

mod order;
mod place;
mod provider;
mod settle;
mod view;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::net::TcpListener;

use self::provider::Provider;
use crate::checkout::{SKUS, STOCK};

/// Connections to the database: more than the processors of a database of this size can use.
const CONNECTIONS: u32 = 25;

/// How the opponent is started.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Its database, empty: its tables are made, and its stock is filled.
    #[arg(long, value_name = "URL")]
    database: String,
    /// The folder of the provider's book.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Address and port.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
}

/// What handlers share.
#[derive(Clone)]
struct Service {
    pool: PgPool,
    provider: Arc<Provider>,
}

/// Serves until it is ended.
///
/// # Errors
/// If the database or the provider cannot be used.
pub(crate) async fn serve(options: &Options) -> anyhow::Result<()> {
    std::fs::create_dir_all(&options.data)?;
    let provider = Arc::new(Provider::open(&options.data)?);
    let address: PgConnectOptions = options.database.parse()?;
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).min_connections(CONNECTIONS);
    // A ping before each use would be a round trip that no request needs.
    let pool = pool.test_before_acquire(false).connect_with(address).await.context("the database does not answer")?;
    sqlx::raw_sql(include_str!("crud/schema.sql")).execute(&pool).await.context("the tables cannot be made")?;
    let stock =
        "INSERT INTO stock (sku, qty) SELECT 'BENCH-' || lpad(n::text, 5, '0'), $2 FROM generate_series(0, $1 - 1) n";
    sqlx::query(stock).bind(i32::try_from(SKUS)?).bind(i64::from(STOCK)).execute(&pool).await?;
    sqlx::query("ANALYZE").execute(&pool).await?;
    let routes = Router::new()
        .route("/v1/orders", post(place::place).get(view::page))
        .route("/v1/orders/{id}", get(view::order))
        .route("/readyz", get(|| async { StatusCode::OK }))
        .with_state(Service { pool, provider });
    let listener = TcpListener::bind(options.listen).await?;
    axum::serve(listener, routes).await?;
    Ok(())
}

/// Why a request is not done.
#[derive(Debug)]
enum Refusal {
    /// The body cannot be an order.
    Malformed(&'static str),
    /// Not all that is ordered is there.
    OutOfStock(String),
    /// The provider does not hold the money.
    Declined(String),
    /// The key names another request.
    KeyReused,
    /// The first request of this key is not answered yet, or its payment is unknown.
    InProgress,
    /// There is no such order.
    Unknown,
    /// The database failed.
    Database(sqlx::Error),
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code, detail) = match self {
            Self::Malformed(what) => (StatusCode::BAD_REQUEST, "malformed", what.to_owned()),
            Self::OutOfStock(sku) => (StatusCode::CONFLICT, "out-of-stock", sku),
            Self::Declined(code) => (StatusCode::CONFLICT, "payment-declined", code),
            Self::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", String::new()),
            Self::InProgress => (StatusCode::CONFLICT, "in-progress", String::new()),
            Self::Unknown => (StatusCode::NOT_FOUND, "not-found", String::new()),
            Self::Database(error) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string()),
        };
        (status, Json(json!({ "code": code, "detail": detail }))).into_response()
    }
}
