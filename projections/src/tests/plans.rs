//! The plans of the queries: read models with some ten thousand rows, and a database that records the plan of each
//! query as it runs.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use event_store::sqlite::{Options, Store};
use rusqlite::Connection as File;
use servers::Postgres as Server;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use uuid::Uuid;

use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::stock_levels::Which;
use crate::store::{ReadStore, Statement};
use crate::value::{Row, Value};
use crate::{Error, Projections, Reads, Sharing};
use crate::{models, open_quantity, order_timeline, payments, stock_ledger, stock_levels};

/// A query and what the database does for it.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) sql: String,
    plan: String,
}

impl Planned {
    /// The fault of the plan: a full table scan, sorted rows, or an unused index. A merging plan sorts pages of keys.
    pub(crate) fn fault(&self, index: Option<&str>, merges: bool) -> Option<String> {
        let scans = |line: &str| {
            let table = line.split("SCAN ").nth(1).or_else(|| line.split("Seq Scan on ").nth(1))?;
            let table = table.split_whitespace().next()?;
            // One row for each partition, and intermediate results.
            let small = ["checkpoint", "CONSTANT", "k", "every"].contains(&table)
                || table.starts_with("(subquery")
                || table.strip_prefix('v').is_some_and(|n| n.parse::<u8>().is_ok());
            (!small).then(|| format!("{table} is read from end to end"))
        };
        let sorts = |line: &str| {
            let step = line.trim_start().trim_start_matches("->").trim_start();
            let sort = line.contains("USE TEMP B-TREE")
                || step.starts_with("Sort  (")
                || step.starts_with("Incremental Sort  (");
            (sort && !merges).then(|| format!("rows are sorted: {}", line.trim()))
        };
        let unused = index.filter(|index| !self.plan.contains(index)).map(|index| format!("{index} is not used"));
        let fault = self.plan.lines().find_map(|line| scans(line).or_else(|| sorts(line)));
        let fault = fault.or_else(|| self.walks()).or(unused);
        fault.map(|fault| format!("{fault}\n{}\n{}", self.sql, self.plan))
    }
}

impl Planned {
    /// A scan of a whole index of PostgreSQL without a condition, unless only its first rows are read, one by one.
    fn walks(&self) -> Option<String> {
        let lines: Vec<_> = self.plan.lines().collect();
        let depth = |line: &str| line.len() - line.trim_start().len();
        let is_node = |line: &&str| line.trim_start().starts_with("->") || line.contains("(cost=");
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("Scan") && line.contains("using "))
        {
            let details: Vec<_> = lines[at + 1..].iter().take_while(|line| !is_node(line)).collect();
            let has = |what: &str| details.iter().any(|detail| detail.trim_start().starts_with(what));
            let mut above = lines[..at].iter().rev();
            let parent = above.find(|above| is_node(above) && depth(above) < depth(line));
            let first_rows =
                parent.is_some_and(|parent| parent.trim_start_matches(['-', '>', ' ']).starts_with("Limit"));
            if !has("Index Cond") && (!first_rows || has("Filter")) {
                return Some(format!("a whole index is walked: {}", line.trim()));
            }
        }
        None
    }
}

/// Records the plans of its queries.
struct Noting {
    inner: Arc<dyn ReadStore>,
    explain: &'static str,
    planned: Mutex<Vec<Planned>>,
}

#[async_trait]
impl super::layer::Layer for Noting {
    fn below(&self) -> &dyn ReadStore {
        &*self.inner
    }

    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, Error> {
        // Each query also reads the model's checkpoint and held streams: tables of a few rows.
        let about = |sql: &str| sql.contains("FROM checkpoint WHERE name = $1 AND") || sql.contains("FROM held");
        for statement in statements.iter().filter(|statement| !about(&statement.sql)) {
            let asked = Statement::new(format!("{} {}", self.explain, statement.sql), statement.values.clone());
            let mut plan = String::new();
            for row in self.inner.read(vec![asked]).await?.remove(0) {
                if let Some(Value::Text(line)) = row.0.last() {
                    let _ = writeln!(plan, "{line}");
                }
            }
            self.planned.lock().unwrap().push(Planned { sql: statement.sql.clone(), plan });
        }
        self.inner.read(statements).await
    }
}

