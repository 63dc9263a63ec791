//! Answering queries. Every answer comes from one transaction, so from one state of the database; nothing is written here.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Column as _, PgConnection, PgPool, Row as _, TypeInfo as _};

use super::read_error;
use super::text::{kept, meant};
use crate::store::{Error, Statement};
use crate::value::{Row, Value};

/// The gate first, since the state is taken hold of with the first query.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE gate IN ACCESS SHARE MODE";

/// How often a read may be tried again because its connection was cut: once for each that the pool may hold.
pub(super) struct Attempts(u32);

impl Attempts {
    pub(super) fn new(pool: &PgPool) -> Self {
        Self(pool.options().get_max_connections())
    }

    /// Whether to try again after this.
    pub(super) fn another(&mut self, error: &sqlx::Error) -> bool {
        let cut = match error {
            sqlx::Error::Io(_) => true,
            // The server ends (57P01 to 57P03), or says so of the connection (class 08).
            sqlx::Error::Database(error) => {
                error.code().is_some_and(|code| code.starts_with("57P0") || code.starts_with("08"))
            }
            _ => false,
        };
        self.0 = self.0.saturating_sub(1);
        cut && self.0 > 0
    }
}

/// Answers queries in one transaction.
pub(super) async fn read(pool: &PgPool, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, Error> {
    let mut attempts = Attempts::new(pool);
    loop {
        let mut connection = pool.acquire().await.map_err(read_error)?;
        match answer(&mut connection, &statements).await {
            Ok(answers) => {
                return answers.iter().map(|rows| rows.iter().map(row).collect()).collect();
            }
            Err(error) => {
                // Whatever became of its transaction, it is not lent again.
                connection.close_on_drop();
                if !attempts.another(&error) {
                    return Err(read_error(error));
                }
            }
        }
    }
}

async fn answer(connection: &mut PgConnection, statements: &[Statement]) -> Result<Vec<Vec<PgRow>>, sqlx::Error> {
    sqlx::raw_sql(BEGIN).execute(&mut *connection).await?;
    let mut answers = Vec::with_capacity(statements.len());
    for statement in statements {
        answers.push(query(statement).fetch_all(&mut *connection).await?);
    }
    sqlx::raw_sql("COMMIT").execute(connection).await?;
    Ok(answers)
}

/// Every row that a query finds, in whatever transaction the connection is.
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
