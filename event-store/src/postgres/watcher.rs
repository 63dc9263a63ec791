//! Observes the commits of other processes: polls the head's row, and polls at once on a notification. A notification
//! is sent after the commit, on a separate connection: inside the transaction it would make all commits of the database
//! wait for each other. A lost notification only costs the time until the next poll.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnection, PgListener, PgPoolOptions};
use tokio::time::{sleep, timeout};

use super::connect::{CONNECT, connect, is_lost, within};
use super::rows::{self, HEAD};
use super::shared::Shared;
use crate::store::Head;

const CHANNEL: &str = "daybook_head";
/// The pause between two notifications of one process: the second covers all changes in between.
const SPACING: Duration = Duration::from_millis(5);
/// How long reading the head may take: after that the server counts as unreachable.
const LOOK: Duration = Duration::from_secs(5);
/// How long a listener may receive nothing before it checks its connection.
const SILENCE: Duration = Duration::from_secs(15);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(500);

/// Reads the head, at intervals and on every notification.
pub(super) async fn poll(shared: Arc<Shared>, connection: PgConnection) {
    let mut connection = Some(connection);
    loop {
        tokio::select! {
            () = shared.woken.notified() => {}
            () = sleep(shared.options.poll) => {}
        }
        let mut open = match connection.take() {
            Some(open) => open,
            None => match connect(&shared.address).await {
                Ok(open) => open,
                Err(error) => {
                    tracing::debug!(%error, "the head cannot be watched");
                    away(&shared, Some(format!("the database cannot be reached: {error}")));
                    sleep(PAUSE.min(shared.options.poll * 5)).await;
                    continue;
                }
            },
        };
        match look(&shared, &mut open).await {
            Ok(()) => {
                connection = Some(open);
                away(&shared, None);
            }
            Err(error) => {
                tracing::debug!(%error, "the head could not be read");
                // A closed connection means nothing about the server: the next one shows it.
                if !is_cut(&error) {
                    away(&shared, Some(format!("the database does not answer: {error}")));
                }
            }
        }
    }
}

/// Shows whether the database can be reached.
fn away(shared: &Shared, why: Option<String>) {
    shared.away.send_if_modified(|known| {
        let turned = known.is_some() != why.is_some();
        if turned {
            match &why {
                Some(why) => {
                    tracing::warn!(
                        error = why,
                        "the database cannot be reached and nothing is read or written; see docs/operations.md, \
                         'PostgreSQL is away'"
                    )
                }
                None => tracing::info!("the database can be reached again"),
            }
        }
        metrics::gauge!("daybook_store_away").set(f64::from(u8::from(why.is_some())));
        let changed = *known != why;
        *known = why;
        changed
    });
}

fn is_cut(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() != std::io::ErrorKind::TimedOut,
        error => is_lost(error),
    }
}

/// Reads the head's row, and the server's clock with it.
async fn look(shared: &Shared, connection: &mut PgConnection) -> sqlx::Result<()> {
    // Read before the query: commits of this process meanwhile may be newer than the answer.
    let (known, asked): (Head, _) = (*shared.head.borrow(), Instant::now());
    let row = within(LOOK.min(shared.options.stall), sqlx::query(HEAD).fetch_one(connection)).await?;
    let found = rows::head(&row)?;
    shared.clock.learn(asked, &found);
    let same_place = found.head.position == known.position;
    if found.incarnation != shared.incarnation {
        shared.fail("the database holds another log now");
    } else if found.head.position < known.position || (same_place && found.head.hash != known.hash) {
        shared.fail(&format!(
            "the log ends at position {} now, after it was seen at {}: it was restored from a backup, or a standby \
             that lacks its end took over",
            found.head.position, known.position
        ));
    } else {
        shared.publish(found.head);
    }
    Ok(())
}

/// Listens for notifications of other processes, and wakes the poll.
pub(super) async fn listen(shared: Arc<Shared>) {
    let own = shared.handle.to_string();
    loop {
        let pool =
            PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT).connect_lazy_with(shared.address.clone());
        if let Err(error) = hear(&shared, &pool, &own).await {
            tracing::debug!(%error, "notifications cannot be received");
        }
        sleep(PAUSE).await;
    }
}

async fn hear(shared: &Shared, pool: &sqlx::PgPool, own: &str) -> sqlx::Result<()> {
    let mut listener = within(CONNECT, PgListener::connect_with(pool)).await?;
    within(LOOK, listener.listen(CHANNEL)).await?;
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(heard) => match heard? {
                Some(said) if said.payload() == own => {}
                // None: the connection was lost and is opened again, and a notification may have been missed.
                Some(_) | None => shared.woken.notify_one(),
            },
            // Either nothing was sent, or the connection is dead and does not report it.
            Err(_) => {
                within(LOOK, sqlx::query("SELECT 1").execute(&mut listener)).await?;
            }
        }
    }
}

/// Notifies other processes that this process has moved the head.
pub(super) async fn notify(shared: Arc<Shared>) {
    let mut connection = None;
    let own = shared.handle.to_string();
    loop {
        shared.moved.notified().await;
        let open = match connection.take() {
            Some(open) => Some(open),
            None => quiet(&shared).await,
        };
        if let Some(mut open) = open {
            let said = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(&own).execute(&mut open);
            match timeout(shared.options.stall, said).await {
                Ok(Ok(_)) => connection = Some(open),
                _ => tracing::debug!("a notification was not sent"),
            }
        }
        sleep(SPACING).await;
    }
}

/// A connection whose commits are not synced: it only sends notifications, which are not stored anyway.
async fn quiet(shared: &Shared) -> Option<PgConnection> {
    let mut connection = connect(&shared.address).await.ok()?;
    let set = sqlx::raw_sql("SET synchronous_commit = off").execute(&mut connection);
    within(LOOK, set).await.ok()?;
    Some(connection)
}
