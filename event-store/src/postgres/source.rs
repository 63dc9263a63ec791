//! A store on PostgreSQL as the source of a copy.

use async_trait::async_trait;
use sqlx::Postgres;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::reader::{end_of_batch, reading, select_rows};
use super::rows::{self, HEAD, Names, read_error, unsigned};
use super::store::Store;
use crate::copy::{End, Source};
use crate::record::{Position, Record};
use crate::store::{Error, EventStore, Filter};

#[async_trait]
impl Source for Store {
    fn incarnation(&self) -> Uuid {
        EventStore::incarnation(self)
    }

    async fn end(&self) -> Result<End, Error> {
        let found = reading!(self.shared, connection => sqlx::query::<Postgres>(HEAD).fetch_one(connection));
        let row = rows::head(&found?).map_err(|error| read_error(&error))?;
        Ok(End { head: row.head, answered_to: row.answered_to, for_a_test: row.ahead.is_some() })
    }

    async fn raw(&self, after: Position, limit: usize) -> Result<Vec<Record>, Error> {
        let head = self.end().await?.head.position;
        if limit == 0 || after >= head {
            return Ok(Vec::new());
        }
        reading!(self.shared, connection => raw(connection, after, limit, head))
    }
}

async fn raw(
    connection: &mut PgConnection,
    after: Position,
    limit: usize,
    head: Position,
) -> sqlx::Result<Vec<Record>> {
    let all = Filter::default();
    let mut found = select_rows(connection, after, head, &all, limit).await?;
    let last = found.last().map_or(Ok(head), |row| unsigned(row, 0))?;
    if last < head {
        let end = end_of_batch(connection, last).await?.unwrap_or(head).min(head);
        if end > last {
            let rest = (end - last) as usize;
            found.extend(select_rows(connection, last, end, &all, rest).await?);
        }
    }
    let mut names = Names::default();
    found.iter().map(|row| rows::record(row, &mut names)).collect()
}