enum Place {
    File(std::path::PathBuf),
    Server(String),
}

/// Read models with rows of no history.
pub(crate) struct Database {
    noting: Arc<Noting>,
    place: Place,
    _folder: tempfile::TempDir,
}

/// A number of 1 to a bound for each row, in words that both databases know.
fn numbers(upto: u32) -> String {
    format!("WITH RECURSIVE n (i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < {upto})")
}

const ID: &str = "'00000000-0000-4000-8000-' || CAST(100000000000 + i AS TEXT)";

/// Of ten tenths: most orders are completed, paid and shipped, and some of every other state.
fn rows() -> Vec<String> {
    let word = |common: &str, rare: &[&str]| {
        let cases: Vec<_> = rare.iter().zip(0..).map(|(word, n)| format!("WHEN {n} THEN '{word}'")).collect();
        format!("CASE i % 97 {} ELSE '{common}' END", cases.join(" "))
    };
    let orders = format!(
        "INSERT INTO order_list {} SELECT CASE WHEN i % 5 = 0 THEN 'other' ELSE 'acme' END, {ID}, i * 1000000, i, \
         (i * CAST(7919 AS BIGINT) % 20011) * 1000000, 3, i, {}, {}, {}, {}, {}, CASE WHEN i % 101 = 0 THEN 1 ELSE 0 \
         END, \
         CASE WHEN i % 3 = 0 THEN 'shop' ELSE 'web' END, 'r-' || CAST(i AS TEXT), 'c-' || CAST(i % 503 AS TEXT), \
         CASE WHEN i % 7 = 0 THEN 'EUR' ELSE 'GBP' END, (i * CAST(7919 AS BIGINT)) % 100003, 1, 1, 0, 2, 3, '[]', NULL, \
         CASE WHEN i % 103 = 0 THEN 1 ELSE 0 END FROM n",
        numbers(30_000),
        word("completed", &["pending", "confirmed", "rejected", "cancelled"]),
        word("none", &["reserved", "part_reserved", "backordered", "released"]),
        word(
            "captured",
            &["none", "authorised", "part_captured", "part_refunded", "refunded", "voided", "declined", "unknown"]
        ),
        word("shipped", &["unfulfilled", "part_shipped", "part_delivered", "delivered", "cancelled"]),
        word("none", &["requested", "part_returned", "returned"]),
    );
    let label = |kind: &str, label: &str, wanted: &str| {
        format!(
            "INSERT INTO order_list_label {} SELECT CASE WHEN i % 5 = 0 THEN 'other' ELSE 'acme' END, '{kind}', {label}, i * 1000000, {ID} \
             FROM n WHERE {wanted}",
            numbers(30_000)
        )
    };
    let tally = |field: &str, value: &str| {
        format!(
            "INSERT INTO order_list_tally {} SELECT 'acme', '{field}', {value}, i % 16, 10 FROM n WHERE i <= 1600",
            numbers(1_600)
        )
    };
    let entries = |subject: &str, upto: u32| {
        format!(
            "INSERT INTO order_timeline {} SELECT 'acme', {subject}, i, 'order', {ID}, 1, 'OrderPlaced', 'x', NULL, 'me', 'http', NULL, i, i, \
             {ID}, {ID}, NULL FROM n",
            numbers(upto)
        )
    };
    let of = |id: u64| format!("'00000000-0000-4000-8000-{id}'");
    vec![
        orders,
        label("sku", "'S' || CAST(i % 50 AS TEXT)", "1 = 1"),
        label("tag", "'common'", "1 = 1"),
        label("tag", "'rare'", "i % 997 = 0"),
        tally("", "CAST(i / 16 AS TEXT)"),
        tally("status", "CAST(i / 16 AS TEXT)"),
        entries("'00000000-0000-4000-8000-' || CAST(100000000000 + i % 2000 AS TEXT)", 40_000),
        format!(
            "INSERT INTO order_timeline_link {} SELECT 'acme', {}, '00000000-0000-4000-8000-' || CAST(100000000100 + \
             i AS TEXT) FROM n",
            numbers(3),
            of(100_000_000_007)
        ),
        format!(
            "INSERT INTO order_timeline_link {} SELECT 'acme', '00000000-0000-4000-8000-' || CAST(200000000000 + i AS \
             TEXT), {ID} FROM n",
            numbers(5_000)
        ),
        format!(
            "INSERT INTO stock_level {} SELECT 'acme', 'S' || CAST(i / 3 AS TEXT), 'l-' || CAST(i % 3 AS TEXT), 1, i, i, i, 1, 0, 0, 0, 0, 1, \
             CASE WHEN i % 100 = 0 THEN 1 ELSE 0 END FROM n",
            numbers(20_000)
        ),
        format!(
            "INSERT INTO stock_ledger {} SELECT 'acme', 'S' || CAST(i % 20 AS TEXT), 'main', i, i, i, i, 'received', 1, 0, 0, 1, 0, 0, 0, 0, \
             NULL, NULL, NULL, NULL, 'me', {ID}, {ID} FROM n",
            numbers(30_000)
        ),
        format!(
            "INSERT INTO payment {} SELECT 'acme', {ID}, {ID}, 'authorised', 'GBP', 1, 1, 0, 0, 0, 0, i, i % 100, 1, i, i, i, '{{}}' FROM n",
            numbers(20_000)
        ),
        format!(
            "INSERT INTO open_quantity {} SELECT 'acme', 'c-' || CAST(i % 200 AS TEXT), 'S' || CAST(i % 30 AS TEXT), i, {ID}, 1, 1, 0, 0, 0, 0, 1 \
             FROM n",
            numbers(30_000)
        ),
        "UPDATE checkpoint SET position = 1000000".to_owned(),
    ]
}

