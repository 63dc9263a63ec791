//! A page of the list of orders, and how many there are. Walking by cursor meets every order that stays exactly once, whatever is
//! placed meanwhile.

use std::fmt::Write as _;

use super::cursor::{Bound, Cursor};
use super::filter::{Filter, Op, Reading, Sort};
use super::{ORDERS, SPEC, Summary, TALLIED};
use crate::reads::{Answer, Reads};
use crate::store::{Error, Statement};
use crate::value::{Row, Value};

/// What is asked of the list.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Whose orders.
    pub tenant: String,
    /// Which of them.
    pub filters: Vec<Filter>,
    /// In which order.
    pub sort: Sort,
    /// How many; the caller sees to it that it is 1 to 200.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Whether to say how many there are in all.
    pub count: bool,
}

/// How many orders there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub value: u64,
    /// Whether that is counted, or estimated from counters.
    pub exact: bool,
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The orders.
    pub orders: Vec<Summary>,
    /// Where to go on, `None` if this was the last page.
    pub next: Option<String>,
    /// How many there are, if that was asked.
    pub count: Option<Count>,
}

/// A cursor that cannot be gone on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCursor {
    /// It is none of ours, or was made with other filters or another sort.
    #[error("the cursor is none of this list with these filters and this sort")]
    Foreign,
    /// It was made by another version of the list.
    #[error("the cursor was made by another version of the list")]
    Expired,
}

