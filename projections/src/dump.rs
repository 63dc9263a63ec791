//! The canonical dump of a model: every row of its tables, by key. Reads one state of a database, a part at a time; it never writes,
//! so it works beside a running server.

use std::cmp::Ordering;
use std::collections::VecDeque;

use async_trait::async_trait;
use event_store::record::{Position, StreamId, Version};
use serde_json::json;

use crate::held;
use crate::models;
use crate::store::{Checkpoint, Error, Slot, Statement};
use crate::value::{Row, Shape, Spec, Table, Value};

/// How many rows are read at once.
const PART: usize = 2_000;

/// A connection that stays on one state of its database.
#[async_trait]
pub(crate) trait Held: Send + Sync {
    /// The checkpoints of a model's live tables, in order of partition.
    async fn checkpoints(&self, name: &str) -> Result<Vec<Checkpoint>, Error>;

    /// Whether it has a place for the streams that a model holds: older versions knew none.
    async fn knows_held(&self) -> Result<bool, Error>;

    /// Answers a query.
    async fn read(&self, statement: Statement) -> Result<Vec<Row>, Error>;
}

/// One state of a database, held while it is read.
pub struct Snapshot(Box<dyn Held>);

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Snapshot")
    }
}

/// The first row that two dumps do not share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: &'static str,
    /// What the first has there, if it has a row.
    pub left: Option<String>,
    /// What the second has there, if it has a row.
    pub right: Option<String>,
}

/// What comparing two dumps of a model gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// How many rows were compared.
    pub rows: u64,
    /// Where they part, `None` if they are the same.
    pub difference: Option<Difference>,
}

/// What holding a model of one database against another's gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The model.
    pub name: &'static str,
    /// The position that the rows of both show.
    pub position: Position,
    /// How the rows compare; `None` if they do not show the same position.
    pub comparison: Option<Comparison>,
    /// The difference, if there is one.
    pub fault: Option<String>,
}

impl Snapshot {
    pub(crate) fn new(held: impl Held + 'static) -> Self {
        Self(Box::new(held))
    }

    /// The checkpoints of a model's live tables, in order of partition; none if it was never built.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn checkpoints(&self, name: &str) -> Result<Vec<Checkpoint>, Error> {
        self.0.checkpoints(name).await
    }

    /// Writes out every row of a model, one JSON array a line.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn dump(&self, spec: &'static Spec, mut line: impl FnMut(&str)) -> Result<(), Error> {
        for table in spec.tables {
            let mut rows = Walk::new(self, table);
            while let Some(row) = rows.next().await? {
                line(&shown(table, &row));
            }
        }
        Ok(())
    }

    /// Compares a model's rows with those of another database, row by row, in order of key.
    ///
    /// # Errors
    /// If either cannot be read.
    pub async fn compare(&self, other: &Self, spec: &'static Spec) -> Result<Comparison, Error> {
        let mut compared = 0;
        for table in spec.tables {
            let (mut left, mut right) = (Walk::new(self, table), Walk::new(other, table));
            loop {
                let (mut a, mut b) = (left.next().await?, right.next().await?);
                if a.is_none() && b.is_none() {
                    break;
                }
                if a != b {
                    // One of them lacks the row with the lower key.
                    match order(table, a.as_ref(), b.as_ref()) {
                        Ordering::Less => b = None,
                        Ordering::Greater => a = None,
                        Ordering::Equal => {}
                    }
                    let text = |row: Option<Row>| row.map(|row| shown(table, &row));
                    let difference = Difference { table: table.name, left: text(a), right: text(b) };
                    return Ok(Comparison { rows: compared, difference: Some(difference) });
                }
                compared += 1;
            }
        }
        Ok(Comparison { rows: compared, difference: None })
    }

    /// The streams that a model's live rows hold, with the first version of each that they do not show; none where they were written
    /// before there was such a thing.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) async fn held(&self, name: &str) -> Result<Vec<(StreamId, Version)>, Error> {
        if !self.0.knows_held().await? {
            return Ok(Vec::new());
        }
        let statement = Statement::new(held::OF_MODEL, vec![name.into(), Slot::Live.name().into()]);
        let rows = self.0.read(statement).await?;
        rows.iter().map(|row| held::Held::of_row(row).map(|held| (held.stream, held.version))).collect()
    }

    /// Compares every model's rows with those of another database, where both show the same position.
    ///
    /// # Errors
    /// If either cannot be read.
    pub async fn compare_all(&self, other: &Self) -> Result<Vec<Compared>, Error> {
        let mut all = Vec::new();
        for model in models::all() {
            let spec = model.spec();
            let left = place(&self.checkpoints(spec.name).await?, spec.version);
            let right = place(&other.checkpoints(spec.name).await?, spec.version);
            let mut compared =
                Compared { name: spec.name, position: *left.as_ref().unwrap_or(&0), comparison: None, fault: None };
            match (left, right) {
                (Ok(left), Ok(right)) if left == right => {
                    let comparison = self.compare(other, spec).await?;
                    compared.fault = comparison.difference.as_ref().map(Difference::told);
                    compared.comparison = Some(comparison);
                }
                (Ok(left), Ok(right)) => {
                    compared.fault = Some(format!("the first shows position {left}, the second {right}"));
                }
                (Err(fault), _) => compared.fault = Some(format!("of the first: {fault}")),
                (_, Err(fault)) => compared.fault = Some(format!("of the second: {fault}")),
            }
            all.push(compared);
        }
        Ok(all)
    }
}

