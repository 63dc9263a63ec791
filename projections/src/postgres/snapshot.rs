//! One state of the schema, held while it is read. As long as it exists, no rebuild can replace tables.

use async_trait::async_trait;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, Row as _};
use tokio::sync::Mutex;

use super::{checkpoints, read_error, reader};
use crate::dump::{Held, Snapshot};
use crate::store::{Checkpoint, Error, Slot, Statement};
use crate::value::Row;

struct Kept(Mutex<PgConnection>);

/// Opens a snapshot of the schema, on a separate connection.
pub(super) async fn open(options: &PgConnectOptions) -> Result<Snapshot, Error> {
    let found = find(options).await?;
    found.ok_or_else(|| Error::Read("there are no read models in the database".into()))
}

/// The same; none where there is no schema.
pub(super) async fn find(options: &PgConnectOptions) -> Result<Option<Snapshot>, Error> {
    let connected = async { PgConnection::connect_with(options).await.map_err(read_error) };
    let mut connection = super::answered(super::PATIENCE, connected).await?;
    // The caller may take long between two reads, for example for a fresh fold of the whole log.
    sqlx::raw_sql("SET idle_in_transaction_session_timeout = 0").execute(&mut connection).await.map_err(read_error)?;
    let there = sqlx::query("SELECT to_regclass('gate') IS NOT NULL").fetch_one(&mut connection).await;
    if !there.and_then(|row| row.try_get::<bool, _>(0)).map_err(read_error)? {
        return Ok(None);
    }
    sqlx::raw_sql(reader::BEGIN).execute(&mut connection).await.map_err(read_error)?;
    // A transaction takes hold of a state with its first query, not with BEGIN.
    sqlx::query("SELECT 1").execute(&mut connection).await.map_err(read_error)?;
    Ok(Some(Snapshot::new(Kept(Mutex::new(connection)))))
}

#[async_trait]
impl Held for Kept {
    async fn checkpoints(&self, name: &str) -> Result<Vec<Checkpoint>, Error> {
        let mut connection = self.0.lock().await;
        checkpoints::read(&mut connection, Some(name), Slot::Live).await.map_err(read_error)
    }

    async fn knows_held(&self) -> Result<bool, Error> {
        let sql =
            "SELECT 1::BIGINT FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = 'held'";
        Ok(!self.read(Statement::new(sql, Vec::new())).await?.is_empty())
    }

    async fn read(&self, statement: Statement) -> Result<Vec<Row>, Error> {
        reader::rows(&mut *self.0.lock().await, &statement).await
    }
}
