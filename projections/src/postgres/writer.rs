//! Writing rows: one statement for all changes of one kind to one table, in one transaction with the checkpoints.

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection};

use super::text::kept;
use super::{schema, write_error};
use crate::held::HeldChange;
use crate::store::{Change, Error, Part, Slot};
use crate::value::{Column, Kind, Shape, Table, Value};

/// Commits do not wait for the disk: rows that a crash loses are lost together with their checkpoint and everything
/// after it.
pub(super) const BEGIN: &str = "BEGIN; SET LOCAL synchronous_commit = off";

const MOVE: &str = "
UPDATE checkpoint c SET position = m.moves_to, hash = m.hash, stopped_at = NULL, stop_reason = NULL
FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::BYTEA[])
    AS m (name, partition, moves_from, epoch, moves_to, hash)
WHERE c.name = m.name AND c.slot = $7 AND c.partition = m.partition AND c.position = m.moves_from AND c.epoch = m.epoch
RETURNING c.name";

const HOLD: &str = "
INSERT INTO held (name, slot, tenant, category, stream, version, position, kind, reason, correlation)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (name, slot, tenant, category, stream) DO UPDATE SET version = excluded.version, position = excluded.position,
    kind = excluded.kind, reason = excluded.reason, correlation = excluded.correlation";

const RELEASE: &str = "
DELETE FROM held WHERE name = $1 AND slot = $2 AND tenant = $3 AND category = $4 AND stream = $5";

/// Writes the rows of all parts and moves their checkpoints, in a transaction that was begun by [`BEGIN`].
pub(super) async fn commit(connection: &mut PgConnection, slot: Slot, parts: Vec<Part>) -> Result<(), Error> {
    let column = |of: fn(&Part) -> i64| parts.iter().map(of).collect::<Vec<_>>();
    let moved: Vec<String> = sqlx::query_scalar(MOVE)
        .bind(parts.iter().map(|part| part.name).collect::<Vec<_>>())
        .bind(column(|part| i64::from(part.partition)))
        .bind(column(|part| sql_int(part.from)))
        .bind(column(|part| sql_int(part.epoch)))
        .bind(column(|part| sql_int(part.to)))
        .bind(parts.iter().map(|part| part.hash.to_vec()).collect::<Vec<_>>())
        .bind(slot.name())
        .fetch_all(&mut *connection)
        .await
        .map_err(write_error)?;
    if let Some(lost) = parts.iter().find(|part| !moved.iter().any(|moved| moved == part.name)) {
        return Err(Error::Lost(lost.name.to_owned()));
    }
    for part in &parts {
        write_rows(connection, slot, &part.changes).await?;
        for change in &part.held {
            write_held(connection, slot, part.name, change).await?;
        }
    }
    Ok(())
}

async fn write_held(connection: &mut PgConnection, slot: Slot, name: &str, change: &HeldChange) -> Result<(), Error> {
    let stream = match change {
        HeldChange::Hold(held) => &held.stream,
        HeldChange::Release(stream) => stream,
    };
    let own = |text: &str| kept(text).into_owned();
    let sql = match change {
        HeldChange::Hold(_) => HOLD,
        HeldChange::Release(_) => RELEASE,
    };
    let mut query = sqlx::query(sql)
        .bind(name)
        .bind(slot.name())
        .bind(own(&stream.tenant))
        .bind(own(&stream.category))
        .bind(own(&stream.id));
    if let HeldChange::Hold(held) = change {
        query = query
            .bind(sql_int(held.version))
            .bind(sql_int(held.position))
            .bind(own(&held.kind))
            .bind(own(&held.reason))
            .bind(held.correlation.to_string());
    }
    query.execute(connection).await.map(|_| ()).map_err(write_error)
}

/// Changes of one kind to one table stand side by side, and those of one key in their order.
async fn write_rows(connection: &mut PgConnection, slot: Slot, changes: &[Change]) -> Result<(), Error> {
    let mut rest = changes;
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|change| alike(first, change));
        let (run, later) = rest.split_at(same.count());
        let rows: Vec<&[Value]> = run
            .iter()
            .map(|change| match change {
                Change::Put(_, row) | Change::Remove(_, row) => row.as_slice(),
            })
            .collect();
        match first {
            Change::Put(table, _) => {
                let rows = merged(table, &rows);
                let rows: Vec<&[Value]> = rows.iter().map(AsRef::as_ref).collect();
                execute(connection, schema::put(table, slot), table.columns, &rows).await?;
            }
            Change::Remove(table, _) => {
                let key = &table.columns[..table.key];
                execute(connection, schema::remove(table, slot), key, &rows).await?;
            }
        }
        rest = later;
    }
    Ok(())
}

fn alike(one: &Change, other: &Change) -> bool {
    match (one, other) {
        (Change::Put(a, _), Change::Put(b, _)) | (Change::Remove(a, _), Change::Remove(b, _)) => a == b,
        _ => false,
    }
}

/// One row for each key, since a statement cannot write a row twice: the last one, or what they add up to.
fn merged<'a>(table: &Table, rows: &[&'a [Value]]) -> Vec<std::borrow::Cow<'a, [Value]>> {
    let mut merged: Vec<std::borrow::Cow<'a, [Value]>> = Vec::with_capacity(rows.len());
    for row in rows {
        let last = merged.last_mut();
        match last.filter(|last| last[..table.key] == row[..table.key]) {
            None => merged.push((*row).into()),
            Some(last) => match (table.shape, last.last(), row.last()) {
                (Shape::Tally, Some(Value::Int(sum)), Some(Value::Int(more))) => {
                    let sum = sum + more;
                    if let Some(value) = last.to_mut().last_mut() {
                        *value = Value::Int(sum);
                    }
                }
                _ => *last = (*row).into(),
            },
        }
    }
    merged
}

async fn execute(
    connection: &mut PgConnection,
    sql: String,
    columns: &[Column],
    rows: &[&[Value]],
) -> Result<(), Error> {
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for (at, column) in columns.iter().enumerate() {
        query = bind(query, column, rows.iter().map(|row| row.get(at)))?;
    }
    query.execute(connection).await.map(|_| ()).map_err(write_error)
}

fn bind<'q, 'v>(
    query: Query<'q, sqlx::Postgres, PgArguments>,
    column: &Column,
    values: impl Iterator<Item = Option<&'v Value>>,
) -> Result<Query<'q, sqlx::Postgres, PgArguments>, Error> {
    let odd = |value: Option<&Value>| Error::Write(format!("the column {} cannot hold {value:?}", column.name));
    Ok(match column.kind {
        Kind::Int => {
            let numbers = values.map(|value| match value {
                Some(Value::Int(number)) => Ok(Some(*number)),
                Some(Value::Null) => Ok(None),
                value => Err(odd(value)),
            });
            query.bind(numbers.collect::<Result<Vec<Option<i64>>, _>>()?)
        }
        Kind::Text => {
            let texts = values.map(|value| match value {
                Some(Value::Text(text)) => Ok(Some(kept(text).into_owned())),
                Some(Value::Null) => Ok(None),
                value => Err(odd(value)),
            });
            query.bind(texts.collect::<Result<Vec<Option<String>>, _>>()?)
        }
    })
}

/// A position as SQL keeps it.
pub(super) fn sql_int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