impl Difference {
    /// The difference, for people.
    #[must_use]
    pub fn told(&self) -> String {
        format!(
            "a row of {} differs: the first has {}, the second has {}",
            self.table,
            self.left.as_deref().unwrap_or("none"),
            self.right.as_deref().unwrap_or("none")
        )
    }
}

/// The one position that all of a model's rows show.
fn place(checkpoints: &[Checkpoint], version: u32) -> Result<Position, String> {
    let Some(first) = checkpoints.first() else {
        return Err("it was never built".to_owned());
    };
    if checkpoints.iter().any(|one| one.version != version) {
        return Err("it was built by another version".to_owned());
    }
    if checkpoints.iter().any(|one| one.position != first.position) {
        return Err("its partitions are not at the same position".to_owned());
    }
    Ok(first.position)
}

/// Which row has the lower key; a row that is not there has the highest.
fn order(table: &Table, left: Option<&Row>, right: Option<&Row>) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => left.0[..table.key].cmp(&right.0[..table.key]),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

/// Walks through the rows of a table by key.
struct Walk<'a> {
    snapshot: &'a Snapshot,
    table: &'static Table,
    rows: VecDeque<Row>,
    after: Option<Vec<Value>>,
    ended: bool,
}

impl<'a> Walk<'a> {
    fn new(snapshot: &'a Snapshot, table: &'static Table) -> Self {
        Self { snapshot, table, rows: VecDeque::new(), after: None, ended: false }
    }

    async fn next(&mut self) -> Result<Option<Row>, Error> {
        if self.rows.is_empty() && !self.ended {
            let statement = part(self.table, self.after.take());
            self.rows = self.snapshot.0.read(statement).await?.into();
            self.ended = self.rows.len() < PART;
            self.after = self.rows.back().map(|row| row.0[..self.table.key].to_vec());
        }
        Ok(self.rows.pop_front())
    }
}

/// The next rows of a table by key: the canonical order of a dump. A tally of 0 counts as absent.
fn part(table: &Table, after: Option<Vec<Value>>) -> Statement {
    let names: Vec<_> = table.columns.iter().map(|c| c.name).collect();
    let key = names[..table.key].join(", ");
    let mut conditions = Vec::new();
    if table.shape == Shape::Tally {
        conditions.push(format!("{} <> 0", names[names.len() - 1]));
    }
    let values = after.unwrap_or_default();
    if !values.is_empty() {
        let marks: Vec<_> = (1..=values.len()).map(|n| format!("${n}")).collect();
        conditions.push(format!("({key}) > ({})", marks.join(", ")));
    }
    let wanted = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    Statement::new(
        format!("SELECT {} FROM {}{wanted} ORDER BY {key} LIMIT {PART}", names.join(", "), table.name),
        values,
    )
}

fn shown(table: &Table, row: &Row) -> String {
    let columns = row.0.iter().map(|value| match value {
        Value::Null => json!(null),
        Value::Int(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::Blob(bytes) => json!(bytes),
    });
    json!([table.name, columns.collect::<Vec<_>>()]).to_string()
}
