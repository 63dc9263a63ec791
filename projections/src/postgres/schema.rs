//! PostgreSQL's definitions of tables and checkpoints. The one place with its own dialect of definitions; it reads and
//! writes no rows.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::write_error;
use crate::sql::{clash, drop, physical};
use crate::store::{Error, Slot};
use crate::value::{Kind, Spec, Table};

/// The schema that everything is in; connections look nowhere else.
pub(crate) const SCHEMA: &str = "daybook_read";

/// The version of the schema's own layout.
const LAYOUT: i32 = 2;

/// Advisory locks of the database: for making the schema, and for making tables.
const MAKING_SCHEMA: i64 = 0x6461_7962_7265_6101;
const MAKING_TABLES: i64 = 0x6461_7962_7265_6102;

/// Checkpoints: one row for each model, slot and partition; a model that is projected whole has the row of partition 0.
/// A reader of rows holds the gate from before its snapshot, and a process that replaces tables closes it: otherwise an
/// earlier snapshot could see the new tables in an earlier state. Beside them are the streams that a model holds,
/// because one of their records cannot be read or applied; their rows show the state before that record.
const TABLES: &str = r#"
CREATE TABLE IF NOT EXISTS gate ();
CREATE SEQUENCE IF NOT EXISTS generation;
CREATE TABLE IF NOT EXISTS checkpoint (
    name TEXT COLLATE "C" NOT NULL,
    slot TEXT COLLATE "C" NOT NULL,
    partition BIGINT NOT NULL,
    version BIGINT NOT NULL,
    position BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    epoch BIGINT NOT NULL,
    owner TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    generation BIGINT NOT NULL,
    building_to BIGINT NOT NULL DEFAULT 0,
    stopped_at BIGINT,
    stop_reason TEXT,
    CONSTRAINT checkpoint_pk PRIMARY KEY (name, slot, partition)
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS held (
    name TEXT COLLATE "C" NOT NULL,
    slot TEXT COLLATE "C" NOT NULL,
    tenant TEXT COLLATE "C" NOT NULL,
    category TEXT COLLATE "C" NOT NULL,
    stream TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    position BIGINT NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    correlation TEXT COLLATE "C" NOT NULL,
    CONSTRAINT held_pk PRIMARY KEY (name, slot, tenant, category, stream)
);"#;

/// Creates the schema, if it is missing. Several processes may do so at once.
pub(super) async fn make(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(MAKING_SCHEMA)
        .execute(&mut *connection)
        .await
        .map_err(write_error)?;
    let sql = format!(
        "CREATE SCHEMA IF NOT EXISTS {SCHEMA};
         CREATE TABLE IF NOT EXISTS layout (one BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (one), version INTEGER NOT NULL);
         INSERT INTO layout (version) VALUES ({LAYOUT}) ON CONFLICT DO NOTHING;"
    );
    run(connection, sql).await?;
    let found: i32 = sqlx::query("SELECT version FROM layout")
        .fetch_one(&mut *connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(write_error)?;
    if found > LAYOUT {
        return Err(Error::Write(format!("the schema {SCHEMA} was written by a later version")));
    }
    run(connection, TABLES.to_owned()).await?;
    run(connection, format!("UPDATE layout SET version = {LAYOUT} WHERE version < {LAYOUT}")).await
}

/// Waits until no other process creates tables, and prevents that until [`unlock`] or the end of the connection.
pub(super) async fn lock(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(MAKING_TABLES)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(write_error)
}

/// Allows other processes to create tables; they can when this returns.
pub(super) async fn unlock(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query("SELECT pg_advisory_unlock($1)")
        .bind(MAKING_TABLES)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(write_error)
}

/// How long the gate may take to close, in milliseconds: queries queue behind a process that wants to close it.
const CLOSING: u32 = 1_000;

/// Closes the gate until the end of the transaction. Returns whether it did: it does not wait for a long read of the
/// rows (for example, a verification). If it did not, the transaction is unusable.
pub(super) async fn close_gate(connection: &mut PgConnection) -> Result<bool, Error> {
    let sql = format!(
        "SET LOCAL lock_timeout = {CLOSING}; LOCK TABLE gate IN ACCESS EXCLUSIVE MODE; SET LOCAL lock_timeout = 0"
    );
    let closed = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    match closed {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => Ok(false),
        Err(error) => Err(write_error(error)),
    }
}

/// Runs statements.
pub(super) async fn run(connection: &mut PgConnection, sql: String) -> Result<(), Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ()).map_err(write_error)
}

/// Makes a model's tables and their indexes. Names of indexes carry the generation, since they outlive the renaming of their table.
pub(super) fn create(spec: &Spec, slot: Slot, generation: i64) -> String {
    let mut sql = drop(spec, slot);
    for table in spec.tables {
        let name = physical(table, slot);
        let _ = write!(sql, "CREATE TABLE {name} (");
        for column in table.columns {
            let kind = match column.kind {
                Kind::Int => "BIGINT",
                Kind::Text => "TEXT COLLATE \"C\"",
            };
            let null = if column.null { "" } else { " NOT NULL" };
            let _ = write!(sql, "{} {kind}{null}, ", column.name);
        }
        let _ = write!(
            sql,
            "CONSTRAINT {}_pk_{generation} PRIMARY KEY ({}));",
            table.name,
            names(table)[..table.key].join(", ")
        );
        for index in table.indexes {
            let _ =
                write!(sql, "CREATE INDEX {}_{}_{generation} ON {name} ({})", table.name, index.name, index.columns);
            if let Some(condition) = index.only {
                let _ = write!(sql, " WHERE {condition}");
            }
            sql.push(';');
        }
    }
    sql
}

/// Writes rows, or adds to them: each parameter is the array of a column.
pub(super) fn put(table: &Table, slot: Slot) -> String {
    let names = names(table);
    let arrays: Vec<_> = table.columns.iter().enumerate().map(|(at, column)| array(at, column.kind)).collect();
    let name = physical(table, slot);
    let clash = clash(table, slot);
    format!(
        "INSERT INTO {name} ({}) SELECT * FROM UNNEST({}) ON CONFLICT ({}) DO {clash}",
        names.join(", "),
        arrays.join(", "),
        names[..table.key].join(", ")
    )
}

/// Removes rows by their keys: each parameter is the array of a column of the key.
pub(super) fn remove(table: &Table, slot: Slot) -> String {
    let key = &table.columns[..table.key];
    let arrays: Vec<_> = key.iter().enumerate().map(|(at, column)| array(at, column.kind)).collect();
    let by: Vec<_> = key.iter().map(|column| format!("t.{0} = gone.{0}", column.name)).collect();
    format!(
        "DELETE FROM {} t USING UNNEST({}) AS gone ({}) WHERE {}",
        physical(table, slot),
        arrays.join(", "),
        names(table)[..table.key].join(", "),
        by.join(" AND ")
    )
}

fn array(at: usize, kind: Kind) -> String {
    let kind = match kind {
        Kind::Int => "BIGINT",
        Kind::Text => "TEXT",
    };
    format!("${}::{kind}[]", at + 1)
}

fn names(table: &Table) -> Vec<&'static str> {
    table.columns.iter().map(|column| column.name).collect()
}
