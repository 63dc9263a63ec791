//! Answers queries. Every answer comes from one transaction, and so from one state of the database; nothing is written
//! here.

use std::time::Duration;

use event_store::postgres::Connections;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Column as _, PgConnection, Row as _, TypeInfo as _};

use super::read_error;
use super::text::{kept, meant};
use crate::store::{Checkpoint, Error, Slot, Statement};
use crate::value::{Row, Value};

/// The gate first, since the state is taken hold of with the first query.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE gate IN ACCESS SHARE MODE";

/// The same, for reads of a waiting request.
const BRIEF: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '10s'; \
    LOCK TABLE gate IN ACCESS SHARE MODE";

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// Whether a read is to be tried again on another connection after this.
fn is_cut(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        // The server ends (57P01 to 57P03), or says so of the connection (class 08).
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("57P0") || code.starts_with("08"))
        }
        _ => false,
    }
}

/// Answers queries in one transaction. A connection that a restart of the server has cut shows at its first use.
pub(super) async fn read(pool: &Connections, statements: &[Statement]) -> Result<Vec<Vec<Row>>, Error> {
    loop {
        let mut lent = pool.lend().await.map_err(read_error)?;
        match answer(&mut lent, statements).await {
            Ok(answers) => {
                lent.give_back();
                return answers.iter().map(|rows| rows.iter().map(row).collect()).collect();
            }
            // Its transaction may be broken, so the connection is not lent again.
            Err(error) if is_cut(&error) => pool.distrust(),
            Err(error) => return Err(read_error(error)),
        }
        drop(lent);
        tokio::time::sleep(PAUSE).await;
    }
}

/// The checkpoints of one model or of all.
pub(super) async fn checkpoints(pool: &Connections, name: Option<&str>, slot: Slot) -> Result<Vec<Checkpoint>, Error> {
    loop {
        let mut lent = pool.lend().await.map_err(read_error)?;
        let read = super::checkpoints::read(&mut lent, name, slot).await;
        lent.after(&read);
        match read {
            Err(error) if is_cut(&error) => tokio::time::sleep(PAUSE).await,
            read => return read.map_err(read_error),
        }
    }
}

async fn answer(connection: &mut PgConnection, statements: &[Statement]) -> Result<Vec<Vec<PgRow>>, sqlx::Error> {
    sqlx::raw_sql(BRIEF).execute(&mut *connection).await?;
    let mut answers = Vec::with_capacity(statements.len());
    for statement in statements {
        answers.push(query(statement).fetch_all(&mut *connection).await?);
    }
    sqlx::raw_sql("COMMIT").execute(connection).await?;
    Ok(answers)
}

/// All rows of a query, in the current transaction of the connection.
pub(super) async fn rows(connection: &mut PgConnection, statement: &Statement) -> Result<Vec<Row>, Error> {
    let rows = query(statement).fetch_all(connection).await;
    rows.map_err(read_error)?.iter().map(row).collect()
}

fn query(statement: &Statement) -> Query<'_, sqlx::Postgres, PgArguments> {
    let mut query = sqlx::query(AssertSqlSafe(statement.sql.clone()));
    for value in &statement.values {
        query = match value {
            Value::Null => query.bind(None::<String>),
            Value::Int(number) => query.bind(*number),
            Value::Text(text) => query.bind(kept(text).into_owned()),
            Value::Blob(bytes) => query.bind(bytes.clone()),
        };
    }
    query
}

fn row(row: &PgRow) -> Result<Row, Error> {
    let columns = row.columns().iter().enumerate();
    let values = columns.map(|(at, column)| match column.type_info().name() {
        "INT8" => Ok(row.try_get::<Option<i64>, _>(at).map_err(read_error)?.map_or(Value::Null, Value::Int)),
        "TEXT" => Ok(row
            .try_get::<Option<String>, _>(at)
            .map_err(read_error)?
            .map_or(Value::Null, |text| Value::Text(meant(text)))),
        "BYTEA" => Ok(row.try_get::<Option<Vec<u8>>, _>(at).map_err(read_error)?.map_or(Value::Null, Value::Blob)),
        other => Err(Error::Read(format!("column {at} holds a value of type {other}"))),
    });
    values.collect::<Result<_, _>>().map(Row)
}
