//! The accept loop: our own, since a client may take only so long to send a request's head, and since stopping has to wait for what is
//! being answered, within bounds. It must never accept after it was told to stop.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::config::http::Http;

/// What a failed accept waits before the next: the usual reason is that the process has no file handles left.
const BACKOFF: Duration = Duration::from_millis(50);

/// Serves until `stop`, then waits for the requests that are being answered, at most `drain_ms`. True if all of them were.
pub async fn serve(listener: TcpListener, router: Router, http: &Http, stop: CancellationToken) -> bool {
    let graceful = GracefulShutdown::new();
    let connections = Arc::new(Semaphore::new(http.connections));
    let tasks = TaskTracker::new();
    let builder = builder(http);
    loop {
        let permit = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            permit = Arc::clone(&connections).acquire_owned() => permit,
        };
        let (Ok(permit), Some(stream)) = (permit, accept(&listener, &stop).await) else {
            break;
        };
        let service = router.clone();
        let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            let service = service.clone();
            async move {
                Ok::<_, Infallible>(
                    service.oneshot(request.map(axum::body::Body::new)).await.unwrap_or_else(|never| match never {}),
                )
            }
        });
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "a connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    tasks.close();
    tokio::time::timeout(http.drain(), async {
        graceful.shutdown().await;
        tasks.wait().await;
    })
    .await
    .is_ok()
}

fn builder(http: &Http) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(http.header_timeout_ms))
        .keep_alive(true);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(20)).max_concurrent_streams(256);
    builder
}

async fn accept(listener: &TcpListener, stop: &CancellationToken) -> Option<TcpStream> {
    loop {
        match stop.run_until_cancelled(listener.accept()).await? {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                return Some(stream);
            }
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(BACKOFF).await;
            }
        }
    }
}
