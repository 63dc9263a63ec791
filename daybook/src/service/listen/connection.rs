//! One connection, from its first byte to its last: HTTP/1.1 or HTTP/2, as the client speaks, ended where the client takes too long.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::activity::{Activity, Overdue, Patience};
use super::bodies::{self, Answering, Arriving};
use super::streams::{Answer, Streams};

/// How long the goodbye on an idle connection may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often a connection that carries several requests is asked whether the client is still there.
const PING: Duration = Duration::from_secs(20);
/// Requests at once on one connection.
const STREAMS: u32 = 256;

/// Serves connections.
#[derive(Clone)]
pub(super) struct Server {
    router: Router,
    patience: Patience,
    builder: auto::Builder<Streams>,
    stop: CancellationToken,
}

impl Server {
    pub(super) fn new(router: Router, patience: Patience, stop: CancellationToken) -> Self {
        let mut builder = auto::Builder::new(Streams::new(patience.write));
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None).keep_alive(true);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING).max_concurrent_streams(STREAMS);
        Self { router, patience, builder, stop }
    }

    /// Serves one until it ends, or has to.
    pub(super) async fn run(self, stream: TcpStream, activity: Arc<Activity>) {
        let io = TokioIo::new(super::stream::Noted::new(stream, Arc::clone(&activity)));
        let (router, noted) = (self.router, Arc::clone(&activity));
        let service = service_fn(move |request| answer(router.clone(), request, Arc::clone(&noted)));
        let mut connection = pin!(self.builder.serve_connection(io, service));
        let mut stopping = false;
        let mut ends: Option<Instant> = None;
        let mut leaves: Option<Instant> = None;
        loop {
            let look_at = ends.unwrap_or_else(|| activity.look_at(&self.patience));
            tokio::select! {
                // Data that has arrived is read, and answered if possible, before the connection ends.
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(error = %error, "a connection ended early");
                    }
                    return;
                }
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
                () = activity.given_up() => {
                    leaves = Some(activity.leaves_at());
                    continue;
                }
                () = sleep_until(leaves.unwrap_or(look_at)), if leaves.is_some() => {
                    leaves = None;
                    if activity.leaves() {
                        return;
                    }
                    continue;
                }
                () = sleep_until(look_at) => {}
            }
            let farewell = Instant::now() + FAREWELL;
            match activity.overdue(&self.patience) {
                // A request that was already on its way is still answered.
                None => ends = ends.map(|_| farewell),
                // The server says goodbye, so that the client sends its next request on another connection.
                Some(Overdue::Idle) if ends.is_none() => {
                    count(Overdue::Idle);
                    connection.as_mut().graceful_shutdown();
                    ends = Some(farewell);
                }
                Some(Overdue::Idle) => return,
                Some(reason) => {
                    count(reason);
                    tracing::debug!(reason = reason.name(), "a client takes too long; its connection is ended");
                    return;
                }
            }
        }
    }
}

fn count(reason: Overdue) {
    metrics::counter!("daybook_http_connections_ended_total", "reason" => reason.name()).increment(1);
}

async fn answer(
    router: Router,
    request: Request<Incoming>,
    activity: Arc<Activity>,
) -> Result<Response<Answering>, Infallible> {
    let worked_on = bodies::Request::begin(&activity, request.version() == Version::HTTP_2);
    let request = request.map(|body| Body::new(Arriving::new(body, &activity)));
    let response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
    Ok(response.map(|body| Answering::new(body, Answer::of_task(), worked_on)))
}
