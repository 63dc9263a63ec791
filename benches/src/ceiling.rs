//! The ceiling: the same HTTP stack that parses the same body and answers as many bytes, and stores nothing. No service of this stack
//! can be faster with this client.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use schemas::http::placement::PlaceOrder;
use serde::Serialize;
use tokio::net::TcpListener;
use uuid::Uuid;

/// How the ceiling is started.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How many bytes the body of an answer has.
    #[arg(long, value_name = "BYTES", default_value_t = 2_000)]
    bytes: usize,
    /// Address and port.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
}

#[derive(Serialize)]
struct Body {
    order_id: Uuid,
    status: &'static str,
    lines: usize,
    filling: Arc<str>,
}

/// What a body has beside its filling, about.
const FRAME: usize = 110;

/// Serves until it is ended.
///
/// # Errors
/// If the address cannot be used.
pub(crate) async fn serve(options: &Options) -> anyhow::Result<()> {
    let filling: Arc<str> = "x".repeat(options.bytes.saturating_sub(FRAME)).into();
    let routes = Router::new()
        .route("/v1/orders", post(answer))
        .route("/readyz", get(|| async { StatusCode::OK }))
        .with_state(filling);
    axum::serve(TcpListener::bind(options.listen).await?, routes).await?;
    Ok(())
}

async fn answer(State(filling): State<Arc<str>>, Json(order): Json<PlaceOrder>) -> impl IntoResponse {
    let body = Body { order_id: Uuid::now_v7(), status: "confirmed", lines: order.lines.len(), filling };
    (StatusCode::CREATED, Json(body))
}
