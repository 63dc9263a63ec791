//! The system of compose.yaml as processes of this machine, with the replicas that the file says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use cluster::{Cluster, Options};
use serde_json::Value;
use tempfile::TempDir;

use super::{Log, Name, Places, Side, verify};

/// Where a NATS node answers what it has counted.
const MONITOR: u16 = 8222;

pub(super) struct Compose {
    cluster: Cluster,
    daybook: PathBuf,
    _folder: TempDir,
}

impl Compose {
    pub(super) fn start(places: &Places) -> anyhow::Result<Self> {
        let folder = servers::folder::within(&places.folder, "cluster");
        // The database's user enters it.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open)?;
        let cluster = Cluster::up(Options {
            compose: places.compose.clone(),
            folder: folder.path().join("services"),
            daybook: places.daybook.clone(),
            bound: true,
            fixed_ports: false,
            replicas: BTreeMap::new(),
            environment: BTreeMap::new(),
            wire: None,
            late: None,
        })?;
        let mut side = Self { cluster, daybook: places.daybook.clone(), _folder: folder };
        if places.statements {
            side.count_statements()?;
        }
        Ok(side)
    }

    /// Has PostgreSQL start again with what counts statements, and waits until every role is ready with it.
    fn count_statements(&mut self) -> anyhow::Result<()> {
        let url = self.url("migrate")?;
        super::sql(&url, "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")?;
        self.cluster.end("postgres", "INT")?;
        self.cluster.start("postgres")?;
        self.cluster.await_ready("postgres")?;
        self.daybooks().iter().try_for_each(|name| self.cluster.await_ready(name))
    }

    /// The address of the log's database as a service has it.
    fn url(&self, service: &str) -> anyhow::Result<String> {
        self.cluster.environment(service)?.remove("DAYBOOK_STORE__URL").context("the service has no database")
    }

    /// The replicas that run Daybook and go on.
    fn daybooks(&self) -> Vec<String> {
        let servers = ["postgres", "nats-", "migrate"];
        let names = self.cluster.names().into_iter();
        names.filter(|name| !servers.iter().any(|server| name.starts_with(server))).collect()
    }

    fn addresses(&self, service: &str) -> Vec<String> {
        let names = self.cluster.replicas(service).unwrap_or_default();
        names.iter().map(|name| self.cluster.address(name)).collect()
    }
}

#[async_trait]
impl Side for Compose {
    fn name(&self) -> Name {
        Name::Cluster
    }

    fn about(&self) -> String {
        format!("the {} processes of compose.yaml, on this one machine", self.pids().len())
    }

    fn commands(&self) -> Vec<String> {
        self.addresses("core")
    }

    fn queries(&self) -> Vec<String> {
        self.addresses("core")
    }

    fn metrics(&self) -> Vec<String> {
        self.daybooks().iter().map(|name| self.cluster.address(name)).collect()
    }

    fn pids(&self) -> Vec<u32> {
        self.cluster.names().iter().filter_map(|name| self.cluster.pid(name)).collect()
    }

    fn log(&self) -> Option<Log> {
        self.url("migrate").ok().map(Log::Database)
    }

    fn database(&self) -> Option<String> {
        self.url("migrate").ok()
    }

    fn brokers(&self) -> Vec<String> {
        let names = self.cluster.names().into_iter().filter(|name| name.starts_with("nats-"));
        names.filter_map(|name| self.cluster.port(&name, MONITOR)).map(|port| format!("127.0.0.1:{port}")).collect()
    }

    async fn end(self: Box<Self>) -> anyhow::Result<Option<Value>> {
        let mut side = *self;
        let names = side.daybooks();
        let environment = side.cluster.environment("core-1")?;
        for name in &names {
            side.cluster.signal(name, "TERM")?;
        }
        let begun = Instant::now();
        while names.iter().any(|name| side.cluster.pid(name).is_some()) {
            if begun.elapsed() > Duration::from_secs(60) {
                bail!("the services do not end");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let proof = verify(&side.daybook, &environment)?;
        side.cluster.down()?;
        Ok(Some(proof))
    }
}