fn empty_log(folder: &tempfile::TempDir) -> Arc<Store> {
    Store::open(Options::new(folder.path().join("log"))).unwrap()
}

impl Database {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rows_in = Sqlite::open(folder.path(), 2).await.unwrap();
        let path = rows_in.path().to_owned();
        Projections::with(Arc::clone(&rows_in) as _, empty_log(&folder), 100, models::all(), None).await.unwrap();
        let file = File::open(&path).unwrap();
        for sql in rows() {
            file.execute(&sql, []).unwrap_or_else(|error| panic!("{error}: {sql}"));
        }
        Self::of(rows_in, "EXPLAIN QUERY PLAN", Place::File(path), folder)
    }

    pub(crate) async fn postgres() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = Server::shared().database();
        let rows_in = Postgres::open(&url, 3).await.unwrap();
        let log = empty_log(&folder);
        drop(Projections::open_on(Arc::clone(&rows_in) as _, log, Sharing::default()).await.unwrap());
        let mut connection = within(&url).await;
        for sql in rows().into_iter().chain(["ANALYZE".to_owned()]) {
            sqlx::raw_sql(AssertSqlSafe(sql.clone()))
                .execute(&mut connection)
                .await
                .unwrap_or_else(|error| panic!("{error}: {sql}"));
        }
        Self::of(rows_in, "EXPLAIN", Place::Server(url), folder)
    }

    fn of(inner: Arc<dyn ReadStore>, explain: &'static str, place: Place, folder: tempfile::TempDir) -> Self {
        let noting = Noting { inner, explain, planned: Mutex::default() };
        Self { noting: Arc::new(noting), place, _folder: folder }
    }

    pub(crate) fn reads(&self) -> Reads {
        Reads::over(Arc::clone(&self.noting) as _)
    }

    /// The plans since this was asked last.
    pub(crate) fn taken(&self) -> Vec<Planned> {
        std::mem::take(&mut self.noting.planned.lock().unwrap())
    }

    /// Drops the index whose name begins so.
    pub(crate) async fn drop_index(&self, name: &str) {
        match &self.place {
            Place::File(path) => {
                let file = File::open(path).unwrap();
                let find = "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE $1 || '%'";
                let found: String = file.query_row(find, [name], |row| row.get(0)).unwrap();
                file.execute(&format!("DROP INDEX {found}"), []).unwrap();
            }
            Place::Server(url) => {
                let mut connection = within(url).await;
                let find = "SELECT indexname::TEXT FROM pg_indexes WHERE indexname LIKE $1 || '%'";
                let found: String =
                    sqlx::query(find).bind(name).fetch_one(&mut connection).await.unwrap().try_get(0).unwrap();
                sqlx::raw_sql(AssertSqlSafe(format!("DROP INDEX {found}"))).execute(&mut connection).await.unwrap();
            }
        }
    }
}

