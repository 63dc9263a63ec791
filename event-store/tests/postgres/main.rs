//! The contract on PostgreSQL, each clause in a separate database; and tests of PostgreSQL alone. This is a separate
//! binary because it starts servers, and a child process shares the lock on a SQLite store's file until it executes
//! another program.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod commits;
#[path = "../store/contract/mod.rs"]
mod contract;
mod copying;
mod damage;
#[path = "../store/model.rs"]
mod model;
mod modelled;
mod outages;
mod proxy;
mod races;
mod read_only;
mod recent;
mod roles;
mod settings;
mod swallowed;
mod test_clock;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use event_store::clock::{self, Mismatch};
use event_store::postgres::{OpenError, Options, Store};
use event_store::{EventStore, Filter, verify};
use servers::Postgres;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use uuid::Uuid;

use crate::contract::{Backend, TestClock, log};

/// A store in a separate database.
pub(crate) struct Shared {
    url: String,
    clock: TestClock,
}

impl Default for Shared {
    fn default() -> Self {
        Self { url: Postgres::shared().database(), clock: TestClock::default() }
    }
}

#[async_trait]
impl Backend for Shared {
    async fn open(&self) -> Arc<dyn EventStore> {
        Store::open(options(&self.url).clock(self.clock.as_clock())).await.unwrap()
    }

    async fn open_impatient(&self) -> Arc<dyn EventStore> {
        let mut options = options(&self.url).clock(self.clock.as_clock());
        options.patience = Duration::from_millis(500);
        Store::open(options).await.unwrap()
    }

    async fn open_as(&self, test_clock: bool) -> Result<(Arc<dyn EventStore>, Arc<dyn clock::TestClock>), Mismatch> {
        match Store::open(options(&self.url).test_clock(test_clock)).await {
            Ok(store) => Ok((Arc::clone(&store) as Arc<dyn EventStore>, store)),
            Err(OpenError::Clock(mismatch)) => Err(mismatch),
            Err(other) => panic!("{other}"),
        }
    }

    fn clock(&self) -> &TestClock {
        &self.clock
    }

    async fn lock(&self) -> Box<dyn Send> {
        let mut other = PgConnection::connect(&self.url).await.unwrap();
        // What making an index does.
        sqlx::raw_sql("BEGIN; LOCK TABLE daybook.events IN SHARE MODE").execute(&mut other).await.unwrap();
        Box::new(other)
    }

    async fn fill(&self, full: bool) {
        let sql = if full { FULL } else { ROOM };
        execute(&self.url, sql).await.unwrap();
    }

    async fn commits(&self) -> String {
        format!(
            "the head's row of transaction {}",
            number(&self.url, "SELECT xmin::text::bigint FROM daybook.head").await
        )
    }
}

/// The server says of each write what it says on a full disk.
const FULL: &str = "
CREATE FUNCTION daybook.full() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER full_log BEFORE INSERT ON daybook.events FOR EACH STATEMENT EXECUTE FUNCTION daybook.full();
CREATE TRIGGER full_rows BEFORE UPDATE ON daybook.consumer FOR EACH STATEMENT EXECUTE FUNCTION daybook.full()";
const ROOM: &str = "
DROP TRIGGER full_log ON daybook.events; DROP TRIGGER full_rows ON daybook.consumer; DROP FUNCTION daybook.full()";

mod kept {
    crate::contract::contract!(crate::Shared);
}

/// Few connections: many stores are open at once on a server that takes a few hundred sessions.
pub(crate) fn options(url: &str) -> Options {
    let mut options = Options::new(url);
    options.connections = 3;
    options
}

/// Runs statements in the database.
pub(crate) async fn execute(url: &str, sql: &str) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await;
    connection.close().await?;
    done.map(drop)
}

/// The number that a statement gives.
pub(crate) async fn number(url: &str, sql: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let row = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    row.try_get(0).unwrap()
}

/// The log is whole: no gap, no broken hash, no misplaced version, and no command twice. Returns its length.
pub(crate) async fn check(store: &dyn EventStore) -> u64 {
    // What others have under way is decided, and the head is known.
    store.command(Uuid::now_v7()).await.unwrap();
    let proven = verify::chain(store, 0, |_| {}).await.unwrap();
    let mut commands = std::collections::HashMap::new();
    for record in log(store, &Filter::default(), 1_000).await {
        let last = commands.entry(record.command_id).or_insert(record.position - 1);
        assert_eq!(*last + 1, record.position, "the records of a batch stand side by side, once");
        *last = record.position;
    }
    proven.position
}
