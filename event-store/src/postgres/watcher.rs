//! Seeing what other processes commit: a poll of the head's row, woken by notifications. A notification is sent by itself after the
//! commit, on a connection of its own: inside the transaction it would make all commits of the database wait for each other.
//! Losing one costs the time until the next poll and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnection, PgListener, PgPoolOptions};
use tokio::time::{sleep, timeout};

use super::connect::{CONNECT, connect, within};
use super::rows::{self, HEAD};
use super::shared::Shared;
use crate::store::Head;

const CHANNEL: &str = "daybook_head";
/// Between two notifications of one process: those that would come in between are said by the second.
const SPACING: Duration = Duration::from_millis(5);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(500);

/// Looks at the head, now and then and whenever something says that it moved.
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
                    sleep(PAUSE.min(shared.options.poll * 5)).await;
                    continue;
                }
            },
        };
        match look(&shared, &mut open).await {
            Ok(()) => connection = Some(open),
            Err(error) => tracing::debug!(%error, "the head could not be read"),
        }
    }
}

/// Reads the head's row, and the server's clock with it.
async fn look(shared: &Shared, connection: &mut PgConnection) -> sqlx::Result<()> {
    // Before it is asked: what this process commits meanwhile may be newer than the answer.
    let (known, asked): (Head, _) = (*shared.head.borrow(), Instant::now());
    let row = within(shared.options.stall, sqlx::query(HEAD).fetch_one(connection)).await?;
    let found = rows::head(&row)?;
    shared.clock.learn(asked, found.now);
    let same_place = found.head.position == known.position;
    if found.incarnation != shared.incarnation {
        shared.fail("the database holds another log now");
    } else if found.head.position < known.position || (same_place && found.head.hash != known.hash) {
        shared.fail(&format!(
            "the log ends at position {} now, after it was seen at {}: it was restored, or a standby without its end took over",
            found.head.position, known.position
        ));
    } else {
        shared.publish(found.head);
    }
    Ok(())
}

/// Hears what others say, and wakes the poll.
pub(super) async fn listen(shared: Arc<Shared>) {
    let own = shared.handle.to_string();
    loop {
        let pool =
            PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT).connect_lazy_with(shared.address.clone());
        if let Err(error) = hear(&shared, &pool, &own).await {
            tracing::debug!(%error, "notifications are not heard");
        }
        sleep(PAUSE).await;
    }
}

async fn hear(shared: &Shared, pool: &sqlx::PgPool, own: &str) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        match listener.try_recv().await? {
            Some(said) if said.payload() == own => {}
            // None: the connection was lost and is made anew, and something may have been said meanwhile.
            Some(_) | None => shared.woken.notify_one(),
        }
    }
}

/// Tells others that this process has moved the head.
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

/// A connection whose commits are not synced: nothing but notifications is sent on it, and they are not kept anyway.
async fn quiet(shared: &Shared) -> Option<PgConnection> {
    let mut connection = connect(&shared.address).await.ok()?;
    sqlx::raw_sql("SET synchronous_commit = off").execute(&mut connection).await.ok()?;
    Some(connection)
}
