//! Connections, and the server settings that each writing connection asserts: durability depends on the server, so the
//! store does not write to a server that could lose a commit.

use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use super::open::OpenError;
use super::options::Options;

/// The oldest server that the SQL here is written for.
const OLDEST: i32 = 150_000;
/// How long opening a connection may take.
pub(super) const CONNECT: Duration = Duration::from_secs(5);

/// A session that vanished inside a transaction holds the head's lock: the server must notice soon, by its own
/// keepalives, and end the abandoned transaction. The server sets no time limit on a writer's statements: this side
/// stops waiting and then looks up the outcome. The lock timeout bounds the wait for the head, before anything is
/// written.
///
/// These keepalives are the server's. `sqlx` does not expose its sockets, so this side has no keepalives: instead every
/// wait for an answer has a limit ([`within`]), after which the connection is discarded, and an idle connection is
/// tested before it is used.
///
/// Every statement of the store has an index that gives its rows in order. A session may keep a plan that was made
/// while a table was small, while the table grows a thousandfold; such a plan must use the index too, so the planner
/// has no other choice.
const SESSION: &str = "
SET idle_in_transaction_session_timeout = '10s';
SET statement_timeout = 0;
SET lock_timeout = '10s';
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
SET tcp_user_timeout = '25s';
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SET jit = off;
SET bytea_output = 'hex';
SET client_min_messages = 'warning'";

/// Additional settings of a reading connection. The server ends a statement that takes longer than its caller can wait,
/// and one whose client has disconnected. Neither limit ends a commit: the server counts no time for it, and a single
/// statement commits after it.
const READER: &str = "
SET statement_timeout = '10s';
SET client_connection_check_interval = '1s'";

/// A session plans a writer's statements once: the look-ups have only one good plan, and planning again for a group of
/// a few batches would take longer than running it.
///
/// The wait for a lock is limited by the store's patience.
fn writer(patience: Duration) -> String {
    let lock = patience.clamp(SHORTEST_LOCK, LONGEST_LOCK).as_millis();
    format!("SET plan_cache_mode = force_generic_plan; SET lock_timeout = '{lock}ms'")
}

/// The shortest wait for a lock: another writer has it for the time of a group.
const SHORTEST_LOCK: Duration = Duration::from_millis(100);
/// The longest one, as every session has it.
const LONGEST_LOCK: Duration = Duration::from_secs(10);

/// How to get to the database.
pub(super) fn address(options: &Options) -> Result<PgConnectOptions, OpenError> {
    let address = PgConnectOptions::from_str(&options.url).map_err(|error| OpenError::Address(error.to_string()))?;
    Ok(address.application_name(&format!("daybook {}", options.role)).disable_statement_logging())
}

/// A new connection with the session's settings.
pub(super) async fn connect(address: &PgConnectOptions) -> Result<PgConnection, OpenError> {
    let connected = async {
        let mut connection = PgConnection::connect_with(address).await?;
        prepare(&mut connection).await?;
        Ok(connection)
    };
    match tokio::time::timeout(CONNECT, connected).await {
        Ok(connected) => connected.map_err(OpenError::Postgres),
        Err(_) => Err(OpenError::Postgres(sqlx::Error::PoolTimedOut)),
    }
}

/// Makes the session's settings.
pub(super) async fn prepare(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql(SESSION).execute(connection).await.map(drop)
}

/// Prepares a connection that reads and keeps consumer rows, on a server that is safe for them.
pub(super) async fn prepare_reader(connection: &mut PgConnection) -> sqlx::Result<()> {
    prepare(connection).await?;
    sqlx::raw_sql(READER).execute(&mut *connection).await?;
    assert_durable(connection).await.map_err(|error| match error {
        OpenError::Postgres(error) => error,
        other => sqlx::Error::Configuration(other.into()),
    })
}

/// A new connection to write on; refused if the server could lose commits.
pub(super) async fn connect_to_write(
    address: &PgConnectOptions,
    patience: Duration,
) -> Result<PgConnection, OpenError> {
    let connected = async {
        let mut connection = connect(address).await?;
        assert_durable(&mut connection).await?;
        sqlx::raw_sql(AssertSqlSafe(writer(patience))).execute(&mut connection).await?;
        Ok(connection)
    };
    tokio::time::timeout(CONNECT, connected).await.unwrap_or(Err(OpenError::Postgres(sqlx::Error::PoolTimedOut)))
}

/// Refuses a server that could lose commits.
pub(super) async fn assert_durable(connection: &mut PgConnection) -> Result<(), OpenError> {
    let row = sqlx::query(
        "SELECT current_setting('server_version_num')::int, current_setting('fsync'), current_setting('full_page_writes'), \
         current_setting('synchronous_commit'), pg_is_in_recovery()",
    )
    .fetch_one(connection)
    .await?;
    let refuse = |why: String| Err(OpenError::NotDurable(why));
    let version: i32 = row.try_get(0)?;
    if version < OLDEST {
        return refuse(format!(
            "the server is PostgreSQL {}, at least {} is needed",
            version / 10_000,
            OLDEST / 10_000
        ));
    }
    for (column, setting) in [(1, "fsync"), (2, "full_page_writes")] {
        let value: String = row.try_get(column)?;
        if value != "on" {
            return refuse(format!("the server runs with {setting} = {value}"));
        }
    }
    let commit: String = row.try_get(3)?;
    if commit != "on" && commit != "remote_apply" {
        return refuse(format!("synchronous_commit is {commit}, on or remote_apply is needed"));
    }
    if row.try_get(4)? {
        return refuse("the server is a standby".into());
    }
    Ok(())
}

/// Waits for an answer of the server, within a limit: after a timeout the caller must discard the connection and never
/// use it again.
pub(super) async fn within<T>(limit: Duration, answer: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| {
        Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the server did not answer")))
    })
}

/// Whether the connection is unusable, in contrast to one refused statement.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        // Class 57P: the server stops, or an administrator ended the session; 25P03: it idled in a transaction; 08: the connection.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("57P") || code == "25P03" || code.starts_with("08"))
        }
        sqlx::Error::RowNotFound
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed => false,
        _ => true,
    }
}
