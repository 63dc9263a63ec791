//! A database as the target of a copy. Each page is one transaction under the head's lock, as a writer's group is, and must find the
//! head where the copy left it: two copies at once, or a copy beside a writer, cannot mix.

use async_trait::async_trait;
use sqlx::Postgres;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::connect::{address, connect_to_write};
use super::open::OpenError;
use super::options::Options;
use super::row_writer::Rows;
use super::rows::{self, HEAD, HeadRow, LOCK_HEAD, unsigned};
use super::schema;
use crate::copy::{self, End, Error};
use crate::record::Record;
use crate::store::Head;

/// A database that a log is copied into. After an error it is unusable: open it again and run the copy again.
pub struct Target {
    connection: PgConnection,
}

impl Target {
    /// Opens the database at `url`, making the schema if it is not there.
    ///
    /// # Errors
    /// As [`Store::open`](super::Store::open).
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let options = Options::new(url).role("copy");
        let mut connection = connect_to_write(&address(&options)?, options.patience).await?;
        schema::bring_up(&mut connection, false).await?;
        schema::assert_partitions(&mut connection).await?;
        Ok(Self { connection })
    }

    async fn lock(&mut self) -> sqlx::Result<HeadRow> {
        let row = sqlx::raw_sql(LOCK_HEAD).fetch_one(&mut self.connection).await?;
        rows::head(&row)
    }

    async fn end_with(&mut self, sql: &'static str) -> sqlx::Result<()> {
        sqlx::raw_sql(sql).execute(&mut self.connection).await.map(drop)
    }
}

#[async_trait]
impl copy::Target for Target {
    async fn begin(&mut self, incarnation: Uuid) -> Result<End, Error> {
        let locked = self.lock().await.map_err(|error| failed(&error))?;
        if locked.incarnation != incarnation {
            if locked.head.position > 0 {
                return Err(Error::Foreign(format!("it holds the log {} and not {incarnation}", locked.incarnation)));
            }
            // A store that is open on the empty log sees another log, and stops.
            sqlx::query::<Postgres>("UPDATE daybook.store SET incarnation = $1")
                .bind(incarnation)
                .execute(&mut self.connection)
                .await
                .map_err(|error| failed(&error))?;
        }
        self.end_with("COMMIT").await.map_err(|error| failed(&error))?;
        Ok(End { head: locked.head, answered_to: locked.answered_to, for_a_test: false })
    }

    async fn put(&mut self, after: Head, records: &[Record], end: End) -> Result<(), Error> {
        let locked = self.lock().await.map_err(|error| failed(&error))?;
        if (locked.head.position, locked.head.hash) != (after.position, after.hash) {
            return Err(Error::Foreign(format!(
                "it ends at position {}, but the copy was at {}: another process is writing to it",
                locked.head.position, after.position
            )));
        }
        let answered_to = locked.answered_to.max(end.answered_to);
        Rows::of(records)
            .write(&mut self.connection, locked.head, end.head, answered_to)
            .await
            .map_err(|error| failed(&error))?;
        self.end_with("COMMIT").await.map_err(|error| failed(&error))
    }

    async fn count(&mut self) -> Result<(u64, End), Error> {
        let row =
            sqlx::query::<Postgres>(HEAD).fetch_one(&mut self.connection).await.map_err(|error| failed(&error))?;
        let found = rows::head(&row).map_err(|error| failed(&error))?;
        let row = sqlx::query::<Postgres>("SELECT count(*) FROM daybook.events")
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| failed(&error))?;
        let count = unsigned(&row, 0).map_err(|error| failed(&error))?;
        let end = End { head: found.head, answered_to: found.answered_to, for_a_test: false };
        Ok((count, end))
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").finish_non_exhaustive()
    }
}

/// The last write may or may not have happened; the next run of the copy finds out.
fn failed(error: &sqlx::Error) -> Error {
    Error::Store(crate::Error::Unknown(format!("the target failed: {error}; run the copy again to continue")))
}