async fn within(url: &str) -> PgConnection {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let path = AssertSqlSafe(format!("SET search_path = {}", crate::postgres::SCHEMA));
    sqlx::raw_sql(path).execute(&mut connection).await.unwrap();
    connection
}

fn plan(text: &str) -> Planned {
    Planned { sql: "SELECT".into(), plan: text.to_owned() }
}

#[test]
fn a_walk_over_a_whole_index_is_a_fault() {
    let whole = "Aggregate  (cost=1..2 rows=1 width=8)\n  ->  Index Only Scan using payment_pk on payment  (cost=0..1 rows=20 width=0)\n";
    let filtered = "Limit  (cost=1..2 rows=5 width=8)\n  ->  Index Scan using a_pk on a  (cost=0..1 rows=20 width=0)\n        \
                    Filter: (tenant = 'acme'::text)\n";
    let sought = "Limit  (cost=1..2 rows=5 width=8)\n  ->  Index Scan using a_pk on a  (cost=0..1 rows=20 width=0)\n        \
                  Index Cond: (tenant = 'acme'::text)\n        Filter: (held > 1)\n";
    let first = "Limit  (cost=1..2 rows=5 width=8)\n  ->  Index Scan using a_pk on a  (cost=0..1 rows=20 width=0)\n";
    assert!(plan(whole).fault(None, false).is_some_and(|fault| fault.contains("a whole index")));
    assert!(plan(filtered).fault(None, false).is_some());
    assert_eq!((plan(sought).fault(None, false), plan(first).fault(None, false)), (None, None));
}

/// The other lists: timelines, stock, ledgers, payments, open quantities.
async fn serves_the_other_lists(database: Database) {
    let reads = database.reads();
    let order = |n: u128| Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_0000_0000 + n);
    for n in [0x1000_0000_0003, 0x1000_0000_0007] {
        let entries = order_timeline::page(&reads, "acme", order(n), 100, 51).await.unwrap().value;
        assert!(entries.is_sorted_by_key(|entry| entry.position) && !entries.is_empty());
    }
    let (sku, place) = ("S7".parse().unwrap(), "main".parse().unwrap());
    assert!(!stock_ledger::page(&reads, "acme", &sku, &place, Some(20_000), 51).await.unwrap().value.is_empty());
    let near = "l-1".parse().unwrap();
    assert_eq!(stock_levels::page(&reads, "acme", Which::All, Some((&sku, &near)), 51).await.unwrap().value.len(), 51);
    stock_levels::page(&reads, "acme", Which::Short, Some((&sku, &near)), 51).await.unwrap();
    assert!(!stock_levels::by_sku(&reads, "acme", &sku).await.unwrap().value.is_empty());
    payments::by_order(&reads, "acme", domain::ids::OrderId(order(1))).await.unwrap();
    let ends = payments::ends(&reads, payments::Which::Near, 10_000, None, 50).await.unwrap().value;
    let next = payments::ends(&reads, payments::Which::Near, 10_000, ends.last(), 60).await.unwrap().value;
    assert_eq!((ends.len(), next.len()), (50, 50));
    payments::ends(&reads, payments::Which::There, 10_000, None, 50).await.unwrap();
    let customer = "c-7".parse().unwrap();
    open_quantity::newest_first(&reads, "acme", Some(&customer), &sku, i64::MAX, 51).await.unwrap();
    let planned = database.taken();
    assert!(planned.len() >= 10, "{planned:?}");
    let faults: Vec<_> = planned.iter().filter_map(|planned| planned.fault(None, false)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn timelines_ledgers_and_stock_are_read_off_their_indexes_on_sqlite() {
    serves_the_other_lists(Database::sqlite().await).await;
}

#[tokio::test]
async fn timelines_ledgers_and_stock_are_read_off_their_indexes_on_postgres() {
    serves_the_other_lists(Database::postgres().await).await;
}
