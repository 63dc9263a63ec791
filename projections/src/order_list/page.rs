//! A page of the list of orders, and the number of orders. A walk by cursor returns every order that stays in the list
//! exactly once, whatever is placed meanwhile.

use super::cursor::{Bound, Cursor};
use super::filter::{BadFilter, Filter, Op, Reading, Sort};
use super::offer::{Plan, plan};
use super::{ORDERS, SPEC, Summary, TALLIED};
use crate::reads::{Answer, Reads};
use crate::store::{Error, Statement};
use crate::value::{Row, Value};

/// A query of the list.
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
    /// The cursor of the next page, `None` if this was the last page.
    pub next: Option<String>,
    /// How many there are, if that was asked.
    pub count: Option<Count>,
}

/// A cursor that cannot be gone on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCursor {
    /// It was not issued by this server, or was made with other filters or another sort.
    #[error("the cursor does not belong to this list with these filters and this sort")]
    Foreign,
    /// It was made by another version of the list.
    #[error("the cursor was made by another version of the list")]
    Expired,
}

/// Why there is no page.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PageError {
    /// The list does not offer it.
    #[error(transparent)]
    Filter(#[from] BadFilter),
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
/// If the list does not offer the filters with the sort, the cursor does not fit, or the rows cannot be read.
pub async fn page(reads: &Reads, query: &Query) -> Result<Answer<Page>, PageError> {
    let bound = Bound { tenant: &query.tenant, filters: &query.filters, sort: query.sort };
    let plan = plan(&query.filters, query.sort)?;
    let after = query.cursor.as_deref().map(|text| Cursor::decode(text, &bound)).transpose()?;
    let mut statements = vec![select(query, &plan, after)];
    if query.count {
        statements.push(counters(query));
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

/// Collects SQL and the values of its `$n`.
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

    fn add(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }
}

/// The parameters that every part of a page's query shares: each mark is allocated once and reused.
struct Shared {
    tenant: String,
    limit: String,
    /// What the list is sorted by and the order's id: of the rows before the first one, and of those after the last.
    low: (String, String),
    high: (String, String),
    way: &'static str,
    column: &'static str,
}

/// Before the id of every order, and after it.
const LOWEST: &str = "";
const HIGHEST: &str = "\u{10FFFF}";

fn select(query: &Query, plan: &Plan<'_>, after: Option<Cursor>) -> Statement {
    let columns: Vec<_> = ORDERS.columns.iter().map(|column| format!("o.{}", column.name)).collect();
    let mut builder = Builder { sql: format!("SELECT {} FROM ", columns.join(", ")), values: Vec::new() };
    let shared = shared(&mut builder, query, plan, after);
    match plan.lead {
        Some(lead) if lead.values.len() > 1 => merged(&mut builder, &shared, plan, lead),
        lead => {
            let by = led(&mut builder, &shared, plan, lead.map(|lead| (lead, &lead.values[0])));
            for filter in &plan.rest {
                residual(&mut builder, filter);
            }
            builder.add(&shared.end(&by));
        }
    }
    Statement::new(builder.sql, builder.values)
}

fn shared(builder: &mut Builder, query: &Query, plan: &Plan<'_>, after: Option<Cursor>) -> Shared {
    let tenant = builder.mark(query.tenant.as_str().into());
    // One more than is shown, to know whether there is a next page.
    let limit = builder.mark(Value::Int(i64::try_from(query.limit).unwrap_or(200) + 1));
    let mut low = (i64::MIN, LOWEST.to_owned());
    let mut high = (i64::MAX, HIGHEST.to_owned());
    for filter in &plan.ranges {
        let Value::Int(value) = filter.values[0] else { continue };
        if matches!(filter.op, Op::Gte | Op::Eq) {
            low = (value, LOWEST.to_owned());
        }
        match filter.op {
            Op::Lt => high = (value, LOWEST.to_owned()),
            Op::Eq => high = (value, HIGHEST.to_owned()),
            Op::Gte | Op::In | Op::Prefix => {}
        }
    }
    if let Some(Cursor { value, order_id }) = after {
        if query.sort.falling {
            high = high.min((value, order_id));
        } else {
            low = low.max((value, order_id));
        }
    }
    let mut marks = |(value, id): (i64, String)| (builder.mark(value.into()), builder.mark(id.into()));
    let (low, high) = (marks(low), marks(high));
    Shared { tenant, limit, low, high, way: if query.sort.falling { "DESC" } else { "ASC" }, column: query.sort.column }
}

/// The columns that a list is in the order of.
struct By {
    /// The column of the filter that leads, and its value.
    lead: Option<(String, String)>,
    value: String,
    order_id: &'static str,
}

/// `FROM` and `WHERE` of what leads: the rows of one value of a filter, or all.
fn led(builder: &mut Builder, shared: &Shared, plan: &Plan<'_>, lead: Option<(&Filter, &Value)>) -> By {
    let tenant = &shared.tenant;
    let by = match lead {
        // A label's rows are in the list's order, so the page is read from them directly.
        Some((filter, value)) if plan.offer.is_label() => {
            let (kind, label) = (builder.mark(filter.field.name.into()), builder.mark(value.clone()));
            builder.add(&format!(
                "order_list_label l JOIN order_list o ON o.tenant = l.tenant AND o.order_id = l.order_id \
                 WHERE l.tenant = {tenant} AND l.kind = {kind} AND l.label = {label}"
            ));
            By { lead: None, value: "l.placed_at".into(), order_id: "l.order_id" }
        }
        lead => {
            builder.add(&format!("order_list o WHERE o.tenant = {tenant}"));
            let index = plan.offer.serving(lead.map(|(_, value)| value));
            let lead = match (index.and_then(|index| index.only), lead) {
                (Some(only), _) => {
                    builder.add(&format!(" AND o.{only}"));
                    None
                }
                (None, lead) => {
                    lead.map(|(filter, value)| (format!("o.{}", filter.field.name), builder.mark(value.clone())))
                }
            };
            By { lead, value: format!("o.{}", shared.column), order_id: "o.order_id" }
        }
    };
    shared.narrow(builder, &by);
    by
}

impl Shared {
    /// Restricts the rows to those after the page's start and before the list's end. The leading filter is compared as
    /// the first part of one key with the rest, from below and from above, and not as an equality: with a constant, a
    /// planner considers the index of all orders as good, scans it and discards rows that do not match, which is most
    /// of them if few match.
    fn narrow(&self, builder: &mut Builder, by: &By) {
        let key = by.key("");
        for (than, (value, id)) in [('>', &self.low), ('<', &self.high)] {
            let lead = by.lead.as_ref().map_or(String::new(), |(_, mark)| format!("{mark}, "));
            builder.add(&format!(" AND ({key}) {than} ({lead}{value}, {id})"));
        }
    }

    fn end(&self, by: &By) -> String {
        format!(" ORDER BY {} LIMIT {}", by.key(self.way), self.limit)
    }
}

impl By {
    /// The columns, each with what follows it.
    fn key(&self, way: &str) -> String {
        let lead = self.lead.as_ref().map(|(column, _)| column.as_str());
        let columns = lead.into_iter().chain([self.value.as_str(), self.order_id]);
        columns.map(|column| format!("{column} {way}").trim_end().to_owned()).collect::<Vec<_>>().join(", ")
    }
}

/// A page of each value of a filter, by its keys alone, and of those the first page; an order that has two of the labels is one.
fn merged(builder: &mut Builder, shared: &Shared, plan: &Plan<'_>, lead: &Filter) {
    let way = shared.way;
    let is_label = plan.offer.is_label();
    builder.add("(SELECT at, id FROM (");
    for (at, value) in lead.values.iter().enumerate() {
        if at > 0 {
            builder.add(if is_label { " UNION " } else { " UNION ALL " });
        }
        builder.add("SELECT at, id FROM (SELECT ");
        if is_label {
            let (kind, label) = (builder.mark(lead.field.name.into()), builder.mark(value.clone()));
            builder.add(&format!(
                "l.placed_at AS at, l.order_id AS id FROM order_list_label l \
                 WHERE l.tenant = {} AND l.kind = {kind} AND l.label = {label}",
                shared.tenant
            ));
            let by = By { lead: None, value: "l.placed_at".into(), order_id: "l.order_id" };
            shared.narrow(builder, &by);
            builder.add(&shared.end(&by));
        } else {
            builder.add(&format!("o.{} AS at, o.order_id AS id FROM ", shared.column));
            let by = led(builder, shared, plan, Some((lead, value)));
            builder.add(&shared.end(&by));
        }
        builder.add(&format!(") v{at}"));
    }
    builder.add(&format!(
        ") every ORDER BY at {way}, id {way} LIMIT {}) k JOIN order_list o ON o.tenant = {} AND o.order_id = k.id \
         ORDER BY k.at {way}, k.id {way}",
        shared.limit, shared.tenant
    ));
}

/// A filter that is checked row by row. The labels are queried as a value, which no planner turns into a join.
fn residual(builder: &mut Builder, filter: &Filter) {
    let name = filter.field.name;
    let sql = if matches!(filter.field.reading, Reading::Label(_)) {
        let kind = builder.mark(name.into());
        let labels = builder.marks(&filter.values);
        format!(
            " AND (SELECT COUNT(*) FROM order_list_label x WHERE x.tenant = o.tenant AND x.kind = {kind} \
             AND x.label IN ({labels}) AND x.placed_at = o.placed_at AND x.order_id = o.order_id) > 0"
        )
    } else if filter.op == Op::Prefix {
        let begin = builder.mark(filter.values[0].clone());
        let end = match &filter.values[0] {
            Value::Text(text) => format!("{text}{}", char::MAX),
            _ => String::new(),
        };
        let end = builder.mark(end.into());
        // Not by an index, which would give the rows in another order than the list's.
        format!(" AND o.{name} || '' >= {begin} AND o.{name} || '' < {end}")
    } else {
        let marks = builder.marks(&filter.values);
        format!(" AND o.{name} IN ({marks})")
    };
    builder.add(&sql);
}

/// The counters that a count needs: all orders, and those of each value that is filtered by. A counter has a row for each partition.
fn counters(query: &Query) -> Statement {
    let mut builder = Builder { sql: String::new(), values: Vec::new() };
    let tenant = builder.mark(query.tenant.as_str().into());
    let tallied = query.filters.iter().filter(|filter| is_tallied(filter));
    let wanted = tallied.flat_map(|filter| filter.values.iter().map(|value| (filter.field.name, counted(value))));
    for (at, (field, value)) in std::iter::once(("", String::new())).chain(wanted).enumerate() {
        let (field, value) = (builder.mark(field.into()), builder.mark(value.into()));
        let or = if at > 0 { " UNION ALL " } else { "" };
        builder.add(&format!(
            "{or}SELECT field, value, CAST(SUM(orders) AS BIGINT) FROM order_list_tally \
             WHERE tenant = {tenant} AND field = {field} AND value = {value} GROUP BY field, value"
        ));
    }
    Statement::new(builder.sql, builder.values)
}

/// A value as its counter has it.
fn counted(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Null | Value::Blob(_) => String::new(),
    }
}

fn is_tallied(filter: &Filter) -> bool {
    matches!(filter.op, Op::Eq | Op::In) && TALLIED.iter().any(|(field, _)| *field == filter.field.name)
}

/// Exact if the counters have it; otherwise an estimate that treats the filters as independent, and a filter without a
/// counter as one that every order passes.
fn count(rows: &[Row], filters: &[Filter]) -> Result<Count, Error> {
    let mut all = 0;
    let mut passing: Vec<u64> = vec![0; filters.len()];
    for row in rows {
        let (field, value, orders) = (row.text(0)?, row.text(1)?, row.count(2)?);
        if field.is_empty() {
            all = orders;
        }
        for (at, filter) in filters.iter().enumerate() {
            if is_tallied(filter) && filter.field.name == field && filter.values.iter().any(|it| counted(it) == value) {
                passing[at] += orders;
            }
        }
    }
    let exact = filters.len() <= 1 && filters.iter().all(is_tallied);
    let value = filters.iter().zip(passing).filter(|(filter, _)| is_tallied(filter)).fold(all, |sum, (_, passing)| {
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
        payment_ending: row.flag(25)?,
    })
}
