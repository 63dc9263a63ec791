//! The schema's migrations, and the rights of a role that is not the owner. If the schema is up to date, a start
//! changes nothing and locks nothing; if the schema is newer, it is refused.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

use super::connect::{address, connect};
use super::open::OpenError;
use super::options::Options;
use crate::partition;

/// What each version adds; a step that has been released is never changed.
const STEPS: &[&str] =
    &[include_str!("schema/1_log.sql"), include_str!("schema/2_leaf.sql"), include_str!("schema/3_test_clock.sql")];
/// The version that this code reads and writes.
const KNOWN: i32 = STEPS.len() as i32;
/// The advisory lock under which the schema is changed: "daybook" in hexadecimal.
const LOCK: i64 = 0x0064_6179_626f_6f6b;

const RIGHTS: &[&str] = &[
    "USAGE ON SCHEMA daybook",
    "SELECT ON daybook.migration, daybook.store",
    "SELECT, INSERT ON daybook.events",
    "SELECT, UPDATE ON daybook.head",
    "SELECT, INSERT, UPDATE ON daybook.consumer",
    "SELECT, INSERT, UPDATE, DELETE ON daybook.snapshot",
];

/// Creates the schema in the database at `url`, with a test clock if the store is for a test, or migrates it to this
/// version. The role of `url` owns the created objects.
///
/// # Errors
/// [`OpenError::Schema`] if the schema is newer than this version; otherwise the database's error.
pub async fn migrate(url: &str, test_clock: bool) -> Result<(), OpenError> {
    let mut connection = connect(&address(&Options::new(url).role("migrate"))?).await?;
    bring_up(&mut connection, test_clock).await?;
    connection.close().await?;
    Ok(())
}

/// Allows a role to use the store without owning it: it may read and append, lock and move the head, and keep consumer
/// rows and snapshots; it may not change or delete events. `url` names the owner's role; `role` must exist. Repeating
/// it changes nothing.
///
/// # Errors
/// The database's error.
pub async fn grant(url: &str, role: &str) -> Result<(), OpenError> {
    let mut connection = connect(&address(&Options::new(url).role("grant"))?).await?;
    let name: String = sqlx::query("SELECT quote_ident($1)").bind(role).fetch_one(&mut connection).await?.try_get(0)?;
    let rights: String = RIGHTS.iter().map(|right| format!("GRANT {right} TO {name};\n")).collect();
    // The name was quoted by the server; the rest stands above.
    sqlx::raw_sql(AssertSqlSafe(rights)).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Creates the schema, or migrates it to this version. Only a newly created store gets a test clock.
pub(super) async fn bring_up(connection: &mut PgConnection, test_clock: bool) -> Result<(), OpenError> {
    if found(connection).await? == KNOWN {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql("SET LOCAL lock_timeout = 0").execute(&mut *transaction).await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    sqlx::raw_sql(
        "CREATE SCHEMA IF NOT EXISTS daybook; \
         CREATE TABLE IF NOT EXISTS daybook.migration (version integer PRIMARY KEY, applied_at timestamptz NOT NULL \
         DEFAULT now())",
    )
    .execute(&mut *transaction)
    .await?;
    // Another process may have been faster.
    let found = found(&mut transaction).await?;
    for (step, version) in STEPS.iter().zip(1..).skip(found.unsigned_abs() as usize) {
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO daybook.migration (version) VALUES ($1)")
            .bind(version)
            .execute(&mut *transaction)
            .await?;
        tracing::info!(store.schema = version, "the event store's schema was migrated");
    }
    if found == 0 {
        sqlx::query("INSERT INTO daybook.store VALUES (1, gen_random_uuid(), now(), $1, $2, $3)")
            .bind(i64::from(partition::STREAMS))
            .bind(i64::from(partition::CORRELATIONS))
            .bind(partition::HASH)
            .execute(&mut *transaction)
            .await?;
        if test_clock {
            sqlx::query("UPDATE daybook.head SET ahead_us = 0").execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// Refuses a database without a store, and a store of another version: nothing is made or migrated.
pub(super) async fn assert_known(connection: &mut PgConnection) -> Result<(), OpenError> {
    match found(connection).await? {
        KNOWN => Ok(()),
        0 => Err(OpenError::Absent),
        older => Err(OpenError::Schema { found: older, known: KNOWN }),
    }
}

/// The version of the schema that is there, 0 if there is none.
async fn found(connection: &mut PgConnection) -> Result<i32, OpenError> {
    let there: bool = sqlx::query("SELECT to_regclass('daybook.migration') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    if !there {
        return Ok(0);
    }
    let found: i32 = sqlx::query("SELECT coalesce(max(version), 0) FROM daybook.migration")
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    if found > KNOWN {
        return Err(OpenError::Schema { found, known: KNOWN });
    }
    Ok(found)
}

/// Refuses a log whose records are partitioned differently from this version.
pub(super) async fn assert_partitions(connection: &mut PgConnection) -> Result<(), OpenError> {
    let row = sqlx::query("SELECT stream_partitions, correlation_partitions, partition_hash FROM daybook.store")
        .fetch_one(connection)
        .await?;
    let found: (i64, i64, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let known = (i64::from(partition::STREAMS), i64::from(partition::CORRELATIONS), partition::HASH.to_owned());
    if found == known { Ok(()) } else { Err(OpenError::Partitions(format!("{found:?} and not {known:?}"))) }
}
