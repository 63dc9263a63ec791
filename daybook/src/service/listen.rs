//! The accept loop. It is our own because a client may take only so long while others wait, and because stopping waits
//! for running requests, within bounds. It must never accept a connection after a stop was requested, and must never
//! stop accepting before that, whatever connected clients do.

mod activity;
mod bodies;
mod connection;
mod pace;
mod stream;
mod streams;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use activity::Activity;
use connection::Server;
use table::{Kind, Table};

pub use activity::Patience;
pub use pace::Slowest;

/// What a failed accept waits before the next, at first: the usual reason is that the process has no file handles left.
const BACKOFF: Duration = Duration::from_millis(10);
/// The most that it waits: a handle may be free again at any time.
const LONGEST_BACKOFF: Duration = Duration::from_millis(500);
/// How long one of the spare connections may take for anything.
const SPARE_PATIENCE: Duration = Duration::from_secs(2);

/// What a listener bears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections beyond them that may only use the health routes.
    pub spare: usize,
    /// How long a client may take.
    pub patience: Patience,
    /// How long requests that are being answered may take when the server stops.
    pub drain: Duration,
}

/// The routes of a listener.
#[derive(Clone, Debug)]
pub struct Routes {
    /// For all connections.
    pub all: Router,
    /// For connections beyond the limit: the health routes, and a refusal of all others.
    pub spare: Router,
}

/// Serves until `stop`, then waits for the requests that are being answered, within bounds. True if all of them were.
pub async fn serve(listener: TcpListener, routes: Routes, limits: Limits, stop: CancellationToken) -> bool {
    let table = Table::new(limits.connections, limits.spare);
    let tasks = TaskTracker::new();
    let all = Server::new(routes.all, limits.patience, stop.clone());
    let spare = Server::new(routes.spare, hurried(limits.patience), stop.clone());
    while let Some(stream) = accept(&listener, &table, &stop).await {
        let activity = Arc::new(Activity::new());
        let Some(entry) = table.enter(&activity).await else {
            metrics::counter!("daybook_http_connections_refused_total").increment(1);
            continue;
        };
        let server = match entry.kind {
            Kind::Full => all.clone(),
            Kind::Spare => spare.clone(),
        };
        tasks.spawn(async move {
            server.run(stream, activity).await;
            drop(entry);
        });
    }
    drop(listener);
    tasks.close();
    tokio::time::timeout(limits.drain, tasks.wait()).await.is_ok()
}

fn hurried(patience: Patience) -> Patience {
    let Patience { head, idle, write } = patience;
    Patience {
        head: head.min(SPARE_PATIENCE),
        idle: idle.min(SPARE_PATIENCE),
        write: Slowest { period: write.period.min(SPARE_PATIENCE), ..write },
    }
}

/// The next connection; `None` once the server stops.
async fn accept(listener: &TcpListener, table: &Table, stop: &CancellationToken) -> Option<TcpStream> {
    let mut backoff = BACKOFF;
    loop {
        match stop.run_until_cancelled(listener.accept()).await? {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                return Some(stream);
            }
            Err(error) => {
                metrics::counter!("daybook_http_accept_failures_total").increment(1);
                if backoff == BACKOFF {
                    tracing::warn!(
                        error = %error,
                        "a connection could not be accepted; it is retried, and if file handles are missing, raise the \
                         limit or lower http.connections"
                    );
                }
                table.shrink();
                stop.run_until_cancelled(tokio::time::sleep(backoff)).await?;
                backoff = (backoff * 2).min(LONGEST_BACKOFF);
            }
        }
    }
}