/// Why there is no page.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PageError {
    /// The cursor does not fit.
    #[error(transparent)]
    Cursor(#[from] BadCursor),
    /// The rows cannot be read.
    #[error(transparent)]
    Store(#[from] Error),
}

/// A page of the list.
///
/// # Errors
/// If the cursor does not fit, or the rows cannot be read.
pub async fn page(reads: &Reads, query: &Query) -> Result<Answer<Page>, PageError> {
    let bound = Bound { tenant: &query.tenant, filters: &query.filters, sort: query.sort };
    let after = query.cursor.as_deref().map(|text| Cursor::decode(text, &bound)).transpose()?;
    let mut statements = vec![select(query, after)];
    if query.count {
        statements.push(Statement::new(COUNTS, vec![query.tenant.as_str().into()]));
    }
    let answer = reads.ask(SPEC.name, statements).await?;
    let made = answer.try_map(|mut answers| {
        let counts = if query.count { answers.pop() } else { None };
        let rows = answers.pop().unwrap_or_default();
        let more = rows.len() > query.limit;
        let orders = rows.iter().take(query.limit).map(summary).collect::<Result<Vec<_>, _>>()?;
        let next = orders.last().filter(|_| more).map(|last| cursor(last, query.sort).encode(&bound));
        let count = counts.map(|rows| count(&rows, &query.filters)).transpose()?;
        Ok::<_, Error>(Page { orders, next, count })
    })?;
    Ok(made)
}

fn cursor(last: &Summary, sort: Sort) -> Cursor {
    let value = match sort.column {
        "total" => last.total,
        "updated_at" => last.updated_at,
        _ => last.placed_at,
    };
    Cursor { value, order_id: last.order_id.to_string() }
}

/// Collects SQL and what stands for its `$n`.
struct Builder {
    sql: String,
    values: Vec<Value>,
}

impl Builder {
    fn mark(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    fn marks(&mut self, values: &[Value]) -> String {
        let marks: Vec<_> = values.iter().map(|value| self.mark(value.clone())).collect();
        marks.join(", ")
    }
}

fn select(query: &Query, after: Option<Cursor>) -> Statement {
    let columns: Vec<_> = ORDERS.columns.iter().map(|column| format!("o.{}", column.name)).collect();
    let mut builder = Builder { sql: format!("SELECT {} FROM ", columns.join(", ")), values: Vec::new() };
    let (sort, leading) = (query.sort, leading_label(query));
    let by = match leading {
        // A label's rows stand in the list's own order, so the page is read off them.
        Some(filter) => {
            let tenant = builder.mark(query.tenant.as_str().into());
            let kind = builder.mark(filter.field.name.into());
            let label = builder.mark(filter.values[0].clone());
            let _ = write!(
                builder.sql,
                "order_list_label l JOIN order_list o ON o.tenant = l.tenant AND o.order_id = l.order_id \
                 WHERE l.tenant = {tenant} AND l.kind = {kind} AND l.label = {label}"
            );
            ("l.placed_at".to_owned(), "l.order_id")
        }
        None => {
            let tenant = builder.mark(query.tenant.as_str().into());
            let _ = write!(builder.sql, "order_list o WHERE o.tenant = {tenant}");
            (format!("o.{}", sort.column), "o.order_id")
        }
    };
    for filter in query.filters.iter().filter(|filter| !leading.is_some_and(|leading| std::ptr::eq(leading, *filter))) {
        condition(&mut builder, filter);
    }
    if let Some(after) = after {
        let (value, id) = (builder.mark(after.value.into()), builder.mark(after.order_id.into()));
        let than = if sort.falling { '<' } else { '>' };
        let _ = write!(builder.sql, " AND ({}, {}) {than} ({value}, {id})", by.0, by.1);
    }
    let way = if sort.falling { "DESC" } else { "ASC" };
    // One more than is shown, to know whether there is a next page.
    let limit = builder.mark(Value::Int(i64::try_from(query.limit).unwrap_or(200) + 1));
    let _ = write!(builder.sql, " ORDER BY {} {way}, {} {way} LIMIT {limit}", by.0, by.1);
    Statement::new(builder.sql, builder.values)
}

/// The label that the page can be read off, if there is one.
fn leading_label(query: &Query) -> Option<&Filter> {
    let fits = |filter: &&Filter| matches!(filter.field.reading, Reading::Label) && filter.values.len() == 1;
    query.filters.iter().find(fits).filter(|_| query.sort.column == "placed_at")
}

fn condition(builder: &mut Builder, filter: &Filter) {
    let name = filter.field.name;
    let sql = if matches!(filter.field.reading, Reading::Label) {
        let kind = builder.mark(name.into());
        let labels = builder.marks(&filter.values);
        format!(
            " AND EXISTS (SELECT 1 FROM order_list_label x WHERE x.tenant = o.tenant AND x.kind = {kind} \
             AND x.label IN ({labels}) AND x.placed_at = o.placed_at AND x.order_id = o.order_id)"
        )
    } else {
        let marks = builder.marks(&filter.values);
        match filter.op {
            Op::Eq | Op::In => format!(" AND o.{name} IN ({marks})"),
            Op::Gte => format!(" AND o.{name} >= {marks}"),
            Op::Lt => format!(" AND o.{name} < {marks}"),
            Op::Prefix => {
                let end = match &filter.values[0] {
                    Value::Text(text) => format!("{text}{}", char::MAX),
                    _ => String::new(),
                };
                let end = builder.mark(end.into());
                format!(" AND o.{name} >= {marks} AND o.{name} < {end}")
            }
        }
    };
    builder.sql.push_str(&sql);
}

const COUNTS: &str = "
SELECT field, value, CAST(SUM(orders) AS BIGINT) FROM order_list_tally WHERE tenant = $1 GROUP BY field, value";

/// Exact where the counters say it; else an estimate that takes the filters for independent of each other, and one without a counter
/// for one that everything passes.
fn count(rows: &[Row], filters: &[Filter]) -> Result<Count, Error> {
    let mut all = 0;
    let mut passing: Vec<u64> = vec![0; filters.len()];
    for row in rows {
        let (field, value, orders) = (row.text(0)?, row.text(1)?, row.count(2)?);
        if field.is_empty() {
            all = orders;
        }
        for (at, filter) in filters.iter().enumerate() {
            let named = filter.values.iter().any(|wanted| match wanted {
                Value::Int(number) => number.to_string() == value,
                Value::Text(text) => text == value,
                Value::Null | Value::Blob(_) => false,
            });
            if filter.field.name == field && named && matches!(filter.op, Op::Eq | Op::In) {
                passing[at] += orders;
            }
        }
    }
    let tallied = |filter: &Filter| {
        matches!(filter.op, Op::Eq | Op::In) && TALLIED.iter().any(|(field, _)| *field == filter.field.name)
    };
    let exact = filters.len() <= 1 && filters.iter().all(tallied);
    let value = filters.iter().zip(passing).filter(|(filter, _)| tallied(filter)).fold(all, |sum, (_, passing)| {
        let share = u128::from(sum) * u128::from(passing) / u128::from(all.max(1));
        u64::try_from(share).unwrap_or(sum)
    });
    Ok(Count { value, exact })
}

fn summary(row: &Row) -> Result<Summary, Error> {
    Ok(Summary {
        order_id: row.parsed(1)?,
        placed_at: row.int(2)?,
        recorded_at: row.int(3)?,
        updated_at: row.int(4)?,
        version: row.count(5)?,
        changed_at_position: row.count(6)?,
        status: row.text(7)?.to_owned(),
        stock_status: row.text(8)?.to_owned(),
        payment_status: row.text(9)?.to_owned(),
        fulfilment_status: row.text(10)?.to_owned(),
        return_status: row.text(11)?.to_owned(),
        on_hold: row.flag(12)?,
        channel: row.text(13)?.to_owned(),
        external_ref: row.maybe_text(14)?.map(str::to_owned),
        customer: row.maybe_text(15)?.map(str::to_owned),
        currency: row.text(16)?.to_owned(),
        total: row.int(17)?,
        owed: row.int(18)?,
        captured: row.int(19)?,
        refunded: row.int(20)?,
        lines: row.count(21)?,
        units: row.count(22)?,
        tags: row.json(23)?,
        reject_reason: row.maybe_text(24)?.map(str::to_owned),
    })
}
