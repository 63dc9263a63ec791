//! The store on a PostgreSQL server of the run's own, and the least that the server must do for the same rows. Nothing in the baseline
//! may be cleverer or lazier than one insert of many rows, prepared, on one connection.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use event_store::EventStore;
use event_store::postgres::{Options, Store, migrate};
use event_store::record::Position;
use servers::Postgres;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Postgres as Database};

use crate::baseline::{Baseline, FINGERPRINT, HASH, KIND, Row, SCHEMA_VERSION, Watch};
use crate::side::Side;
use crate::{cpu, load};

/// What the figures depend on and the server can be asked about.
const SETTINGS: [&str; 7] = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "data_checksums",
    "shared_buffers",
    "max_wal_size",
];

/// The log's columns and only its primary key; new rows go to its end, however many rows there are.
const BARE: &str = "CREATE TABLE bare (LIKE daybook.events, PRIMARY KEY (position))";

const INSERT: &str = "
INSERT INTO bare (position, recorded_at, version, schema_version, event_id, command_id, tenant, category, stream_id, kind, hash,
  fingerprint, metadata, data)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::uuid[], $6::uuid[], $7::bytea[], $8::bytea[],
  $9::bytea[], $10::bytea[], $11::bytea[], $12::bytea[], $13::bytea[], $14::bytea[])";

/// The store on a server, with a database for each purpose.
pub(crate) struct Server {
    server: Postgres,
}

impl Server {
    /// Starts a server that keeps its files within `dir`.
    pub(crate) fn start_within(dir: &Path) -> Self {
        Self { server: Postgres::on_disk_of(dir, &[]) }
    }

    /// Runs a statement by itself: making and dropping a database cannot be part of a transaction.
    fn run(&self, statement: &str) -> String {
        self.server.sql(&self.server.url("postgres"), statement)
    }

    fn drop_database(&self, name: &str) {
        self.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    }

    fn url(&self, database: &str) -> String {
        self.server.url(database)
    }
}

impl Drop for Server {
    /// A killed server's children could still write to a folder that is being removed.
    fn drop(&mut self) {
        self.server.stop();
    }
}

#[async_trait]
impl Side for Server {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn about(&self) -> String {
        let settings = SETTINGS.map(|name| format!("{name}={}", self.run(&format!("SHOW {name}"))));
        format!(
            "PostgreSQL {} on this machine, over the loopback, its files on the same disk; {}. All indexes are written before the \
             answer. Baseline: one connection, one prepared INSERT of all rows of a commit, every column, primary key \
             only",
            self.run("SHOW server_version"),
            settings.join(", ")
        )
    }

    fn clear(&mut self) {
        self.drop_database("store");
        self.drop_database("baseline");
    }

    fn empty(&mut self) {
        self.clear();
        self.run("CREATE DATABASE store");
    }

    fn keep(&mut self) {
        // Does the server's clean-up after the filling now, so that it does not run during a measurement.
        self.server.sql(&self.url("store"), "VACUUM (FREEZE, ANALYZE)");
        self.drop_database("kept");
        self.run("ALTER DATABASE store RENAME TO kept");
    }

    fn reset(&mut self) {
        self.clear();
        // Ends with a checkpoint.
        self.run("CREATE DATABASE store TEMPLATE kept STRATEGY file_copy");
    }

    async fn open(&mut self) -> Arc<dyn EventStore> {
        Store::open(Options::new(self.url("store"))).await.unwrap()
    }

    /// The indexes are part of each commit.
    fn settle(&self, _: Position) {}

    fn server(&self) -> Option<u32> {
        self.server.pid()
    }

    fn commit_sizes(&self, after: Position) -> Vec<usize> {
        let sizes = format!(
            "SELECT count(*) FROM daybook.events WHERE position > {after} GROUP BY recorded_at ORDER BY recorded_at"
        );
        let sizes = self.server.sql(&self.url("store"), &sizes);
        sizes.lines().map(|size| size.parse().unwrap()).collect()
    }

    fn baseline(&mut self, rows: &[Row], sizes: &[usize]) -> Baseline {
        self.clear();
        self.run("CREATE DATABASE baseline");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let url = self.url("baseline");
            migrate(&url, false).await.unwrap();
            let mut connection = PgConnection::connect(&url).await.unwrap();
            for statement in [BARE, "CHECKPOINT"] {
                sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
            }
            let done = insert(&mut connection, self.server(), rows, sizes).await;
            connection.close().await.unwrap();
            done
        })
    }
}

/// Writes the rows in commits of these sizes, each a statement and a transaction by itself.
async fn insert(connection: &mut PgConnection, server: Option<u32>, mut rows: &[Row], sizes: &[usize]) -> Baseline {
    let spent = || cpu::mine() + cpu::of_server(server);
    let (data, metadata) = (load::data(), load::metadata());
    let mut first = 1_i64;
    let cpu_before = spent();
    let mut watch = Watch::start();
    for &size in sizes {
        let (now, later) = rows.split_at(size);
        rows = later;
        let positions: Vec<i64> = (first..).take(size).collect();
        first += size as i64;
        let part = |name: fn(&Row) -> &str| {
            let names = now.iter().map(|row| name(row).as_bytes());
            names.collect::<Vec<_>>()
        };
        sqlx::query::<Database>(INSERT)
            .bind(&positions)
            .bind(&positions)
            .bind(now.iter().map(|row| row.version as i64).collect::<Vec<_>>())
            .bind(vec![SCHEMA_VERSION; size])
            .bind(now.iter().map(|row| row.event_id).collect::<Vec<_>>())
            .bind(now.iter().map(|row| row.command_id).collect::<Vec<_>>())
            .bind(part(|row| &row.stream.tenant))
            .bind(part(|row| &row.stream.category))
            .bind(part(|row| &row.stream.id))
            .bind(vec![KIND.as_bytes(); size])
            .bind(vec![&HASH[..]; size])
            .bind(vec![&FINGERPRINT[..]; size])
            .bind(vec![&metadata[..]; size])
            .bind(vec![&data[..]; size])
            .execute(&mut *connection)
            .await
            .unwrap();
        watch.committed();
    }
    watch.stop(spent() - cpu_before)
}
